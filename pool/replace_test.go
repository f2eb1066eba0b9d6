package pool_test

import (
	"context"
	"io"
	"math"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/pool"
)

// A panic of the user's Dial in Replace costs no place in the pool.
func TestReplacePanic(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		wrong := func() {}
		p := newPool(t, conn.Target{Dial: func(ctx context.Context) (net.Conn, error) {
			wrong()
			return s.dial(ctx)
		}}, pool.Config{Backend: open, MaxConns: 1})
		for _, f := range []func(){func() { panic("dial") }, runtime.Goexit} {
			c := get(t, p)
			wrong = f
			ended := make(chan any)
			go func() {
				defer func() { ended <- recover() }()
				_ = c.Replace(t.Context())
			}()
			<-ended
			wrong = func() {}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			c, err := p.Get(ctx)
			cancel()
			require.NoError(t, err)
			require.NoError(t, c.Close())
		}
		synctest.Wait()
		require.Equal(t, 1, s.open())
	})
}

// What a replaced connection had moved does not hide what its successor has.
func TestReplaceUnreadAnswer(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, func(c net.Conn) {
			b := make([]byte, 1)
			for {
				if _, err := c.Read(b); err != nil {
					return
				}
				_, _ = c.Write(b)
				if b[0] == 'u' {
					time.Sleep(time.Second)
					_, _ = c.Write([]byte("unread"))
				}
			}
		})
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxConns: 1, Probe: pool.Probe{Mode: pool.ProbeNever}})
		c := get(t, p)
		roundTrip(t, c)
		require.NoError(t, c.Close())
		c = get(t, p)
		err := c.Replace(t.Context())
		require.NoError(t, err)
		_, err = c.Write([]byte("u"))
		require.NoError(t, err)
		_, err = c.Read(make([]byte, 1))
		require.NoError(t, err)
		time.Sleep(2 * time.Second)
		require.NoError(t, c.Close())
		require.Equal(t, uint64(1), p.Stat().Evictions[pool.Dirty])
		roundTrip(t, get(t, p))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.Error(t, p.Shutdown(ctx))
	})
}

// The deadline of who replaces says nothing about the address.
func TestReplaceOwnDeadline(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		slow := false
		p := newPool(t, conn.Target{Dial: func(ctx context.Context) (net.Conn, error) {
			if slow {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return s.dial(ctx)
		}}, pool.Config{Backend: open, DialBackoff: conn.DialBackoff{After: 2}})
		var held []*pool.Conn
		for range 3 {
			held = append(held, get(t, p))
		}
		slow = true
		for _, c := range held {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			err := c.Replace(ctx)
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded)
			var backoff *conn.BackoffError
			require.NotErrorAs(t, err, &backoff)
		}
		slow = false
		require.NoError(t, get(t, p).Close())
	})
}

// Close ends the dial of a Replace, whose connection nobody could have.
func TestCloseEndsReplace(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		slow := false
		p := newPool(t, conn.Target{Dial: func(ctx context.Context) (net.Conn, error) {
			if slow {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return s.dial(ctx)
		}}, pool.Config{Backend: open})
		c := get(t, p)
		slow = true
		replaced := make(chan error, 1)
		go func() {
			err := c.Replace(context.Background())
			replaced <- err
		}()
		synctest.Wait()
		start := time.Now()
		closePool(t, p)
		require.Zero(t, time.Since(start))
		require.ErrorIs(t, <-replaced, pool.ErrClosed)
	})
}

// The hook is told of a replaced connection, and each has its own uses.
func TestReplaceEvictEvents(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		log := &evictLog{}
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, Hooks: []any{log}, Probe: pool.Probe{Mode: pool.ProbeNever}})
		require.NoError(t, get(t, p).Close())
		c := get(t, p)
		require.NoError(t, c.Replace(t.Context()))
		_, err := c.Write([]byte("abc"))
		require.NoError(t, err)
		_, err = io.ReadFull(c, make([]byte, 3))
		require.NoError(t, err)
		c.Evict()
		synctest.Wait()
		peer := memnet.Addr("mem")
		require.Equal(t, []pool.EvictEvent{{ID: 1, Peer: peer, Reason: pool.Dead, Uses: 2}, {ID: 2, Peer: peer, Reason: pool.Discarded, Uses: 1, BytesRead: 3, BytesWritten: 3}}, log.events)
	})
}

