package pool_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
)

// Close ends a probe that heeds nothing but its context.
func TestCloseEndsAProbeThatWaitsForItsContext(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open,
			Probe: pool.Probe{Timeout: time.Hour, Func: func(ctx context.Context, _ *conn.Conn) error {
				<-ctx.Done()
				return ctx.Err()
			}}})
		require.NoError(t, get(t, p).Close())
		got := make(chan error)
		go func() {
			c, err := p.Get(context.Background())
			if err == nil { // dialed just before Close went on
				err = c.Close()
			}
			got <- err
		}()
		synctest.Wait()
		start := time.Now()
		require.NoError(t, p.Close())
		require.Zero(t, time.Since(start))
		<-got
	})
}

// lateClose is a connection whose Close ends its I/O at once and then takes a
// second.
type lateClose struct {
	net.Conn
	open *atomic.Int32
}

func (c *lateClose) Close() error {
	err := c.Conn.Close()
	time.Sleep(time.Second)
	c.open.Add(-1)
	return err
}

// Close waits until a connection is closed that a context took away from a probe,
// whether the probe returned or panicked.
func TestCloseWaitsForTheConnectionOfAProbe(t *testing.T) {
	for _, panics := range []bool{false, true} {
		inBubbles(t, func(t *testing.T, open opener) {
			s := newMemServer(t, nil)
			var live atomic.Int32
			p := newPool(t, conn.Target{Dial: func(ctx context.Context) (net.Conn, error) {
				c, err := s.dial(ctx)
				live.Add(1)
				return &lateClose{c, &live}, err
			}}, pool.Config{Backend: open, Probe: pool.Probe{Func: func(_ context.Context, c *conn.Conn) error {
				err := readByte(c)
				if panics {
					panic("probe")
				}
				return err
			}}})
			require.NoError(t, get(t, p).Close())
			ended := make(chan struct{})
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				defer close(ended)
				harmless(func() { _, _ = p.Get(ctx) })
			}()
			synctest.Wait()
			cancel()
			synctest.Wait()
			require.EqualValues(t, 1, live.Load(), "it is being closed")
			require.NoError(t, p.Close())
			require.Zero(t, live.Load())
			<-ended
		})
	}
}

// What a checkout takes begins after its probe, which takes its own time.
func TestCheckoutBeginsAfterItsProbe(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		log := &hookLog{}
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, Hooks: []any{log},
			Probe: pool.Probe{Func: func(context.Context, *conn.Conn) error {
				time.Sleep(time.Second)
				return nil
			}}})
		require.NoError(t, get(t, p).Close())
		time.Sleep(time.Minute)
		c := get(t, p)
		require.True(t, time.Now().Equal(slices.Collect(p.Conns())[0].Since))
		time.Sleep(time.Minute)
		require.NoError(t, c.Close())
		require.Equal(t, time.Minute, log.releases[1].Used)
	})
}

// An eviction at Get tells the error behind it.
func TestEvictionsAtGetTellTheError(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil func(t *testing.T, s *memServer, p *pool.Pool)
		probe func(context.Context, *conn.Conn) error
		why   pool.Reason
		err   error
	}{
		"closed by the peer": {spoil: func(_ *testing.T, s *memServer, _ *pool.Pool) { s.closeConns() }, why: pool.Dead, err: io.EOF},
		"unread bytes": {spoil: func(_ *testing.T, s *memServer, _ *pool.Pool) {
			s.mu.Lock()
			defer s.mu.Unlock()
			_, _ = s.conns[0].Write([]byte("late"))
		}, why: pool.Dirty, err: conn.ErrUnread},
		"a probe that fails": {probe: func(context.Context, *conn.Conn) error { return errOops }, why: pool.Dead, err: errOops},
		"distrusted": {spoil: func(t *testing.T, _ *memServer, p *pool.Pool) {
			c, other := get(t, p), get(t, p)
			require.NoError(t, c.Close())
			time.Sleep(time.Second)
			reset(t, other)
		}, why: pool.Suspect},
	} {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, open opener) {
				s := newMemServer(t, echo)
				log := &evictLog{}
				p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, Hooks: []any{log},
					Probe: pool.Probe{Func: tc.probe}})
				require.NoError(t, get(t, p).Close())
				time.Sleep(time.Second)
				if tc.spoil != nil {
					tc.spoil(t, s, p)
				}
				c := get(t, p)
				defer c.Close()
				require.False(t, c.Reused())
				synctest.Wait()
				at := slices.IndexFunc(log.events, func(e pool.EvictEvent) bool { return e.Reason == tc.why })
				require.GreaterOrEqual(t, at, 0)
				require.Error(t, log.events[at].Err)
				if tc.err != nil {
					require.ErrorIs(t, log.events[at].Err, tc.err)
				}
			})
		})
	}
}

// A hook that panics while Close ends a connection is the error of Close.
func TestPoolCloseTellsOfAHookThatPanicked(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p, err := pool.New(conn.Target{Dial: s.dial}, pool.Config{Backend: open, Hooks: []any{&panicEvict{}}})
		require.NoError(t, err)
		require.NoError(t, get(t, p).Close())
		err = p.Close()
		require.ErrorIs(t, err, errOops)
		var perr *pool.Error
		require.ErrorAs(t, err, &perr)
		require.Equal(t, "close", perr.Op)
		require.False(t, errors.Is(err, context.Canceled), "Close is not told to hurry")
	})
}
