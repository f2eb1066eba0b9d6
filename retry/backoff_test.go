package retry_test

import (
	"context"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/retry"
)

const ms = time.Millisecond

// The ceilings are gRPC A6's min(initial*multiplier^(n-1), max) and the AWS
// SDKs' min(2^n, 20 s), from whose published cases the numbers are.
func TestExponentialCeilings(t *testing.T) {
	for _, c := range []struct {
		name     string
		backoff  retry.Exponential
		ceilings []time.Duration // for retry 1, 2, …
	}{
		{"defaults", retry.Exponential{}, []time.Duration{50 * ms, 100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 2000 * ms, 2000 * ms}},
		{"A6 example", retry.Exponential{Base: 100 * ms, Max: time.Second}, []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, time.Second, time.Second}},
		{"A6, multiplier 1.6", retry.Exponential{Base: time.Second, Max: 120 * time.Second, Factor: 1.6}, []time.Duration{1000 * ms, 1600 * ms, 2560 * ms, 4096 * ms}},
		{"AWS, 1 2 4 8", retry.Exponential{Base: time.Second, Max: 20 * time.Second}, []time.Duration{1000 * ms, 2000 * ms, 4000 * ms, 8000 * ms, 16000 * ms, 20000 * ms}},
		{"AWS, at most 3", retry.Exponential{Base: time.Second, Max: 3 * time.Second}, []time.Duration{1000 * ms, 2000 * ms, 3000 * ms, 3000 * ms}},
		{"factor 1 is constant", retry.Exponential{Base: ms, Factor: 1}, []time.Duration{ms, ms, ms}},
		{"base above the default maximum", retry.Exponential{Base: time.Hour}, []time.Duration{time.Hour, time.Hour}},
		{"invalid fields fall back", retry.Exponential{Base: -1, Max: -1, Factor: math.NaN()}, []time.Duration{50 * ms, 100 * ms}},
		{"base above max is max", retry.Exponential{Base: 2 * time.Second, Max: time.Second}, []time.Duration{time.Second}},
		{"huge", retry.Exponential{Base: math.MaxInt64, Max: math.MaxInt64}, []time.Duration{math.MaxInt64, math.MaxInt64}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for i, ceiling := range c.ceilings {
				requireUniform(t, 0, ceiling, func() time.Duration { return c.backoff.Delay(i+1, 0, nil) })
			}
		})
	}
}

func TestExponentialFarOut(t *testing.T) {
	for _, n := range []int{-1, 0, 63, 64, 1000, math.MaxInt} {
		d := retry.Exponential{}.Delay(n, 0, nil)
		require.GreaterOrEqual(t, d, time.Duration(0))
		require.LessOrEqual(t, d, 2*time.Second)
	}
}

// requireUniform draws many times: all within the bounds, reaching near both,
// with a mean in the middle. Seeds are random; the odds of a false alarm are
// below 1e-9 (bounds: 0.95^500; mean: more than 8 standard deviations).
func requireUniform(t *testing.T, low, high time.Duration, draw func() time.Duration) {
	t.Helper()
	const n = 500
	least, most, sum := time.Duration(math.MaxInt64), time.Duration(math.MinInt64), 0.0
	for range n {
		d := draw()
		least, most, sum = min(least, d), max(most, d), sum+float64(d)/n
	}
	width := float64(high - low)
	require.GreaterOrEqual(t, least, low)
	require.LessOrEqual(t, most, high)
	require.Less(t, float64(least), float64(low)+0.05*width)
	require.Greater(t, float64(most), float64(high)-0.05*width)
	require.InDelta(t, float64(low)+width/2, sum, 0.11*width)
}

func TestDecorrelated(t *testing.T) {
	d := retry.Decorrelated{Base: 100 * ms, Max: 10 * time.Second}
	for _, c := range []struct {
		backoff         retry.Decorrelated
		last, low, high time.Duration
	}{
		{d, 0, 100 * ms, 300 * ms},
		{d, 50 * ms, 100 * ms, 300 * ms},
		{d, 100 * ms, 100 * ms, 300 * ms},
		{d, 200 * ms, 100 * ms, 600 * ms},
		{d, time.Second, 100 * ms, 3 * time.Second},
		{retry.Decorrelated{}, 0, 50 * ms, 150 * ms},
		{retry.Decorrelated{Base: time.Hour}, 0, time.Hour, time.Hour},
		{retry.Decorrelated{Base: 1, Max: math.MaxInt64}, math.MaxInt64, 1, math.MaxInt64},
		{retry.Decorrelated{Base: 1, Max: math.MaxInt64}, math.MaxInt64 / 2, 1, math.MaxInt64},
	} {
		t.Run(fmt.Sprintf("%v after %v", c.backoff, c.last), func(t *testing.T) {
			if c.low == c.high {
				require.Equal(t, c.low, c.backoff.Delay(1, c.last, nil))
				return
			}
			requireUniform(t, c.low, c.high, func() time.Duration { return c.backoff.Delay(1, c.last, nil) })
		})
	}
}

