package pool_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/faultproxy"
	"github.com/seed-99d6a01a/gtcp/pool"
)

// TestDialRefused is about the error: the address, the cause, the state.
func TestDialRefused(t *testing.T) {
	overBackends(t, func(t *testing.T, open opener) {
		addr, stop, err := faultproxy.RefusedAddr()
		require.NoError(t, err)
		defer func() { require.NoError(t, stop()) }()

		p := newPool(t, conn.Target{Address: addr}, pool.Config{Backend: open, DialBackoff: conn.DialBackoff{After: 1, Min: time.Hour, Max: time.Hour}})
		c, err := p.Get(t.Context())
		require.Nil(t, c)
		var perr *pool.Error
		require.ErrorAs(t, err, &perr)
		require.Equal(t, "get", perr.Op)
		require.Equal(t, addr, perr.Addr)
		require.Equal(t, 64, perr.MaxConns)
		var cerr *conn.Error
		require.ErrorAs(t, err, &cerr)
		require.Equal(t, "dial", cerr.Op)
		require.Contains(t, err.Error(), addr)
		require.True(t, perr.SafeToRetry())
		require.False(t, perr.Timeout())

		// The next one is not even tried.
		_, err = p.Get(t.Context())
		var berr *conn.BackoffError
		require.ErrorAs(t, err, &berr)
		require.Greater(t, berr.Wait, 29*time.Minute)
		require.LessOrEqual(t, berr.Wait, time.Hour)
		require.Equal(t, cerr, berr.Err)
		require.True(t, berr.SafeToRetry())
		require.Equal(t, uint64(1), p.Stat().Dials)
		require.Equal(t, uint64(1), p.Stat().DialErrors)
		require.Equal(t, uint64(2), p.Stat().Failed)
	})
}

// TestDialTimeout has a dial that never ends by itself: the pool's timeout
// ends it for a caller without one.
func TestDialTimeout(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		p := newPool(t, conn.Target{Dial: func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }}, pool.Config{Backend: open, DialTimeout: 5 * time.Second})
		start := time.Now()
		_, err := p.Get(context.Background())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 5*time.Second, time.Since(start))
		var nerr net.Error
		require.ErrorAs(t, err, &nerr)
		require.True(t, nerr.Timeout())
		require.Equal(t, uint64(1), p.Stat().Timeouts)
		require.Equal(t, 5*time.Second, p.Stat().DialTime)
	})
}

var errFailure = errors.New("failure")

// misbehaviors are the ways in which Dial and AfterConnect fail.
var misbehaviors = []struct {
	name   string
	change func(t *conn.Target, c *pool.Config)
	want   string
}{
	{"error", func(t *conn.Target, c *pool.Config) {
		t.Dial = func(context.Context) (net.Conn, error) { return nil, errFailure }
	}, "failure"},
	{"nothing", func(t *conn.Target, c *pool.Config) {
		t.Dial = func(context.Context) (net.Conn, error) { return nil, nil }
	}, "neither a connection nor an error"},
	{"panic", func(t *conn.Target, c *pool.Config) {
		t.Dial = func(context.Context) (net.Conn, error) { panic("in dial") }
	}, "in dial"},
	{"a connection that is closed", func(t *conn.Target, c *pool.Config) {
		dial := t.Dial
		t.Dial = func(ctx context.Context) (net.Conn, error) {
			nc, err := dial(ctx)
			c := conn.New(nc)
			_ = c.Close()
			return c, err
		}
	}, "closed"},
	{"a connection that is in use", func(t *conn.Target, c *pool.Config) {
		dial := t.Dial
		t.Dial = func(ctx context.Context) (net.Conn, error) {
			nc, err := dial(ctx)
			c := conn.New(nc)
			go func() { _, _ = c.Read(make([]byte, 1)) }()
			synctest.Wait()
			return c, err
		}
	}, "in progress"},
	{"AfterConnect error", func(t *conn.Target, c *pool.Config) {
		c.AfterConnect = func(context.Context, *conn.Conn) (any, error) { return 1, errFailure }
	}, "failure"},
	{"AfterConnect panic", func(t *conn.Target, c *pool.Config) {
		c.AfterConnect = func(context.Context, *conn.Conn) (any, error) { panic("in after") }
	}, "in after"},
	{"AfterConnect leaves a deadline", func(t *conn.Target, c *pool.Config) {
		c.AfterConnect = func(_ context.Context, c *conn.Conn) (any, error) {
			return nil, c.SetDeadline(time.Now().Add(time.Hour))
		}
	}, "unfit"},
	{"AfterConnect closes", func(t *conn.Target, c *pool.Config) {
		c.AfterConnect = func(_ context.Context, c *conn.Conn) (any, error) { return nil, c.Close() }
	}, "unfit"},
	{"AfterConnect keeps the handle", func(t *conn.Target, c *pool.Config) {
		c.AfterConnect = func(_ context.Context, c *conn.Conn) (any, error) {
			var own conn.Conn
			err := c.Handoff(&own)
			_ = own.Close()
			return nil, err
		}
	}, "unfit"},
}

