package pool_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
)

// An error of f's own is no reason to close a healthy connection.
func TestDoKeepsAHealthyConnection(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open})
		own := errors.New("not found")
		for range 3 {
			require.Equal(t, own, p.Do(t.Context(), func(c *pool.Conn) error {
				roundTrip(t, c)
				return own
			}))
		}
		require.Equal(t, 1, s.dialed())
		require.Zero(t, p.Stat().Evictions.Total())
	})
}

// The context of a Do that has ended is nothing to the next checkout.
func TestDoDoesNotBoundTheNextCheckout(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open})
		ctx, cancel := context.WithCancel(t.Context())
		require.NoError(t, p.Do(ctx, func(c *pool.Conn) error { roundTrip(t, c); return nil }))
		cancel()
		c := get(t, p)
		require.NoError(t, c.Replace(t.Context()))
		time.Sleep(time.Second)
		roundTrip(t, c)
		require.NoError(t, c.Close())
	})
}

// The error of a Do with a Replace in it is f's as long as the context lives, and
// nil if f says so.
func TestErrorOfADoWithReplace(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open})
		own := errors.New("not found")
		require.Equal(t, own, p.Do(t.Context(), func(c *pool.Conn) error {
			require.NoError(t, c.Replace(t.Context()))
			return own
		}))
		require.Equal(t, 1, p.Stat().Idle, "it is healthy")
		ctx, cancel := context.WithCancel(t.Context())
		require.NoError(t, p.Do(ctx, func(c *pool.Conn) error {
			require.NoError(t, c.Replace(ctx))
			roundTrip(t, c)
			cancel()
			return nil
		}))
		require.Zero(t, p.Stat().Used)
	})
}

// The stack of a leak shows a Do that the caller of Get is inside of.
func TestLeakInsideADo(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		var leaks []pool.Leak
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open,
			LeakAfter: time.Second, LeakReport: func(l pool.Leak) { leaks = append(leaks, l) }})
		q := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open})
		var c *pool.Conn
		require.NoError(t, q.Do(t.Context(), func(*pool.Conn) error { c = leak(t, p); return nil }))
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Len(t, leaks, 1)
		require.Contains(t, leaks[0].Stack, "pool.(*Pool).Do\n")
		require.NotContains(t, leaks[0].Stack, "pool.(*Pool).Get\n")
		require.NoError(t, c.Close())
	})
}
