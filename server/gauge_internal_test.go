package server

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// window passes so many requests as are a window, and returns the bound behind it.
func window(t *testing.T, g *gauge, bound, busy float64, took ...time.Duration) float64 {
	t.Helper()
	n := max(20, int(bound+0.999999))
	for i := range n - 1 {
		require.Equal(t, bound, g.next(bound, busy, took[i%len(took)]), "within a window")
	}
	return g.next(bound, busy, took[(n-1)%len(took)])
}

// The bound of an adaptive Limiter, window by window.
func TestGauge(t *testing.T) {
	const ms = time.Millisecond
	var g gauge
	for _, step := range []struct {
		bound, busy float64
		took        []time.Duration
		want        float64
	}{
		{4, 4, []time.Duration{10 * ms}, 6},                       // it grows by its root
		{9, 9, []time.Duration{5 * ms, 15 * ms}, 12},              // on average as fast
		{100, 100, []time.Duration{12 * ms}, 110},                 // within the tolerance of 1.25
		{100, 100, []time.Duration{20 * ms}, 92.5},                // 0.8 + 0.2 * 0.625
		{100, 100, []time.Duration{100 * ms}, 90},                 // not faster than that
		{100, 50, []time.Duration{10 * ms}, 110},                  // half of it is used
		{100, 49, []time.Duration{10 * ms}, 100},                  // nobody asks for more
		{100, 40, []time.Duration{20 * ms}, 92.5},                 // it shrinks all the same
		{25, 25, []time.Duration{8 * ms}, 30},                     // a new lowest average
		{25, 25, []time.Duration{12500 * time.Microsecond}, 24},   // 0.8 + 0.2 * 0.8
		{16, 16, []time.Duration{8 * ms, 8 * ms, 8 * ms}, 20},     // the last one is forgotten
		{400, 400, []time.Duration{12 * ms, 4 * ms, 8 * ms}, 420}, // a window is as large as the bound
	} {
		require.InDelta(t, step.want, window(t, &g, step.bound, step.busy, step.took...), 1e-9, "%v", step)
	}
}

// Once in a hundred windows it halves the bound for two windows, and takes the second
// one's average for the lowest.
func TestGaugeProbes(t *testing.T) {
	const ms = time.Millisecond
	var g gauge
	for i := range 2 {
		for range gaugeProbe - 2*i { // two windows follow the first probe below
			require.InDelta(t, 110, window(t, &g, 100, 100, 10*ms), 1e-9)
		}
		require.InDelta(t, 50, window(t, &g, 100, 100, 10*ms), 1e-9, "the probe begins")
		require.InDelta(t, 50, window(t, &g, 50, 50, ms), 1e-9, "still what began before")
		require.InDelta(t, 100, window(t, &g, 50, 50, 30*ms), 1e-9, "the bound before")
		require.InDelta(t, 110, window(t, &g, 100, 100, 37*ms), 1e-9, "the lowest average has become higher")
		require.InDelta(t, 92.5, window(t, &g, 100, 100, 60*ms), 1e-9, "0.8 + 0.2 * 0.625")
	}
}

// The same at the lowest bound that there is, which is where a server is that has become
// slow for good.
func TestGaugeProbesAtOne(t *testing.T) {
	const ms = time.Millisecond
	var g gauge
	require.InDelta(t, 2, window(t, &g, 1, 1, 10*ms), 1e-9)
	for range gaugeProbe - 1 {
		require.InDelta(t, 0.9, window(t, &g, 1, 1, 100*ms), 1e-9)
	}
	require.InDelta(t, 0.5, window(t, &g, 1, 1, 100*ms), 1e-9, "the probe begins")
	require.InDelta(t, 1, window(t, &g, 1, 1, 100*ms), 1e-9, "still what began before")
	require.InDelta(t, 1, window(t, &g, 1, 1, 100*ms), 1e-9, "the bound before")
	require.InDelta(t, 2, window(t, &g, 1, 1, 100*ms), 1e-9, "it is the lowest average now")
}

// A Limiter whose Min is 1 is adaptive too, and begins there.
func TestAdaptiveLimiterBeginsAtMin(t *testing.T) {
	for _, least := range []int{1, 2, 5} {
		l := &Limiter{Min: least, Max: 7}
		require.Equal(t, least, l.Stat().Bound)
		for range 1000 {
			require.NoError(t, l.acquire(t.Context(), false))
			l.release(time.Millisecond)
		}
		require.GreaterOrEqual(t, l.Stat().Bound, min(least+1, 2))
		require.LessOrEqual(t, l.Stat().Bound, 7)
	}
}
