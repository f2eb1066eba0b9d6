package pool_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
)

// hangingDial hangs until its context ends, and then says something that has
// nothing to do with it, until it is switched to dial.
type hangingDial struct {
	dial  func(context.Context) (net.Conn, error)
	works atomic.Bool
	most  time.Duration // how long it hangs at most, if not zero
}

func (d *hangingDial) Dial(ctx context.Context) (net.Conn, error) {
	if d.works.Load() {
		return d.dial(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if d.most != 0 {
		time.AfterFunc(d.most, cancel)
	}
	<-ctx.Done()
	return nil, errors.New("no route to host")
}

// TestClearEndsDials: the address answers nothing, then it moves. Who calls Clear
// then does not wait for what hangs, and it does not count as an outage.
func TestClearEndsDials(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		d := &hangingDial{dial: s.dial}
		p := newPool(t, conn.Target{Dial: d.Dial}, pool.Config{Backend: open, DialBackoff: conn.DialBackoff{After: 1}})
		start := time.Now()
		got := make(chan error, 1)
		go func() {
			c, err := p.Get(context.Background())
			if err == nil {
				err = c.Close()
			}
			got <- err
		}()
		synctest.Wait()
		require.Equal(t, 1, p.Stat().Dialing)
		d.works.Store(true)
		p.Clear()
		require.NoError(t, <-got)
		require.Zero(t, time.Since(start))
		require.Equal(t, 1, s.dialed())
	})
}

// laggingContext is a context whose deadline passes before it says so.
type laggingContext struct {
	context.Context
	deadline time.Time
}

func (c laggingContext) Deadline() (time.Time, bool) { return c.deadline, true }

// secretContext does not tell its deadline.
type secretContext struct{ context.Context }

func (secretContext) Deadline() (at time.Time, ok bool) { return at, false }

// A dial that was given up says nothing about the address, whatever its error.
func TestGivenUpDialsAreNoOutage(t *testing.T) {
	for name, giveUp := range map[string]func(p *pool.Pool, c *pool.Conn) error{
		"by Clear": func(p *pool.Pool, _ *pool.Conn) error {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			time.AfterFunc(time.Second, p.Clear)
			_, err := p.Get(ctx)
			return err
		},
		"by the caller of Replace": func(_ *pool.Pool, c *pool.Conn) error {
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(time.Second, cancel)
			return c.Replace(ctx)
		},
		"at a deadline": func(_ *pool.Pool, c *pool.Conn) error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			return c.Replace(ctx)
		},
		"at a deadline that the context does not tell": func(_ *pool.Pool, c *pool.Conn) error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			return c.Replace(secretContext{ctx})
		},
		"at a deadline that the context has not noticed": func(_ *pool.Pool, c *pool.Conn) error {
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(10*time.Second, cancel)
			return c.Replace(laggingContext{ctx, time.Now().Add(time.Second)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, open opener) {
				s := newMemServer(t, echo)
				d := &hangingDial{dial: s.dial, most: 5 * time.Second}
				d.works.Store(true)
				p := newPool(t, conn.Target{Dial: d.Dial}, pool.Config{Backend: open, DialBackoff: conn.DialBackoff{After: 1, Min: time.Hour}})
				c := get(t, p)
				d.works.Store(false)
				require.Error(t, giveUp(p, c))
				c.Evict()
				require.False(t, p.Stat().Suspended)
				require.NoError(t, p.Stat().LastDialError)
				d.works.Store(true)
				p.Clear()
				require.NoError(t, get(t, p).Close())
			})
		})
	}
}

// A dial that fails before the caller's deadline counts.
func TestReplaceThatFailsInTimeCounts(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, DialBackoff: conn.DialBackoff{After: 1, Min: time.Hour}})
		c := get(t, p)
		s.l.Refuse(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		require.Error(t, c.Replace(ctx))
		require.True(t, p.Stat().Suspended)
	})
}

// A dial that has succeeded ends an outage, even if who wanted it is gone.
func TestDialThatSucceedsTooLate(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		slowly := s.slowly(2 * time.Second)
		dial := func(ctx context.Context) (net.Conn, error) { return slowly(context.WithoutCancel(ctx)) }
		p := newPool(t, conn.Target{Dial: dial}, pool.Config{Backend: open,
			DialBackoff: conn.DialBackoff{After: 2, Min: time.Hour}})
		c := get(t, p)
		s.l.Refuse(true)
		_, err := p.Get(t.Context())
		require.ErrorContains(t, err, "refused")
		s.l.Refuse(false)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.NoError(t, c.Replace(ctx), "its dial does not heed ctx")
		require.Equal(t, 3, s.dialed())
		s.l.Refuse(true)
		_, err = p.Get(t.Context())
		require.ErrorContains(t, err, "refused")
		require.False(t, p.Stat().Suspended, "it is the first failure")
		c.Evict()
	})
}
