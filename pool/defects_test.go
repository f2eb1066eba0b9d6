package pool_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
)

// The tests in this file are named after defects that were seen in other
// pools, listed in the project's field notes. Each holds over every backend.

// puddle: a Close while a resource is being constructed hangs for ever and the
// connection leaks; one made during Close is a phantom idle entry.
func TestDefectPuddleCloseDuringDial(t *testing.T) {
	for _, heeds := range []bool{true, false} {
		inBubbles(t, func(t *testing.T, open opener) {
			s := newMemServer(t, echo)
			p := newPool(t, conn.Target{Dial: func(ctx context.Context) (net.Conn, error) {
				if heeds {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				time.Sleep(time.Second)
				return s.dial(context.Background())
			}}, pool.Config{Backend: open, MinIdle: 1})
			var wg sync.WaitGroup
			wg.Go(func() {
				_, err := p.Get(t.Context())
				assert.ErrorIs(t, err, pool.ErrClosed)
			})
			synctest.Wait()
			closePool(t, p)
			wg.Wait()
			synctest.Wait()
			require.Zero(t, s.open())
			require.Zero(t, p.Stat().Idle)
		})
	}
}

// puddle: Destroy, then Release, hands out a destroyed resource; a stale
// handle's Release makes two owners; a double Destroy crashes.
func TestDefectPuddleStaleRelease(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxConns: 1})
		first := get(t, p)
		first.Evict()
		require.NoError(t, first.Close())
		first.Evict()
		second := get(t, p)
		roundTrip(t, second)
		require.NoError(t, first.Close())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := p.Get(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded, "there is one owner")
		roundTrip(t, second)
		require.NoError(t, second.Close())
	})
}

// puddle and go-redis: Close leaves waiters asleep until the next release.
func TestDefectCloseLeavesWaiters(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxConns: 1})
		c := get(t, p)
		woken := make(chan error)
		go func() {
			_, err := p.Get(context.Background())
			woken <- err
		}()
		synctest.Wait()
		closed := make(chan error)
		go func() { closed <- p.Shutdown(context.Background()) }()
		start := time.Now()
		require.ErrorIs(t, <-woken, pool.ErrClosed)
		require.Zero(t, time.Since(start))
		require.NoError(t, c.Close())
		require.NoError(t, <-closed)
	})
}

// slowClose is a connection whose Close takes long, as TLS's may.
type slowClose struct {
	net.Conn
	d time.Duration
}

func (c slowClose) Close() error {
	time.Sleep(c.d)
	return c.Conn.Close()
}

// puddle: Destroy holds its place until the destructor returns: 15 seconds of
// closing delay the next Acquire by 15 seconds.
func TestDefectPuddleSlowClose(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: func(ctx context.Context) (net.Conn, error) {
			c, err := s.dial(ctx)
			return slowClose{c, 15 * time.Second}, err
		}}, pool.Config{Backend: open, MaxConns: 1})
		start := time.Now()
		for range 3 {
			c := get(t, p)
			go c.Evict()
			synctest.Wait()
		}
		c := get(t, p)
		require.NoError(t, c.SetDeadline(time.Now()))
		go c.Close()
		synctest.Wait()
		require.NoError(t, get(t, p).Close())
		require.Zero(t, time.Since(start))
		time.Sleep(time.Minute)
		p.Clear()
		start = time.Now()
		require.NoError(t, get(t, p).Close())
		require.Zero(t, time.Since(start))
		require.NoError(t, p.Shutdown(t.Context()))
		synctest.Wait()
		require.Zero(t, s.open())
	})
}

// puddle: a thousand acquires are a thousand dials at once, and the
// constructor's context has no deadline.
func TestDefectPuddleDialStorm(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		var dials peak
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: func(ctx context.Context) (net.Conn, error) {
			_, limited := ctx.Deadline()
			require.True(t, limited)
			defer dials.add()()
			time.Sleep(time.Millisecond)
			return s.dial(ctx)
		}}, pool.Config{Backend: open, MaxConns: -1, Probe: pool.Probe{Mode: pool.ProbeNever}})
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				c := get(t, p)
				time.Sleep(time.Second)
				assert.NoError(t, c.Close())
			})
		}
		wg.Wait()
		require.Equal(t, 16, dials.most)
	})
}