// TestDialMisbehaves has Dial and AfterConnect fail in every way: the caller
// is told, no place is lost, nothing stays open.
func TestDialMisbehaves(t *testing.T) {
	for _, tc := range misbehaviors {
		t.Run(tc.name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, open opener) {
				s := newMemServer(t, echo)
				target := conn.Target{Dial: s.dial}
				c := pool.Config{Backend: open, MaxConns: 1, DialBackoff: conn.DialBackoff{After: -1}}
				tc.change(&target, &c)
				p := newPool(t, target, c)
				for range 3 {
					_, err := p.Get(t.Context())
					require.ErrorContains(t, err, tc.want)
				}
				synctest.Wait()
				require.Equal(t, 0, s.open())
				require.Zero(t, p.Stat().Open)
				require.Equal(t, uint64(3), p.Stat().DialErrors)
			})
		})
	}
}

// TestAfterConnect logs in on each connection and pools the session.
func TestAfterConnect(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		type session struct{ id byte }
		var logins atomic.Int32
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open,
			AfterConnect: func(ctx context.Context, c *conn.Conn) (any, error) {
				_, limited := ctx.Deadline()
				require.True(t, limited)
				b := []byte{byte(logins.Add(1))}
				err := c.Do(ctx, func() error {
					if _, err := c.Write(b); err != nil {
						return err
					}
					_, err := io.ReadFull(c, b)
					return err
				})
				return &session{b[0]}, err
			}})
		a, b := get(t, p), get(t, p)
		require.Equal(t, &session{1}, a.Session())
		require.Equal(t, &session{2}, b.Session())
		kept := a.Session()
		require.NoError(t, a.Close())
		require.Nil(t, a.Session())
		c := get(t, p)
		require.Same(t, kept, c.Session())
		err := c.Replace(t.Context())
		require.NoError(t, err)
		require.Equal(t, &session{3}, c.Session())
		require.NoError(t, c.Close())
		require.NoError(t, b.Close())
	})
}

// TestCancelledDialIsKept gives up on a slow dial: the next caller has it.
func TestCancelledDialIsKept(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: func(ctx context.Context) (net.Conn, error) {
			time.Sleep(time.Second)
			return s.dial(ctx)
		}}, pool.Config{Backend: open})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := p.Get(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		time.Sleep(2 * time.Second)
		c := get(t, p)
		require.True(t, c.Reused(), "it has been idle")
		roundTrip(t, c)
		require.NoError(t, c.Close())
		require.Equal(t, 1, s.dialed())
		require.Equal(t, uint64(1), p.Stat().Timeouts)
		// Its lifetime is kept, though it became idle unseen.
		time.Sleep(600 * time.Second)
		synctest.Wait()
		require.Equal(t, 0, s.open())
	})
}

// peak counts what is in progress, and the most there was at once.
type peak struct {
	mu        sync.Mutex
	now, most int
}

// add begins one; what it returns ends it.
func (p *peak) add() (end func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now++
	p.most = max(p.most, p.now)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.now--
	}
}

// TestMaxDialing has many callers at once; dials are few and in turn.
func TestMaxDialing(t *testing.T) {
	for _, tc := range []struct{ max, want int }{{3, 3}, {0, 16}, {-1, 50}} {
		inBubbles(t, func(t *testing.T, open opener) {
			var dials peak
			s := newMemServer(t, echo)
			p := newPool(t, conn.Target{Dial: func(ctx context.Context) (net.Conn, error) {
				defer dials.add()()
				time.Sleep(time.Second)
				return s.dial(ctx)
			}}, pool.Config{Backend: open, MaxDialing: tc.max})
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					c, err := p.Get(t.Context())
					assert.NoError(t, err)
					time.Sleep(time.Hour)
					assert.NoError(t, c.Close())
				})
			}
			wg.Wait()
			require.Equal(t, tc.want, dials.most)
		})
	}
}

// TestMaxDialingTimeout lets dials wait for their turn beyond their time.
func TestMaxDialingTimeout(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		s.l.Refuse(true)
		p := newPool(t, conn.Target{Dial: func(ctx context.Context) (net.Conn, error) {
			c, err := s.l.Dial(ctx)
			if err != nil {
				time.Sleep(1500 * time.Millisecond) // too long
			}
			return c, err
		}}, pool.Config{Backend: open, MaxDialing: 1, DialTimeout: time.Second, MaxConns: 3,
			DialBackoff: conn.DialBackoff{After: -1}})
		var wg sync.WaitGroup
		var noTurn atomic.Int32
		for range 3 {
			wg.Go(func() {
				_, err := p.Get(t.Context())
				assert.Error(t, err)
				if errors.Is(err, context.DeadlineExceeded) {
					noTurn.Add(1)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 2, noTurn.Load())
		require.Equal(t, uint64(1), p.Stat().Dials)
		s.l.Refuse(false)
		held := []*pool.Conn{get(t, p), get(t, p), get(t, p)} // the gate has lost no turn
		for _, c := range held {
			require.NoError(t, c.Close())
		}
	})
}
