package pool_test

import (
	"context"
	"errors"
	"testing"
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
