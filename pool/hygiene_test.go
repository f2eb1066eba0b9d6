package pool_test

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
)

// checkouts are what callers do with a connection, and what becomes of it.
var checkouts = []struct {
	name  string
	spoil func(t *testing.T, c *pool.Conn)
	count func(pool.Evictions) uint64 // nil: it is kept
}{
	{"unused", func(*testing.T, *pool.Conn) {}, nil},
	{"used well", func(t *testing.T, c *pool.Conn) { roundTrip(t, c) }, nil},
	{"deadline set and cleared", func(t *testing.T, c *pool.Conn) {
		require.NoError(t, c.SetDeadline(time.Now().Add(time.Hour)))
		roundTrip(t, c)
		require.NoError(t, c.SetDeadline(time.Time{}))
	}, nil},
	{"context deadline", func(t *testing.T, c *pool.Conn) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		require.NoError(t, c.Do(ctx, func() error { roundTrip(t, c); return nil }))
	}, nil},
	{"read timed out", func(t *testing.T, c *pool.Conn) {
		require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Second)))
		_, err := c.Read(make([]byte, 1))
		require.ErrorAs(t, err, new(net.Error))
		require.NoError(t, c.SetReadDeadline(time.Time{}))
	}, func(e pool.Evictions) uint64 { return e[pool.TimedOut] }},
	{"read timed out in a message", func(t *testing.T, c *pool.Conn) {
		c.SetMidMessage(true)
		require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Second)))
		_, err := c.Read(make([]byte, 1))
		require.ErrorAs(t, err, new(net.Error))
		require.NoError(t, c.SetReadDeadline(time.Time{}))
	}, func(e pool.Evictions) uint64 { return e[pool.TimedOut] }},
	{"context's deadline passed", func(t *testing.T, c *pool.Conn) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, readIn(ctx, c), context.DeadlineExceeded)
	}, func(e pool.Evictions) uint64 { return e[pool.TimedOut] }},
	{"context canceled", func(t *testing.T, c *pool.Conn) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer time.AfterFunc(time.Second, cancel).Stop()
		require.ErrorIs(t, readIn(ctx, c), context.Canceled)
	}, func(e pool.Evictions) uint64 { return e[pool.Unfit] }},
	{"deadline left", func(t *testing.T, c *pool.Conn) {
		require.NoError(t, c.SetWriteDeadline(time.Now().Add(time.Hour)))
	}, func(e pool.Evictions) uint64 { return e[pool.Unfit] }},
	{"message half done", func(t *testing.T, c *pool.Conn) { c.SetMidMessage(true) },
		func(e pool.Evictions) uint64 { return e[pool.Unfit] }},
	{"half closed", func(t *testing.T, c *pool.Conn) { require.NoError(t, c.CloseWrite()) },
		func(e pool.Evictions) uint64 { return e[pool.Unfit] }},
	{"unread in the buffer", func(t *testing.T, c *pool.Conn) {
		_, err := c.Write([]byte("ab"))
		require.NoError(t, err)
		_, err = c.Peek(2)
		require.NoError(t, err)
		_, err = c.Conn.Discard(1)
		require.NoError(t, err)
	}, func(e pool.Evictions) uint64 { return e[pool.Dirty] }},
	{"end of stream read", func(t *testing.T, c *pool.Conn) {
		_, err := c.Write([]byte{quit})
		require.NoError(t, err)
		_, err = c.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
	}, func(e pool.Evictions) uint64 { return e[pool.PeerClosed] }},
	{"closed below", func(t *testing.T, c *pool.Conn) { require.NoError(t, c.Conn.Close()) },
		func(e pool.Evictions) uint64 { return e[pool.Broken] }},
	{"handed elsewhere", func(t *testing.T, c *pool.Conn) {
		var own conn.Conn
		require.NoError(t, c.Handoff(&own))
		t.Cleanup(func() { _ = own.Close() })
		roundTrip(t, &own)
	}, func(e pool.Evictions) uint64 { return e[pool.Broken] }},
	{"evicted", func(t *testing.T, c *pool.Conn) { c.Evict() },
		func(e pool.Evictions) uint64 { return e[pool.Discarded] }},
}

// readIn reads one byte, until ctx ends.
func readIn(ctx context.Context, c *pool.Conn) error {
	return c.Do(ctx, func() error {
		_, err := c.Read(make([]byte, 1))
		return err
	})
}

// TestCloseByHealth shows what Close makes of a connection in every state, and
// that the next caller never has one that was touched.
func TestCloseByHealth(t *testing.T) {
	for _, tc := range checkouts {
		t.Run(tc.name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, open opener) {
				s := newMemServer(t, echo)
				p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, Probe: pool.Probe{Mode: pool.ProbeNever}})
				c := get(t, p)
				tc.spoil(t, c)
				require.NoError(t, c.Close())
				_, err := c.Write([]byte("x"))
				require.ErrorIs(t, err, net.ErrClosed)

				next := get(t, p)
				roundTrip(t, next)
				require.Equal(t, tc.count == nil, next.Reused())
				require.NoError(t, next.Close())
				synctest.Wait()
				e := p.Stat().Evictions
				if tc.count == nil {
					require.Zero(t, e.Total())
				} else {
					require.Equal(t, uint64(1), tc.count(e))
					require.Equal(t, uint64(1), e.Total())
				}
			})
		})
	}
}

