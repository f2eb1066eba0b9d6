package retry_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/retry"
)

// trial is a random policy, context and operation, and what became of them.
type trial struct {
	policy   retry.Policy
	end      time.Duration // of the context; zero: never
	cancel   bool          // it ends by cancellation, not by deadline
	takes    time.Duration // each attempt
	succeeds int           // this attempt succeeds; zero: none

	starts []time.Duration
	hooks  []retry.Attempt
	took   time.Duration
	err    error
}

func randomTrial(rng *rand.Rand) *trial {
	pick := func(ds ...time.Duration) time.Duration { return ds[rng.IntN(len(ds))] * time.Second }
	tr := &trial{
		end: pick(0, 0, 1, 5, 9), cancel: rng.IntN(2) == 0,
		takes: pick(0, 0, 1, 2, 6), succeeds: rng.IntN(7),
		policy: retry.Policy{
			MaxAttempts:       rng.IntN(7) - 1,
			PerAttemptTimeout: pick(0, 0, 1, 3),
			MaxElapsed:        pick(0, 0, 2, 8),
			Idempotent:        true,
			Backoff: []retry.Backoff{retry.Constant(0), retry.Constant(time.Second), retry.Constant(4 * time.Second),
				retry.Exponential{Base: time.Second}, retry.Decorrelated{Base: time.Second}}[rng.IntN(5)],
		},
	}
	if tr.policy.MaxAttempts < 0 || rng.IntN(2) == 0 {
		tr.policy.Budget = &retry.Budget{Burst: 1 + rng.IntN(6), Ratio: -1, PerSecond: -1}
	}
	return tr
}

func (tr *trial) run(parent context.Context) {
	ctx, cancel := context.WithCancel(parent)
	switch {
	case tr.end > 0 && tr.cancel:
		time.AfterFunc(tr.end, cancel)
	case tr.end > 0:
		ctx, cancel = context.WithTimeout(parent, tr.end)
	}
	defer cancel()
	begin := time.Now()
	tr.policy.OnRetry = func(_ context.Context, a retry.Attempt) { tr.hooks = append(tr.hooks, a) }
	tr.err = retry.Do(ctx, tr.policy, func(ctx context.Context) error {
		tr.starts = append(tr.starts, time.Since(begin))
		select {
		case <-time.After(tr.takes):
		case <-ctx.Done():
			return fmt.Errorf("interrupted: %w", ctx.Err())
		}
		if len(tr.starts) == tr.succeeds {
			return nil
		}
		return fmt.Errorf("attempt %d: %w", len(tr.starts), errPlain)
	})
	tr.took = time.Since(begin)
}

// check holds what must be true of every call, whatever the policy.
func (tr *trial) check(t *testing.T) {
	n, p := len(tr.starts), tr.policy
	require.Positive(t, n)
	if most := p.MaxAttempts; most >= 0 {
		require.LessOrEqual(t, n, map[bool]int{true: 3, false: most}[most == 0])
	}
	require.Len(t, tr.hooks, n-1, "one hook for each retry, none besides")
	for i, h := range tr.hooks {
		require.Equal(t, i+1, h.Number)
		require.Error(t, h.Err)
		require.GreaterOrEqual(t, tr.starts[i+1]-tr.starts[i], h.Delay)
	}
	last := tr.starts[n-1]
	if tr.end > 0 {
		require.LessOrEqual(t, last, tr.end, "no attempt begins in an ended context")
		require.True(t, last < tr.end || tr.cancel, "nor with a deadline that is now")
		require.LessOrEqual(t, tr.took, tr.end)
	}
	if p.MaxElapsed > 0 {
		require.LessOrEqual(t, last, p.MaxElapsed)
	}
	if p.Budget != nil {
		require.Equal(t, uint64(p.Budget.Burst)-uint64(p.Budget.Stat().Available), p.Budget.Stat().Allowed)
		require.LessOrEqual(t, n-1, p.Budget.Burst)
	}
	tr.checkError(t)
}

func (tr *trial) checkError(t *testing.T) {
	if tr.err == nil {
		require.Len(t, tr.starts, tr.succeeds)
		return
	}
	var e *retry.Error
	if !errors.As(tr.err, &e) {
		return
	}
	require.Positive(t, tr.end, "only the context makes an Error")
	require.Equal(t, len(tr.starts), e.Attempts)
	want := context.DeadlineExceeded
	if tr.cancel {
		want = context.Canceled
	}
	require.ErrorIs(t, e.Context, want)
	require.Error(t, e.Last)
	if len(tr.hooks) > 0 && errors.Is(tr.hooks[len(tr.hooks)-1].Err, errPlain) {
		require.ErrorIs(t, tr.err, errPlain, "the last real error must not be lost")
	}
}

func TestEveryCallKeepsItsPromises(t *testing.T) {
	ended, given, won := 0, 0, 0
	for seed := range uint64(3000) {
		synctest.Test(t, func(t *testing.T) {
			tr := randomTrial(rand.New(rand.NewPCG(seed, 1)))
			tr.run(t.Context())
			t.Logf("seed %d: %+v", seed, tr)
			tr.check(t)
			var e *retry.Error
			switch {
			case tr.err == nil:
				won++
			case errors.As(tr.err, &e):
				ended++
			default:
				given++
			}
		})
	}
	require.Greater(t, min(ended, given, won), 200, "each outcome must be met often")
}