// puddle, go-redis, database/sql: no late binding. A connection comes free
// after 10 ms, yet the caller waits out its own dial of 500 ms, or gets that
// dial's error while a connection is idle.
func TestDefectNoLateBinding(t *testing.T) {
	for _, fails := range []bool{false, true} {
		inBubbles(t, func(t *testing.T, open opener) {
			var slow atomic.Bool
			s := newMemServer(t, echo)
			p := newPool(t, conn.Target{Dial: func(ctx context.Context) (net.Conn, error) {
				if slow.Load() {
					time.Sleep(500 * time.Millisecond)
					if fails {
						return nil, errors.New("down")
					}
				}
				return s.dial(ctx)
			}}, pool.Config{Backend: open, MaxConns: 2, Probe: pool.Probe{Mode: pool.ProbeNever}})
			first := get(t, p)
			slow.Store(true)
			time.AfterFunc(10*time.Millisecond, func() { _ = first.Close() })
			start := time.Now()
			c := get(t, p)
			require.Equal(t, 10*time.Millisecond, time.Since(start))
			require.True(t, c.Reused())
			time.Sleep(time.Second)
			require.NoError(t, c.Close())
			if !fails {
				require.Equal(t, 2, p.Stat().Idle, "the dial was not wasted")
			}
		})
	}
}

// go-redis: a hook that rejects a new connection leaks a turn until the pool
// is dead.
func TestDefectRedisRejectLeaksTurn(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		rejects := 50
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxConns: 2, MaxDialing: 2,
			DialBackoff: conn.DialBackoff{After: -1},
			AfterConnect: func(context.Context, *conn.Conn) (any, error) {
				if rejects--; rejects >= 0 {
					return nil, errors.New("rejected")
				}
				return nil, nil
			}})
		for range 50 {
			_, err := p.Get(t.Context())
			require.ErrorContains(t, err, "rejected")
		}
		a, b := get(t, p), get(t, p)
		require.NoError(t, a.Close())
		require.NoError(t, b.Close())
		closePool(t, p)
		synctest.Wait()
		require.Zero(t, s.open())
	})
}

// mongo: a graceful close busy-spins a core. Ours sleeps: in a bubble time
// would not pass otherwise.
func TestDefectMongoCloseSpins(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open})
		c := get(t, p)
		time.AfterFunc(time.Hour, func() { _ = c.Close() })
		require.NoError(t, p.Shutdown(context.Background()))
	})
}

// fasthttp: a wakeup is lost between the check and the enqueuing. Two callers
// pass one connection to and fro; if a wakeup is lost both sleep.
func TestDefectFasthttpLostWakeup(t *testing.T) {
	overBackends(t, func(t *testing.T, open opener) {
		s := newTCPServer(t, echo)
		p := newPool(t, conn.Target{Address: s.addr}, pool.Config{Backend: open, MaxConns: 1, Probe: pool.Probe{Mode: pool.ProbeNever}, GetTimeout: 20 * time.Second})
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				for range 5000 {
					c, err := p.Get(context.Background())
					if err != nil {
						t.Error(err)
						return
					}
					_ = c.Close()
				}
			})
		}
		wg.Wait()
	})
}

// database/sql: waiters are served at random.
func TestDefectSQLRandomWaiters(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxConns: 1, Probe: pool.Probe{Mode: pool.ProbeNever}})
		c := get(t, p)
		var order []int
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				c := get(t, p)
				order = append(order, i) // whoever has the connection
				assert.NoError(t, c.Close())
			})
			synctest.Wait()
		}
		require.NoError(t, c.Close())
		wg.Wait()
		for i := range order {
			require.Equal(t, i, order[i])
		}
		require.Len(t, order, 100)
	})
}

// fatih, silenceper: dialing under a mutex, no context, a maximum that is none,
// waiters for ever, and a second Close that puts the connection in twice.
func TestDefectFatihSilenceper(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		var hang atomic.Bool
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: func(ctx context.Context) (net.Conn, error) {
			if hang.Load() {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return s.dial(ctx)
		}}, pool.Config{Backend: open, MaxConns: 2, Probe: pool.Probe{Mode: pool.ProbeNever}})
		c := get(t, p)
		hang.Store(true)
		for range 4 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := p.Get(ctx)
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		require.LessOrEqual(t, p.Stat().Open+p.Stat().Dialing, 2)
		// The hanging dial holds nothing up but itself.
		require.NoError(t, c.Close())
		require.NoError(t, c.Close())
		require.Equal(t, 1, p.Stat().Idle)
		c = get(t, p)
		roundTrip(t, c)
		require.NoError(t, c.Close())
	})
}

// A pool that is closed leaves no connection behind, and no goroutine, which
// TestMain sees to, even if its callers never release anything.
func TestCloseLeavesNothing(t *testing.T) {
	overBackends(t, func(t *testing.T, open opener) {
		s := newTCPServer(t, echo)
		for range 20 {
			p := newPool(t, conn.Target{Address: s.addr}, pool.Config{Backend: open, MinIdle: 2, MaxIdleTime: time.Millisecond})
			for range 5 {
				roundTrip(t, get(t, p)) // never given back
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			require.ErrorIs(t, p.Shutdown(ctx), context.Canceled)
		}
		require.Eventually(t, func() bool {
			open, _ := s.count()
			return open == 0
		}, 10*time.Second, time.Millisecond)
	})
}