// TestCloseDuringRead shows that Close ends an operation in progress.
func TestCloseDuringRead(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open})
		c := get(t, p)
		read := make(chan error)
		go func() {
			_, err := c.Read(make([]byte, 1))
			read <- err
		}()
		synctest.Wait()
		require.NoError(t, c.Close())
		require.ErrorIs(t, <-read, net.ErrClosed)
		synctest.Wait()
		require.Equal(t, uint64(1), p.Stat().Evictions[pool.Unfit])
	})
}

// TestStaleHandle keeps a handle long after Close and uses it in every way
// while the connection is another's.
func TestStaleHandle(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxConns: 1})
		stale := get(t, p)
		require.NoError(t, stale.Close())
		c := get(t, p)
		require.True(t, c.Reused())

		_, err := c.Write([]byte("mine"))
		require.NoError(t, err)
		synctest.Wait()
		require.NoError(t, stale.Close())
		stale.Evict()
		_, err = stale.Read(make([]byte, 4))
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = stale.Write([]byte("not"))
		require.ErrorIs(t, err, net.ErrClosed)
		require.ErrorIs(t, stale.SetDeadline(time.Now()), net.ErrClosed)
		require.ErrorIs(t, stale.Conn.Close(), net.ErrClosed)
		require.ErrorIs(t, stale.Do(t.Context(), func() error { return nil }), net.ErrClosed)
		err = stale.Replace(t.Context())
		require.ErrorIs(t, err, net.ErrClosed)
		require.Nil(t, stale.Session())
		stale.SetMidMessage(true)

		b := make([]byte, 4)
		_, err = io.ReadFull(c, b)
		require.NoError(t, err)
		require.Equal(t, "mine", string(b))
		require.NoError(t, c.Close())
		require.Zero(t, p.Stat().Evictions.Total())
		require.Equal(t, 1, s.dialed())
	})
}

// TestCloseTwiceAtOnce ends each checkout from several goroutines: the
// connection comes back once.
func TestCloseTwiceAtOnce(t *testing.T) {
	overBackends(t, func(t *testing.T, open opener) {
		s := newTCPServer(t, echo)
		p := newPool(t, conn.Target{Address: s.addr}, pool.Config{Backend: open, MaxConns: 2})
		for range 500 {
			c := get(t, p)
			var wg sync.WaitGroup
			for i := range 4 {
				wg.Go(func() {
					if i == 3 {
						c.Evict()
						return
					}
					_ = c.Close()
				})
			}
			wg.Wait()
			require.LessOrEqual(t, p.Stat().Open, 2)
			require.Zero(t, p.Stat().Used)
		}
	})
}

func TestReplace(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxConns: 2, Probe: pool.Probe{Mode: pool.ProbeNever}})
		idle, c := get(t, p), get(t, p)
		require.NoError(t, idle.Close())
		s.closeConns()
		synctest.Wait()

		err := c.Replace(t.Context())
		require.NoError(t, err)
		require.False(t, c.Reused())
		roundTrip(t, c)
		require.Equal(t, 1, p.Stat().Idle, "the idle one is passed by")
		require.Equal(t, 3, s.dialed())
		require.NoError(t, c.Close())
		require.Equal(t, 2, p.Stat().Idle)
		synctest.Wait()
		require.Equal(t, uint64(1), p.Stat().Evictions.Total())

		// A failed dial ends the checkout.
		c = get(t, p)
		s.l.Refuse(true)
		err = c.Replace(t.Context())
		var perr *pool.Error
		require.ErrorAs(t, err, &perr)
		require.Equal(t, "replace", perr.Op)
		require.True(t, perr.SafeToRetry())
		synctest.Wait()
		require.Equal(t, 1, p.Stat().Open)
		require.Zero(t, p.Stat().Used)
	})
}

// TestDo shows that Do bounds f's I/O by the context and ends the checkout however
// f ends.
func TestDo(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxConns: 1})
		require.NoError(t, p.Do(t.Context(), func(c *pool.Conn) error { roundTrip(t, c); return nil }))
		require.Equal(t, 1, p.Stat().Idle)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := p.Do(ctx, func(c *pool.Conn) error {
			_, err := c.Read(make([]byte, 1))
			return err
		})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		synctest.Wait()
		require.Zero(t, p.Stat().Open)
		require.ErrorIs(t, p.Do(ctx, nil), context.DeadlineExceeded)

		require.PanicsWithValue(t, "f", func() { _ = p.Do(t.Context(), func(*pool.Conn) error { panic("f") }) })
		synctest.Wait()
		require.Zero(t, p.Stat().Open)
		require.Equal(t, uint64(1), p.Stat().Evictions[pool.Discarded])
	})
}
