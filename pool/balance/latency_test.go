package balance_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/pool/balance"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

// timed makes one call to a server that ends after a time.
func timed(t *testing.T, b *balance.Balancer[*server], d time.Duration, o balance.Outcome) time.Duration {
	t.Helper()
	pass(time.Millisecond) // calls at the same moment are not all timed
	l, err := b.Pick(t.Context(), balance.Request{})
	require.NoError(t, err)
	pass(d)
	l.Done(o)
	return l.Node.Latency()
}

func TestLatencyOfFailures(t *testing.T) {
	bubble(t, "slow ones count, fast ones do not", func(t *testing.T) {
		set := names(2)
		set[1].Priority = 1 // not used
		b := start(t, newFleet().config(resolve.Static(set)))
		require.Equal(t, 10*ms, timed(t, b, 10*ms, balance.Outcome{}))
		require.Equal(t, 10*ms, timed(t, b, 0, failed))
		require.Equal(t, 100*ms, timed(t, b, 100*ms, failed))
		require.Equal(t, 100*ms, timed(t, b, ms, balance.Outcome{Result: balance.Ignored}))
		pass(100 * ms)
		falls := timed(t, b, 0, balance.Outcome{})
		require.Less(t, falls, 100*ms)
		require.Equal(t, 200*ms, timed(t, b, 200*ms, balance.Outcome{}), "a peak counts at once")
		pass(10 * time.Second)
		require.Less(t, timed(t, b, ms, balance.Outcome{}), 2*ms, "and is forgotten")
	})
}

// Endpoints that are as fast as each other share the calls in flight.
func TestPeakEWMACountsCallsInFlight(t *testing.T) {
	bubble(t, "held calls", func(t *testing.T) {
		b := start(t, newFleet().config(resolve.Static(names(4))))
		run(b, 8, ms, time.Second, 1)
		held := map[string]int{}
		for range 200 {
			l, err := b.Pick(t.Context(), balance.Request{})
			require.NoError(t, err)
			held[l.Value.addr]++
		}
		for addr, n := range held {
			require.InDelta(t, 50, n, 15, addr)
		}
		require.Len(t, held, 4)
	})
}

// Calls to endpoints that reply fast go to one of them for a while, if there are
// many, so that a pipeline can send them together.
func TestPeakEWMAGathersCallsToFastEndpoints(t *testing.T) {
	for _, c := range []struct {
		name    string
		latency time.Duration
		callers int
		changes float64 // of the endpoint from one call to the next: less if below a half, else more
	}{
		{"fast, many calls", 100 * time.Microsecond, 256, 0.1},
		{"fast, few calls", 100 * time.Microsecond, 4, 0.5},
		{"slow", 2 * ms, 256, 0.5},
	} {
		bubble(t, c.name, func(t *testing.T) {
			b := start(t, newFleet().config(resolve.Static(names(4))))
			run(b, 8, ms, time.Second, 1)
			for range 400 { // each endpoint has its latency by then
				timed(t, b, c.latency, balance.Outcome{})
			}
			pass(5 * time.Second)
			var inFlight []balance.Checkout[*server]
			calls, changes, last := map[string]int{}, 0, ""
			const total = 25_600
			for range total / c.callers {
				for range c.callers {
					l, err := b.Pick(t.Context(), balance.Request{})
					require.NoError(t, err)
					inFlight = append(inFlight, l)
					if calls[l.Value.addr]++; l.Value.addr != last {
						changes++
					}
					last = l.Value.addr
				}
				pass(c.latency)
				for i := range inFlight {
					inFlight[i].Done(balance.Outcome{})
				}
				inFlight = inFlight[:0]
			}
			share := float64(changes) / float64(total)
			if c.changes < 0.5 {
				require.Less(t, share, c.changes)
			} else {
				require.Greater(t, share, c.changes)
			}
			for addr, n := range calls {
				require.InEpsilon(t, total/4, n, 0.25, addr)
			}
		})
	}
}
