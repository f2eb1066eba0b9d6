package retry_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/retry"
)

// call is one Do: it fails so many times, then succeeds.
type call struct {
	fails     int
	attempts  int     // that it gets
	available float64 // tokens left in the bucket
}

// The cases are those of the AWS SDKs' retry quota and of gRPC A6's throttling,
// told in tokens of one retry each: no tokens by time, five attempts a call.
func TestBudgetScenarios(t *testing.T) {
	for _, c := range []struct {
		name  string
		ratio float64
		burst int
		calls []call
	}{
		{"AWS: succeeds after two retries", -1, 100, []call{{2, 3, 98}}},
		{"AWS: attempts end before the quota", -1, 100, []call{{9, 5, 96}}},
		{"AWS: quota reached after one retry", -1, 1, []call{{9, 2, 0}}},
		{"AWS: no retry without quota", -1, -1, []call{{9, 1, 0}}},
		{"AWS: quota runs dry in the third call", -1, 6, []call{{2, 3, 4}, {3, 4, 1}, {9, 2, 0}, {1, 1, 0}}},
		{"AWS: success brings quota back", 0.5, 2, []call{{2, 3, 0}, {0, 1, 0.5}, {0, 1, 1}, {1, 2, 0.5}, {9, 2, 0}}},
		{"AWS: quota never above its capacity", 1, 3, []call{{0, 1, 3}, {0, 1, 3}, {2, 3, 1}, {0, 1, 2}, {0, 1, 3}, {0, 1, 3}}},
		{"A6: ratio 0.1, a retry per ten calls", 0.1, 1, []call{{1, 2, 0}, {0, 1, 0.1}, {0, 1, 0.2}, {0, 1, 0.3}, {0, 1, 0.4},
			{0, 1, 0.5}, {0, 1, 0.6}, {0, 1, 0.7}, {0, 1, 0.8}, {1, 1, 0.9}, {1, 2, 0}}},
		{"A6: three decimals of the ratio count", 0.001, 1, []call{{1, 2, 0}, {1, 1, 0.001}, {1, 1, 0.002}}},
		{"A6: a server that is down gets one attempt a call", 0.25, 4, []call{{9, 5, 0}, {9, 1, 0.25}, {9, 1, 0.5}, {9, 1, 0.75}, {9, 2, 0}, {9, 1, 0.25}}},
		{"Finagle's fifth", 0, 1, []call{{9, 2, 0}, {9, 1, 0.2}, {9, 1, 0.4}, {9, 1, 0.6}, {9, 1, 0.8}, {9, 2, 0}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &retry.Budget{Ratio: c.ratio, PerSecond: -1, Burst: c.burst}
			p := retry.Policy{MaxAttempts: 5, Backoff: retry.Constant(0), Budget: b}
			var retries uint64
			for i, call := range c.calls {
				require.Equal(t, call.attempts, attempts(t, p, call.fails), "call %d", i)
				retries += uint64(call.attempts - 1)
				require.InDelta(t, call.available, b.Stat().Available, 1e-6, "call %d", i)
				require.Equal(t, retries, b.Stat().Allowed)
			}
		})
	}
}

// attempts makes one call that fails so many times, and says how often fn ran.
func attempts(t *testing.T, p retry.Policy, fails int) int {
	n := 0
	err := retry.Do(context.Background(), p, func(context.Context) error {
		if n++; n > fails {
			return nil
		}
		return unsent(true)
	})
	if n <= fails {
		require.Equal(t, unsent(true), err, "a refused retry gives the last error")
	}
	return n
}

func TestBudgetReservePerSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &retry.Budget{Ratio: -1, PerSecond: 2, Burst: 3}
		p := retry.Policy{MaxAttempts: -1, Backoff: retry.Constant(0), Budget: b}
		require.Equal(t, 4, attempts(t, p, 99))
		require.Equal(t, 1, attempts(t, p, 99))
		time.Sleep(499 * time.Millisecond)
		require.Equal(t, 1, attempts(t, p, 99))
		time.Sleep(time.Millisecond)
		require.Equal(t, 2, attempts(t, p, 99))
		time.Sleep(time.Hour)
		require.Equal(t, retry.BudgetStat{Available: 3, Allowed: 4, Denied: 4}, b.Stat())
		require.Equal(t, 4, attempts(t, p, 99))
	})
}

func TestZeroBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(retry.Budget)
		p := retry.Policy{MaxAttempts: -1, Backoff: retry.Constant(0), Budget: b}
		require.Equal(t, 100.0, b.Stat().Available)
		require.Equal(t, 1+100, attempts(t, p, 1000))
		time.Sleep(time.Second)
		require.InDelta(t, 10, b.Stat().Available, 1e-3)
		require.Equal(t, 1+10, attempts(t, p, 1000))
	})
}

// A call through Value earns what one through Do does.
func TestBudgetOfValue(t *testing.T) {
	b := &retry.Budget{Ratio: 0.5, PerSecond: -1, Burst: 1}
	p := retry.Policy{Backoff: retry.Constant(0), Budget: b}
	require.Equal(t, 2, attempts(t, p, 1))
	require.Zero(t, b.Stat().Available)
	for _, available := range []float64{0.5, 1} {
		_, err := retry.Value(t.Context(), p, func(context.Context) (int, error) { return 1, nil })
		require.NoError(t, err)
		require.Equal(t, available, b.Stat().Available)
	}
}

// A retry that the wait's end forbids must not be paid for before it is known
// to be impossible.
func TestBudgetIsNotSpentOnRetriesThatCannotHappen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		b := &retry.Budget{Burst: 5}
		for _, p := range []retry.Policy{
			{Backoff: retry.Constant(time.Minute)},
			{Backoff: retry.Constant(time.Minute), MaxElapsed: time.Second},
			{MaxAttempts: 1},
			{Retryable: func(error) bool { return false }},
		} {
			p.Budget = b
			require.Error(t, retry.Do(ctx, p, func(context.Context) error { return unsent(true) }))
		}
		require.Equal(t, retry.BudgetStat{Available: 5}, b.Stat())
	})
}

// Concurrent callers of a server that is down: however they interleave, the
// retries are exactly the burst and the share.
func TestBudgetConcurrent(t *testing.T) {
	const callers, calls, burst = 16, 250, 50
	b := &retry.Budget{Ratio: 0.25, PerSecond: -1, Burst: burst}
	p := retry.Policy{MaxAttempts: -1, Backoff: retry.Constant(0), Budget: b}
	var tries atomic.Int64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range calls {
				_ = retry.Do(context.Background(), p, func(context.Context) error { tries.Add(1); return unsent(true) })
				_ = b.Stat()
			}
		})
	}
	wg.Wait()
	const total = callers * calls
	stat := b.Stat()
	retries := tries.Load() - total
	require.Equal(t, uint64(retries), stat.Allowed)
	require.Equal(t, uint64(total), stat.Denied) // each call ends refused
	require.LessOrEqual(t, float64(retries), burst+0.25*total)
	require.GreaterOrEqual(t, float64(retries), burst+0.25*(total-burst)-1)
}

func ExampleBudget() {
	// One budget for all calls to one server, whatever their policies.
	budget := &retry.Budget{Ratio: 0.1, PerSecond: -1, Burst: 2}
	policy := retry.Policy{MaxAttempts: 10, Backoff: retry.Constant(0), Idempotent: true, Budget: budget}
	attempts := 0
	err := retry.Do(context.Background(), policy, func(context.Context) error {
		attempts++
		return fmt.Errorf("server is down")
	})
	fmt.Println(attempts, err)
	// Output: 3 server is down
}
