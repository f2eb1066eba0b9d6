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

// The random part shortens the interval of KeepAlive, by a tenth at most.
func TestKeepAliveIsNeverLate(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		var probes atomic.Int32
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, KeepAlive: 10 * time.Second,
			Probe: pool.Probe{Mode: pool.ProbeNever, Func: func(context.Context, *conn.Conn) error { probes.Add(1); return nil }}})
		release(t, getMany(t, p, 5)...)
		time.Sleep(9*time.Second - time.Millisecond)
		require.Zero(t, probes.Load())
		time.Sleep(time.Second + 2*time.Millisecond)
		synctest.Wait()
		require.EqualValues(t, 5, probes.Load())
	})
}

// Close begins no further probe and takes none of them for a sign of death, even if
// something else holds it up.
func TestCloseEndsTheRoundOfKeepAlive(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		var probes atomic.Int32
		m := &meddler{afterWarm: func() { time.Sleep(time.Minute) }}
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: m.meddle(open), MinIdle: 1, KeepAlive: 10 * time.Second,
			Probe: pool.Probe{Timeout: time.Hour, Func: func(ctx context.Context, _ *conn.Conn) error {
				probes.Add(1)
				<-ctx.Done()
				return ctx.Err()
			}}})
		synctest.Wait()
		release(t, getMany(t, p, 5)...)
		time.Sleep(30 * time.Second)
		require.EqualValues(t, 1, probes.Load())
		require.NoError(t, p.Close())
		require.EqualValues(t, 1, probes.Load())
		require.Zero(t, p.Stat().Evictions[pool.Dead])
	})
}

// A keep-alive probe that fails costs the trust in connections that were idle for as
// long, which it had seen too early to probe them.
func TestKeepAliveThatFailsCostsTheTrustInOthers(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}} { // a backend may look at them in either order
		inBubbles(t, func(t *testing.T, open opener) {
			s := newMemServer(t, echo)
			probed := map[string]int{}
			var slow, dead string
			p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, KeepAlive: 10 * time.Second,
				Probe: pool.Probe{Mode: pool.ProbeNever, Func: func(_ context.Context, c *conn.Conn) error {
					name := c.LocalAddr().String()
					probed[name]++
					switch name {
					case slow:
						time.Sleep(3 * time.Second)
					case dead:
						return errOops
					}
					return nil
				}}})
			all := getMany(t, p, 3)
			early := all[order[0]].LocalAddr().String()
			slow, dead = all[order[1]].LocalAddr().String(), all[order[2]].LocalAddr().String()
			release(t, all[order[1]])
			time.Sleep(1500 * time.Millisecond)
			release(t, all[order[0]])
			release(t, all[order[2]])
			time.Sleep(11600 * time.Millisecond)
			synctest.Wait()
			require.EqualValues(t, 1, probed[slow])
			for _, c := range getMany(t, p, 2) {
				require.True(t, probed[dead] == 0 || probed[early] == 1)
				defer c.Close()
			}
		})
	}
}
