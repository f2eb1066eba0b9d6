package retry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/retry"
)

// unsent is an error that says whether the operation had an effect.
type unsent bool

func (u unsent) Error() string     { return fmt.Sprintf("unsent: %t", bool(u)) }
func (u unsent) SafeToRetry() bool { return bool(u) }

var errPlain = errors.New("plain")

func TestClassification(t *testing.T) {
	yes := func(error) bool { return true }
	no := func(error) bool { return false }
	for _, c := range []struct {
		name   string
		policy retry.Policy
		err    error
		calls  int
	}{
		{"says it is safe", retry.Policy{}, unsent(true), 3},
		{"says it is not", retry.Policy{}, unsent(false), 1},
		{"does not say", retry.Policy{}, errPlain, 1},
		{"safe, wrapped", retry.Policy{}, fmt.Errorf("dial: %w", unsent(true)), 3},
		{"safe, joined", retry.Policy{}, errors.Join(errPlain, unsent(true)), 3},
		{"first to say decides", retry.Policy{}, errors.Join(unsent(false), unsent(true)), 1},
		{"io.EOF", retry.Policy{}, io.EOF, 1},
		{"idempotent, does not say", retry.Policy{Idempotent: true}, errPlain, 3},
		{"idempotent, says it is not", retry.Policy{Idempotent: true}, unsent(false), 3},
		{"idempotent, cancelled elsewhere", retry.Policy{Idempotent: true}, context.Canceled, 1},
		{"idempotent, timed out elsewhere", retry.Policy{Idempotent: true}, context.DeadlineExceeded, 3},
		{"own rule yes", retry.Policy{Retryable: yes}, errPlain, 3},
		{"own rule no", retry.Policy{Retryable: no, Idempotent: true}, unsent(true), 1},
		{"permanent beats safe", retry.Policy{}, fmt.Errorf("x: %w", retry.Permanent(unsent(true))), 1},
		{"permanent beats own rule", retry.Policy{Retryable: yes}, fmt.Errorf("x: %w", retry.Permanent(errPlain)), 1},
		{"permanent beats idempotent", retry.Policy{Idempotent: true}, fmt.Errorf("x: %w", retry.Permanent(errPlain)), 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			calls := 0
			c.policy.Backoff = retry.Constant(0)
			err := retry.Do(context.Background(), c.policy, func(context.Context) error { calls++; return c.err })
			require.Equal(t, c.calls, calls)
			require.True(t, err == c.err, "the last error must come back as it is, got %#v", err)
		})
	}
}

func TestMaxAttempts(t *testing.T) {
	for _, c := range []struct{ max, succeedAt, calls int }{
		{0, 99, 3}, {1, 99, 1}, {2, 99, 2}, {7, 99, 7},
		{0, 1, 1}, {0, 2, 2}, {0, 3, 3}, {-1, 99, 99}, {-7, 50, 50},
	} {
		t.Run(fmt.Sprintf("max %d, success at %d", c.max, c.succeedAt), func(t *testing.T) {
			calls := 0
			p := retry.Policy{MaxAttempts: c.max, Backoff: retry.Constant(-1)}
			err := retry.Do(context.Background(), p, func(context.Context) error {
				if calls++; calls == c.succeedAt {
					return nil
				}
				return unsent(true)
			})
			require.Equal(t, c.calls, calls)
			require.Equal(t, c.calls < c.succeedAt, err != nil)
		})
	}
}

func TestPermanentMarkIsTakenOff(t *testing.T) {
	err := retry.Do(context.Background(), retry.Policy{}, func(context.Context) error { return retry.Permanent(io.EOF) })
	require.True(t, err == io.EOF)
	require.NoError(t, retry.Permanent(nil))
	require.EqualError(t, retry.Permanent(io.EOF), "EOF")
	require.ErrorIs(t, retry.Permanent(io.EOF), io.EOF)
}