// Three times the wait before is more than a Duration can hold.
func TestDecorrelatedOverflow(t *testing.T) {
	for _, base := range []time.Duration{math.MaxInt64 / 3, math.MaxInt64/3 + 1, math.MaxInt64 - 1, math.MaxInt64} {
		d := retry.Decorrelated{Base: base}
		require.NoError(t, d.Validate())
		for range 100 {
			require.Equal(t, base, d.Delay(1, 0, nil), "Max is Base")
			require.Equal(t, base, d.Delay(2, base, nil))
			require.GreaterOrEqual(t, retry.Decorrelated{Base: base, Max: math.MaxInt64}.Delay(1, 0, nil), base)
		}
	}
}

// Above Max the draw is cut, not redrawn: AWS's min(cap, random(base, 3*last)).
func TestDecorrelatedIsCutAtMax(t *testing.T) {
	d := retry.Decorrelated{Base: 0, Max: 3 * time.Second}
	cut := 0
	for range 600 {
		got := d.Delay(9, 3*time.Second, nil)
		require.LessOrEqual(t, got, 3*time.Second)
		if got == 3*time.Second {
			cut++
		}
	}
	require.InDelta(t, 400, cut, 100)
}

// chain shows what Do passes to a Backoff.
type chain struct{ seen *[][2]int64 }

func (c chain) Delay(n int, last time.Duration, _ error) time.Duration {
	*c.seen = append(*c.seen, [2]int64{int64(n), int64(last)})
	return last*2 + time.Second
}

func TestBackoffSequence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen [][2]int64
		start := time.Now()
		_ = retry.Do(t.Context(), retry.Policy{MaxAttempts: 4, Backoff: chain{&seen}}, func(context.Context) error { return unsent(true) })
		s := int64(time.Second)
		require.Equal(t, [][2]int64{{1, 0}, {2, s}, {3, 3 * s}}, seen)
		require.Equal(t, (1+3+7)*time.Second, time.Since(start))
	})
}

func TestNegativeDelayIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_ = retry.Do(t.Context(), retry.Policy{Backoff: retry.Constant(-time.Hour)}, func(context.Context) error { return unsent(true) })
		require.Zero(t, time.Since(start))
	})
}

// The default backoff of two retries is under 150 ms in all.
func TestDefaultBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, calls := time.Now(), 0
		_ = retry.Do(t.Context(), retry.Policy{}, func(context.Context) error { calls++; return unsent(true) })
		require.Equal(t, 3, calls)
		require.LessOrEqual(t, time.Since(start), 150*ms)
	})
}

// notYet asks for a wait, as a pool does that has stopped dialing.
type notYet time.Duration

func (n notYet) Error() string             { return "not yet" }
func (n notYet) SafeToRetry() bool         { return true }
func (n notYet) RetryAfter() time.Duration { return time.Duration(n) }

// seesErrors is a Backoff that records the errors it is given.
type seesErrors struct{ seen *[]error }

func (s seesErrors) Delay(_ int, _ time.Duration, err error) time.Duration {
	*s.seen = append(*s.seen, err)
	return 0
}

func TestBackoffWaitsForWhatTheErrorAsks(t *testing.T) {
	for _, backoff := range []retry.Backoff{nil, retry.Constant(time.Minute), retry.Exponential{}, retry.Decorrelated{}} {
		synctest.Test(t, func(t *testing.T) {
			start, calls := time.Now(), 0
			err := retry.Do(t.Context(), retry.Policy{Backoff: backoff}, func(context.Context) error {
				if calls++; calls == 1 {
					return fmt.Errorf("get: %w", notYet(7*time.Second))
				}
				return nil
			})
			require.NoError(t, err)
			require.Equal(t, 7*time.Second, time.Since(start))
		})
	}
}

func TestRetryAfter(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want time.Duration
	}{
		{nil, 0}, {context.Canceled, 0}, {notYet(0), 0}, {notYet(-1), 0}, {notYet(5), 5}, {fmt.Errorf("x: %w", notYet(6)), 6},
	} {
		d, ok := retry.RetryAfter(tt.err)
		require.Equal(t, tt.want > 0, ok)
		if ok {
			require.Equal(t, tt.want, d)
		}
	}
	require.Equal(t, time.Second, retry.Constant(time.Second).Delay(1, 0, notYet(0)), "a wait of zero says nothing")
}

func TestABackoffOfOnesOwnSeesTheError(t *testing.T) {
	var seen []error
	_ = retry.Do(t.Context(), retry.Policy{Backoff: seesErrors{&seen}}, func(context.Context) error { return notYet(len(seen) + 1) })
	require.Equal(t, []error{notYet(1), notYet(2)}, seen)
}

// The wait that an error asks for is bounded as every other is.
func TestRetryAfterBeyondTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		err := retry.Do(ctx, retry.Policy{}, func(context.Context) error { return notYet(time.Hour) })
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Zero(t, time.Since(start))
	})
}
