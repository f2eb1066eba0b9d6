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
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// TestClose drains: waiters are told at once, what is idle is closed at once,
// what is in use when it is released, and then Shutdown returns.
func TestClose(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxConns: 2})
		a, b := get(t, p), get(t, p)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				start := time.Now()
				_, err := p.Get(t.Context())
				assert.ErrorIs(t, err, pool.ErrClosed)
				assert.Equal(t, time.Second, time.Since(start))
			})
		}
		time.Sleep(time.Second)
		for range 2 { // a second Close waits as well
			wg.Go(func() {
				start := time.Now()
				assert.NoError(t, p.Shutdown(t.Context()))
				assert.Equal(t, time.Minute, time.Since(start))
			})
		}
		synctest.Wait()
		_, err := p.Get(t.Context())
		require.ErrorIs(t, err, net.ErrClosed)
		require.NoError(t, a.Close())
		synctest.Wait()
		require.Equal(t, 1, s.open())
		roundTrip(t, b) // not disturbed
		time.Sleep(time.Minute)
		require.NoError(t, b.Close())
		wg.Wait()
		synctest.Wait()
		require.Zero(t, s.open())
		require.Equal(t, uint64(2), p.Stat().Evictions[pool.PoolClosed])
		require.ErrorIs(t, p.Do(t.Context(), nil), pool.ErrClosed)
	})
}

// TestShutdownEndsWithItsContext closes what is in use when the context ends.
func TestShutdownEndsWithItsContext(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial, Address: "name"}, pool.Config{Backend: open})
		a, b := get(t, p), get(t, p)
		read := make(chan error)
		go func() {
			_, err := a.Read(make([]byte, 1))
			read <- err
		}()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := p.Shutdown(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		var perr *pool.Error
		require.ErrorAs(t, err, &perr)
		require.Equal(t, "shutdown", perr.Op)
		require.ErrorIs(t, <-read, net.ErrClosed)
		_, err = b.Write([]byte("x"))
		require.ErrorIs(t, err, net.ErrClosed)
		synctest.Wait()
		require.Zero(t, s.open())
		require.NoError(t, a.Close())
		err = b.Replace(t.Context())
		require.ErrorIs(t, err, pool.ErrClosed)
		require.NoError(t, p.Shutdown(t.Context()))
	})
}

// TestCloseDuringReleases closes while callers release, many
// times: whoever is first, every connection is closed.
func TestCloseDuringReleases(t *testing.T) {
	overBackends(t, func(t *testing.T, open opener) {
		s := newMemServer(t, nil)
		var live atomic.Int32 // on our side
		dial := func(ctx context.Context) (net.Conn, error) { return counted(ctx, s, &live) }
		for range 500 {
			p := newPool(t, conn.Target{Dial: dial}, pool.Config{Backend: open, Probe: pool.Probe{Mode: pool.ProbeNever}})
			held := []*pool.Conn{get(t, p), get(t, p), get(t, p)}
			var wg sync.WaitGroup
			for _, c := range held {
				wg.Go(func() { _ = c.Close() })
			}
			require.NoError(t, p.Close())
			require.Zero(t, live.Load(), "when Close returns, nothing is open")
			wg.Wait()
			require.Zero(t, p.Stat().Open)
		}
	})
}

// counted dials s and counts the connections that are open.
func counted(ctx context.Context, s *memServer, open *atomic.Int32) (net.Conn, error) {
	c, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	open.Add(1)
	return &countedConn{Conn: c, open: open}, nil
}

type countedConn struct {
	net.Conn
	open *atomic.Int32
	once sync.Once
}

func (c *countedConn) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

// TestCloseWaitsForReplace closes while an AfterConnect, called by Replace, is
// still busy: nothing is open when Close returns.
func TestCloseWaitsForReplace(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, nil)
		var n atomic.Int32
		dials := 0
		p := newPool(t, conn.Target{Dial: func(ctx context.Context) (net.Conn, error) { return counted(ctx, s, &n) }},
			pool.Config{Backend: open, AfterConnect: func(ctx context.Context, _ *conn.Conn) (any, error) {
				if dials++; dials == 2 {
					<-ctx.Done()
					time.Sleep(time.Second)
					return nil, ctx.Err()
				}
				return nil, nil
			}})
		c := get(t, p)
		replaced := make(chan error)
		go func() { replaced <- c.Replace(context.Background()) }()
		synctest.Wait()
		start := time.Now()
		require.NoError(t, p.Close())
		require.Zero(t, n.Load())
		require.Zero(t, time.Since(start), "only for the connection")
		require.ErrorIs(t, <-replaced, net.ErrClosed)
		require.Zero(t, n.Load())
	})
}

