package pool_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
)

// Close waits for the goroutines that keep MinIdle and KeepAlive, wherever they are.
func TestCloseWaitsForWarmAndSweep(t *testing.T) {
	for name, c := range map[string]pool.Config{
		"MinIdle": {MinIdle: 1},
		"KeepAlive": {KeepAlive: time.Second, MaxLifetime: -1,
			Probe: pool.Probe{Func: func(context.Context, *conn.Conn) error { return nil }}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, open opener) {
				s := newMemServer(t, echo)
				var inside atomic.Int32
				linger := func() {
					inside.Add(1)
					time.Sleep(time.Minute)
					inside.Add(-1)
				}
				m := &meddler{afterWarm: linger, afterSweep: linger}
				c.Backend = m.meddle(open)
				p := newPool(t, conn.Target{Dial: s.dial}, c)
				time.Sleep(10 * time.Second)
				require.EqualValues(t, 1, inside.Load())
				require.NoError(t, p.Close())
				require.Zero(t, inside.Load())
			})
		})
	}
}

// A pool without MinIdle, KeepAlive and bounds on the age does nothing in the
// background.
func TestNothingInTheBackground(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		m := &meddler{}
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: m.meddle(open), MaxLifetime: -1})
		for range 10 {
			require.NoError(t, get(t, p).Close())
			time.Sleep(time.Hour)
		}
		require.Zero(t, m.warms.Load())
		require.Zero(t, m.sweeps.Load())
	})
}

// Connections that become due one after the other are closed together, by few
// sweeps, and yet none is late.
func TestSweepsAreFarApart(t *testing.T) {
	for name, c := range map[string]pool.Config{
		"both":        {MaxIdleTime: time.Minute, MaxLifetime: time.Hour},
		"MaxIdleTime": {MaxIdleTime: time.Minute, MaxLifetime: -1},
		"MaxLifetime": {MaxLifetime: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, open opener) {
				s := newMemServer(t, echo)
				m := &meddler{}
				c.Backend, c.MaxConns, c.Probe = m.meddle(open), 1000, pool.Probe{Mode: pool.ProbeNever}
				p := newPool(t, conn.Target{Dial: s.dial}, c)
				time.Sleep(time.Minute)
				before := m.sweeps.Load()
				var held []*pool.Conn
				for range 200 {
					held = append(held, get(t, p))
					time.Sleep(5 * time.Millisecond)
				}
				for _, c := range held {
					require.NoError(t, c.Close())
					time.Sleep(5 * time.Millisecond)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				require.Zero(t, s.open())
				// Due within a second, or two, and swept each 250 ms at most.
				require.LessOrEqual(t, m.sweeps.Load()-before, int32(14))
			})
		})
	}
}

// A connection that its caller gave up waiting for becomes idle unseen; it is closed
// when it is due, even if the pool has not been busy for long.
func TestUnseenConnectionIsClosedWhenDue(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		m := &meddler{afterNew: func() { time.Sleep(time.Millisecond) }}
		p := newPool(t, conn.Target{Dial: s.slowly(5 * time.Second)}, pool.Config{Backend: m.meddle(open), MaxIdleTime: time.Minute, MaxLifetime: -1})
		time.Sleep(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := p.Get(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		time.Sleep(4*time.Second + time.Millisecond)
		synctest.Wait()
		require.Equal(t, 1, s.open())
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Zero(t, s.open())
	})
}
