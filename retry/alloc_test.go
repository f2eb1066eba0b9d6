package retry_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/retry"
)

// The happy path allocates nothing, with every field in use but
// PerAttemptTimeout, which needs a context of its own.
func TestHappyPathAllocatesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	spent := &retry.Budget{Burst: 1, PerSecond: -1, Ratio: 1e-6}
	_ = retry.Do(ctx, retry.Policy{Budget: spent, Backoff: retry.Constant(0)}, func(context.Context) error { return unsent(true) })
	for name, p := range map[string]retry.Policy{
		"zero": {},
		"full": {MaxAttempts: 5, Backoff: retry.Exponential{}, MaxElapsed: time.Hour, Budget: new(retry.Budget),
			Retryable: retry.SafeToRetry, OnRetry: func(context.Context, retry.Attempt) {}},
		"spent budget": {Budget: spent},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			require.Zero(t, testing.AllocsPerRun(1000, func() {
				_ = retry.Do(ctx, p, func(context.Context) error { calls++; return nil })
			}))
			require.Zero(t, testing.AllocsPerRun(1000, func() {
				n, _ := retry.Value(ctx, p, func(context.Context) (int, error) { return 1, nil })
				calls += n
			}))
			require.Equal(t, 2002, calls)
		})
	}
}