func TestValue(t *testing.T) {
	n := 0
	v, err := retry.Value(context.Background(), retry.Policy{Backoff: retry.Constant(0)}, func(context.Context) (int, error) {
		if n++; n < 3 {
			return -n, unsent(true)
		}
		return 42, nil
	})
	require.NoError(t, err)
	require.Equal(t, 42, v)

	v, err = retry.Value(context.Background(), retry.Policy{}, func(context.Context) (int, error) { return 7, io.EOF })
	require.Equal(t, io.EOF, err)
	require.Equal(t, 7, v)

	ended, cancel := context.WithCancel(context.Background())
	cancel()
	s, err := retry.Value(ended, retry.Policy{}, func(context.Context) (string, error) { return "called", nil })
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, s)
}

func TestContextIsPassedOn(t *testing.T) {
	type key struct{}
	ctx := context.WithValue(context.Background(), key{}, "v")
	require.NoError(t, retry.Do(ctx, retry.Policy{}, func(got context.Context) error {
		require.True(t, got == ctx)
		return nil
	}))
	var attempt context.Context
	require.NoError(t, retry.Do(ctx, retry.Policy{PerAttemptTimeout: time.Hour}, func(got context.Context) error {
		require.Equal(t, "v", got.Value(key{}))
		_, ok := got.Deadline()
		require.True(t, ok)
		require.NoError(t, got.Err())
		attempt = got
		return nil
	}))
	require.ErrorIs(t, attempt.Err(), context.Canceled, "its timer is not left behind")
}

func TestPanicPassesThrough(t *testing.T) {
	require.PanicsWithValue(t, "boom", func() {
		_ = retry.Do(context.Background(), retry.Policy{PerAttemptTimeout: time.Hour}, func(context.Context) error { panic("boom") })
	})
}

// OnRetry is fired for retries that happen and for no other: not after the
// last attempt, not for an error that ends the call, not when the context ends
// during the wait, and when it is fired the wait is over.
func TestOnRetry(t *testing.T) {
	run := func(p retry.Policy, ctx context.Context, errs ...error) (fired []retry.Attempt, at []time.Duration, calls int) {
		start := time.Now()
		if p.Backoff == nil {
			p.Backoff = retry.Constant(time.Second)
		}
		p.OnRetry = func(of context.Context, a retry.Attempt) {
			require.Equal(t, ctx, of)
			fired = append(fired, a)
			at = append(at, time.Since(start))
		}
		_ = retry.Do(ctx, p, func(context.Context) error { calls++; return errs[calls-1] })
		return fired, at, calls
	}
	t.Run("each retry", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			other := fmt.Errorf("other: %w", unsent(true))
			fired, at, calls := run(retry.Policy{}, t.Context(), unsent(true), other, unsent(true))
			require.Equal(t, 3, calls)
			require.Equal(t, []retry.Attempt{
				{Number: 1, Err: unsent(true), Delay: time.Second},
				{Number: 2, Err: other, Delay: time.Second},
			}, fired)
			require.Equal(t, []time.Duration{time.Second, 2 * time.Second}, at)
		})
	})
	t.Run("a negative delay", func(t *testing.T) {
		fired, _, calls := run(retry.Policy{Backoff: retry.Constant(-1)}, t.Context(), unsent(true), nil)
		require.Equal(t, 2, calls)
		require.Equal(t, []retry.Attempt{{Number: 1, Err: unsent(true)}}, fired, "counts as zero")
	})
	for name, errs := range map[string][]error{
		"success": {nil}, "not retryable": {errPlain}, "permanent": {retry.Permanent(errPlain)},
	} {
		t.Run(name, func(t *testing.T) {
			fired, _, calls := run(retry.Policy{}, t.Context(), errs...)
			require.Equal(t, 1, calls)
			require.Empty(t, fired)
		})
	}
	t.Run("cancelled during the wait", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second/2, cancel)
			fired, _, calls := run(retry.Policy{}, ctx, unsent(true))
			require.Equal(t, 1, calls)
			require.Empty(t, fired)
		})
	})
}

func TestErrorIsANetError(t *testing.T) {
	var err error = &retry.Error{Context: context.DeadlineExceeded}
	var ne net.Error
	require.ErrorAs(t, err, &ne)
	require.True(t, ne.Timeout())
	require.True(t, err.(*retry.Error).Temporary())
	err = &retry.Error{Context: context.Canceled, Last: io.EOF, Attempts: 2}
	require.False(t, err.(*retry.Error).Timeout())
	require.EqualError(t, err, "retry: context canceled after 2 attempt(s), last error: EOF")
}
