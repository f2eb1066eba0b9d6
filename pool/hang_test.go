package pool_test

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
)

// readByte is I/O that heeds no context: the peer never sends.
func readByte(c *conn.Conn) error {
	_, err := c.Read(make([]byte, 1))
	return err
}

// An AfterConnect that reads from a silent peer ends with the dial's time, and
// frees its place.
func TestAfterConnectHangs(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, nil)
		var silent atomic.Bool
		silent.Store(true)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, DialTimeout: time.Second, MaxDialing: 16,
			DialBackoff: conn.DialBackoff{After: -1},
			AfterConnect: func(_ context.Context, c *conn.Conn) (any, error) {
				if silent.Load() {
					return nil, readByte(c)
				}
				return nil, nil
			}})
		start := time.Now()
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				_, err := p.Get(context.Background())
				var nerr net.Error
				if err == nil || !isTimeout(err, &nerr) {
					t.Errorf("not a timeout: %v", err)
				}
			})
		}
		wg.Wait()
		require.Equal(t, time.Second, time.Since(start))
		synctest.Wait()
		require.Zero(t, s.open())
		silent.Store(false)
		require.NoError(t, get(t, p).Close())
	})
}

func isTimeout(err error, nerr *net.Error) bool {
	e, ok := err.(net.Error)
	*nerr = e
	return ok && e.Timeout()
}

// A Close of the pool ends an AfterConnect that reads.
func TestCloseEndsAfterConnect(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, nil)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open,
			AfterConnect: func(_ context.Context, c *conn.Conn) (any, error) { return nil, readByte(c) }})
		got := make(chan error)
		go func() { _, err := p.Get(context.Background()); got <- err }()
		synctest.Wait()
		start := time.Now()
		require.NoError(t, p.Close())
		require.Zero(t, time.Since(start))
		require.ErrorIs(t, <-got, pool.ErrClosed)
	})
}

// A probe that reads from a silent peer ends with the context of Get, with its
// own time, and with the pool.
func TestProbeHangs(t *testing.T) {
	for name, within := range map[string]func(p *pool.Pool) (time.Duration, error){
		"the context of Get": func(p *pool.Pool) (time.Duration, error) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_, err := p.Get(ctx)
			return time.Second, err
		},
		"its own time": func(p *pool.Pool) (time.Duration, error) {
			c, err := p.Get(context.Background())
			if err == nil {
				err = c.Close()
			}
			return 5 * time.Second, err
		},
		"the pool": func(p *pool.Pool) (time.Duration, error) {
			time.AfterFunc(time.Millisecond, func() { _ = p.Close() })
			_, err := p.Get(context.Background())
			return time.Millisecond, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, open opener) {
				s := newMemServer(t, nil)
				p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open,
					Probe: pool.Probe{Func: func(_ context.Context, c *conn.Conn) error { return readByte(c) }}})
				require.NoError(t, get(t, p).Close())
				start := time.Now()
				took, err := within(p)
				require.Equal(t, took, time.Since(start))
				if name == "its own time" {
					require.NoError(t, err, "a new one was dialed")
				} else {
					require.Error(t, err)
				}
				synctest.Wait()
				require.Equal(t, p.Stat().Open, s.open())
			})
		})
	}
}

// Replace, whose AfterConnect reads from a silent peer, ends with its context.
func TestReplaceHangs(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, nil)
		dials := 0
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxConns: 1,
			AfterConnect: func(_ context.Context, c *conn.Conn) (any, error) {
				if dials++; dials == 2 {
					return nil, readByte(c)
				}
				return nil, nil
			}})
		c := get(t, p)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		require.ErrorIs(t, c.Replace(ctx), context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(start))
		require.NoError(t, c.Close(), "the checkout has ended, and this does nothing")
		require.NoError(t, get(t, p).Close(), "no place is lost")
	})
}

// The usual idioms around Replace leak nothing.
func TestReplaceAndTheUsualIdioms(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxConns: 2})
		ctx := t.Context()
		for range 4 {
			require.NoError(t, p.Do(ctx, func(c *pool.Conn) error {
				err := c.Replace(ctx)
				roundTrip(t, c)
				return err
			}))
			func() {
				c := get(t, p)
				defer c.Close()
				require.NoError(t, c.Replace(ctx))
				roundTrip(t, c)
			}()
		}
		require.Zero(t, p.Stat().Used)
		require.Equal(t, 1, p.Stat().Idle)
	})
}

// Do bounds the I/O on a connection that Replace has made, too.
func TestDoBoundsWhatReplaceMade(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, nil)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		err := p.Do(ctx, func(c *pool.Conn) error {
			for range 2 {
				if err := c.Replace(ctx); err != nil {
					return err
				}
			}
			return readByte(&c.Conn)
		})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(start))
		synctest.Wait()
		require.Zero(t, p.Stat().Open)
	})
}

// A Close while Replace dials ends the checkout: what Replace makes is closed.
func TestCloseDuringReplaceOfTheSameConn(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.slowly(time.Second)}, pool.Config{Backend: open, MaxConns: 1})
		c := get(t, p)
		replaced := make(chan error)
		go func() { replaced <- c.Replace(context.Background()) }()
		time.Sleep(500 * time.Millisecond)
		require.NoError(t, c.Close())
		require.ErrorIs(t, <-replaced, net.ErrClosed)
		synctest.Wait()
		require.Zero(t, s.open())
		require.Zero(t, p.Stat().Used)
	})
}
