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