// dialPanic panics in AfterDial.
type dialPanic struct{}

func (dialPanic) AfterDial(context.Context, conn.DialEvent) { panic("dial hook") }

// The connection of a dial whose hook panics is closed.
func TestDialHookPanic(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxConns: 1, Hooks: []any{dialPanic{}}})
		_, err := p.Get(t.Context())
		require.ErrorContains(t, err, "dial hook")
		synctest.Wait()
		require.Zero(t, s.open())
	})
}

// The longest of durations is as good as none.
func TestLongestLifetime(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxLifetime: math.MaxInt64, MaxIdleTime: math.MaxInt64})
		for range 3 {
			require.NoError(t, get(t, p).Close())
			time.Sleep(time.Minute)
		}
		require.Equal(t, 1, s.dialed())
	})
}

// MinIdle is made up for when room comes without a connection's end.
func TestMinIdleRoom(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		failing := false
		p := newPool(t, conn.Target{Dial: func(ctx context.Context) (net.Conn, error) {
			if failing {
				time.Sleep(time.Second)
				failing = false
				return nil, net.ErrWriteToConnected
			}
			return s.dial(ctx)
		}}, pool.Config{Backend: open, MaxConns: 2, MinIdle: 1, Probe: pool.Probe{Mode: pool.ProbeNever}})
		time.Sleep(time.Second)
		a, b := get(t, p), get(t, p)
		synctest.Wait() // the keeper has been awake and rests, so the room is for Get's dial
		failing = true
		a.Evict()
		_, err := p.Get(t.Context())
		require.Error(t, err)
		time.Sleep(time.Minute)
		require.Equal(t, 1, p.Stat().Idle, "after a dial that failed")

		a = get(t, p)
		time.Sleep(time.Second)
		if p.Resize(3) == nil {
			time.Sleep(time.Minute)
			require.Equal(t, 1, p.Stat().Idle, "after a Resize")
		}
		require.NoError(t, a.Close())
		require.NoError(t, b.Close())
	})
}

// A connection that comes back to a pool that closes was not kept.
func TestReleaseAfterClose(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		log := &hookLog{}
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, Hooks: []any{log}})
		c := get(t, p)
		closed := make(chan error, 1)
		go func() { closed <- p.Shutdown(context.Background()) }()
		synctest.Wait()
		require.NoError(t, c.Close())
		require.NoError(t, <-closed)
		require.Equal(t, []pool.ReleaseEvent{{ID: 1, Reason: pool.PoolClosed}}, log.releases)
	})
}

// A connection that Clear has ended was not kept, one dialed since in an old
// place included.
func TestReleaseAfterClear(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		log := &hookLog{}
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, Hooks: []any{log}})
		a, b := get(t, p), get(t, p)
		p.Clear()
		require.NoError(t, a.Close())
		err := b.Replace(t.Context())
		require.NoError(t, err)
		require.NoError(t, b.Close())
		synctest.Wait()
		require.Equal(t, []pool.ReleaseEvent{
			{ID: 1, Reason: pool.Cleared}, {ID: 3, Reason: pool.Cleared},
		}, log.releases)
		require.Equal(t, uint64(2), p.Stat().Evictions[pool.Cleared])
		require.Zero(t, p.Stat().Evictions[pool.Surplus])
	})
}

// A connection dialed in place of one that nobody had counts one checkout.
func TestGetsAfterManyDead(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		const n = 20
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxConns: n})
		var held []*pool.Conn
		for range n {
			held = append(held, get(t, p))
		}
		for _, c := range held {
			require.NoError(t, c.Close())
		}
		synctest.Wait() // the server has all of them
		s.closeConns()
		time.Sleep(2 * time.Second) // past the default threshold of every system
		require.NoError(t, get(t, p).Close())
		require.Equal(t, uint64(n+1), p.Stat().Gets)
	})
}