// TestCloseDuringReplace ends the context while a caller dials anew: what it
// dials does not stay open.
func TestCloseDuringReplace(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.slowly(time.Second)}, pool.Config{Backend: open})
		c := get(t, p)
		done := make(chan error)
		go func() {
			err := c.Replace(context.Background())
			done <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		require.ErrorIs(t, p.Shutdown(ctx), context.DeadlineExceeded)
		require.ErrorIs(t, <-done, pool.ErrClosed)
		synctest.Wait()
		require.Zero(t, s.open())
	})
}

// TestClear gives out nothing older, and waiters served.
func TestClear(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxConns: 2, Probe: pool.Probe{Mode: pool.ProbeNever}})
		idle, held := get(t, p), get(t, p)
		require.NoError(t, idle.Close())
		p.Clear()
		synctest.Wait()
		require.Equal(t, 1, s.open())
		roundTrip(t, held)

		fresh := get(t, p)
		require.False(t, fresh.Reused())
		var wg sync.WaitGroup
		wg.Go(func() {
			c := get(t, p)
			assert.False(t, c.Reused())
			assert.NoError(t, c.Close())
		})
		synctest.Wait()
		require.NoError(t, held.Close())
		wg.Wait()
		require.NoError(t, fresh.Close())
		synctest.Wait()
		require.Equal(t, uint64(2), p.Stat().Evictions[pool.Cleared])
		require.Equal(t, uint64(2), p.Stat().Evictions.Total())
		require.Equal(t, 2, p.Stat().Idle)
	})
}

func TestResize(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxConns: 1, MinIdle: 1, Probe: pool.Probe{Mode: pool.ProbeNever}})
		var cerr *pool.ConfigError
		require.ErrorAs(t, p.Resize(0), &cerr)
		require.Equal(t, "MaxConns", cerr.Field)
		settle()
		a := get(t, p)
		if err := p.Resize(3); errors.Is(err, errors.ErrUnsupported) {
			require.NoError(t, a.Close())
			t.Skip("the backend cannot resize")
		}
		settle()
		b, c := get(t, p), get(t, p)
		require.Equal(t, 3, p.Stat().MaxConns)
		require.Equal(t, 3, p.Stat().Used)
		require.NoError(t, p.Resize(1))
		roundTrip(t, a)
		for _, c := range []*pool.Conn{a, b, c} {
			require.NoError(t, c.Close())
		}
		settle()
		require.Equal(t, 1, p.Stat().Open)
		require.Equal(t, uint64(2), p.Stat().Evictions[pool.Surplus])
		require.NoError(t, p.Resize(-1))
		require.Zero(t, p.Stat().MaxConns)
		closePool(t, p)
		require.ErrorIs(t, p.Resize(2), pool.ErrClosed)

		p = newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxConns: 2, MinIdle: 2})
		require.ErrorAs(t, p.Resize(1), &cerr)
		require.Equal(t, "MinIdle", cerr.Field)
	})
}

// plain hides what a backend can do beyond the contract.
type plain struct{ backend.Backend[*pool.Member] }

func TestResizeUnsupported(t *testing.T) {
	open := backends[0].open
	p := newPool(t, conn.Target{Address: "127.0.0.1:1"}, pool.Config{
		Backend: func(f backend.Factory[*pool.Member], l backend.Limits) (backend.Backend[*pool.Member], error) {
			b, err := open(f, l)
			return plain{b}, err
		}})
	err := p.Resize(3)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.ErrorContains(t, err, "resize")
}

// TestGetTimeout bounds a Get whose context has no end.
func TestGetTimeout(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxConns: 1, GetTimeout: time.Second})
		c := get(t, p)
		start := time.Now()
		_, err := p.Get(context.Background())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(start))
		require.NoError(t, c.Close())
		c = get(t, p)
		time.Sleep(time.Hour) // the timeout is Get's, not the checkout's
		_, err = c.Write([]byte("x"))
		require.NoError(t, err)
		_, err = io.ReadFull(c, make([]byte, 1))
		require.NoError(t, err)
		require.NoError(t, c.Close())
	})
}
