package retry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/retry"
)

func TestContextEndedBefore(t *testing.T) {
	cause := errors.New("shutting down")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	err := retry.Do(ctx, retry.Policy{}, func(context.Context) error {
		t.Error("fn must not be called")
		return nil
	})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, cause)
	var e *retry.Error
	require.ErrorAs(t, err, &e)
	require.Zero(t, e.Attempts)
	require.NoError(t, e.Last)
	require.Contains(t, err.Error(), "before the first attempt")
}

// errSafe is an error that is retried, told apart from others like it.
var errSafe = fmt.Errorf("refused: %w", unsent(true))

// Each way a context can end a call, with what must be found in the error.
var contextEnds = []struct {
	name     string
	policy   retry.Policy
	timeout  time.Duration // of ctx; zero: cancelled at cancelAt
	cancelAt time.Duration
	fn       func(ctx context.Context, n int) error
	attempts int
	is       []error
	last     error
	took     time.Duration
}{
	{"cancelled while waiting", retry.Policy{Backoff: retry.Constant(time.Minute)}, 0, time.Second,
		func(context.Context, int) error { return errSafe },
		1, []error{context.Canceled, errSafe}, errSafe, time.Second},
	{"deadline comes before the next attempt", retry.Policy{Backoff: retry.Constant(time.Minute)}, 30 * time.Second, 0,
		func(context.Context, int) error { return errSafe },
		1, []error{context.DeadlineExceeded, errSafe}, errSafe, 0},
	{"deadline comes with the next attempt", retry.Policy{Backoff: retry.Constant(time.Minute)}, time.Minute, 0,
		func(context.Context, int) error { return errSafe },
		1, []error{context.DeadlineExceeded, errSafe}, errSafe, 0},
	{"deadline after two attempts", retry.Policy{Backoff: retry.Constant(time.Minute)}, 90 * time.Second, 0,
		func(context.Context, int) error { return errSafe },
		2, []error{context.DeadlineExceeded, errSafe}, errSafe, time.Minute},
	{"cancelled during the first attempt", retry.Policy{}, 0, time.Second,
		func(ctx context.Context, _ int) error { <-ctx.Done(); return fmt.Errorf("read: %w", ctx.Err()) },
		1, []error{context.Canceled}, nil, time.Second},
	{"cancelled during the second: the first says why", retry.Policy{Backoff: retry.Constant(time.Second)}, 0, time.Minute,
		func(ctx context.Context, n int) error {
			if n == 1 {
				return errSafe
			}
			<-ctx.Done()
			return errors.Join(errPlain, ctx.Err())
		},
		2, []error{context.Canceled, errPlain, errSafe}, errSafe, time.Minute},
	{"an attempt fails by itself as the context ends", retry.Policy{Backoff: retry.Constant(time.Second)}, 0, time.Minute,
		func(ctx context.Context, n int) error {
			if n == 1 {
				return errSafe
			}
			<-ctx.Done()
			return retry.Permanent(io.ErrUnexpectedEOF)
		},
		2, []error{context.Canceled, io.ErrUnexpectedEOF}, io.ErrUnexpectedEOF, time.Minute},
	{"deadline during an attempt", retry.Policy{}, time.Second, 0,
		func(ctx context.Context, _ int) error { <-ctx.Done(); return io.EOF },
		1, []error{context.DeadlineExceeded, io.EOF}, io.EOF, time.Second},
}

func TestContextEnds(t *testing.T) {
	for _, c := range contextEnds {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				if c.timeout > 0 {
					ctx, cancel = context.WithTimeout(t.Context(), c.timeout)
				} else {
					time.AfterFunc(c.cancelAt, cancel)
				}
				defer cancel()
				start, n := time.Now(), 0
				err := retry.Do(ctx, c.policy, func(ctx context.Context) error { n++; return c.fn(ctx, n) })
				require.Equal(t, c.took, time.Since(start))
				var e *retry.Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, c.attempts, e.Attempts)
				for _, want := range c.is {
					require.ErrorIs(t, err, want)
				}
				if c.last != nil {
					require.Equal(t, c.last, e.Last)
				}
				require.Equal(t, errors.Is(err, context.DeadlineExceeded), e.Timeout())
			})
		})
	}
}

func TestPerAttemptTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, n := time.Now(), 0
		p := retry.Policy{PerAttemptTimeout: time.Second, Backoff: retry.Constant(time.Minute), Idempotent: true}
		err := retry.Do(t.Context(), p, func(ctx context.Context) error {
			if n++; n == 3 {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		})
		require.NoError(t, err)
		require.Equal(t, 3, n)
		require.Equal(t, 2*time.Minute+2*time.Second, time.Since(start))
	})
}

// The end of an attempt's own context is a failure of that attempt, not the
// end of the call.
func TestPerAttemptTimeoutExhausted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := retry.Policy{PerAttemptTimeout: time.Second, Backoff: retry.Constant(0), Idempotent: true}
		err := retry.Do(t.Context(), p, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		require.True(t, err == context.DeadlineExceeded)
	})
}

func TestMaxElapsed(t *testing.T) {
	for _, c := range []struct {
		max, attempt, delay time.Duration
		calls               int
		took                time.Duration
	}{
		{10 * time.Second, 0, 3 * time.Second, 4, 9 * time.Second},
		{9 * time.Second, 0, 3 * time.Second, 4, 9 * time.Second}, // an attempt may begin at the limit
		{10 * time.Second, time.Second, 3 * time.Second, 3, 9 * time.Second},
		{10 * time.Second, 20 * time.Second, 0, 1, 20 * time.Second}, // not cut short
		{time.Second, 0, 1<<63 - 1, 1, 0},
		{0, 0, time.Hour, 5, 4 * time.Hour},
		{-1, 0, time.Hour, 5, 4 * time.Hour},
	} {
		t.Run(fmt.Sprintf("%v every %v+%v", c.max, c.attempt, c.delay), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start, calls := time.Now(), 0
				p := retry.Policy{MaxAttempts: 5, MaxElapsed: c.max, Backoff: retry.Constant(c.delay)}
				err := retry.Do(context.Background(), p, func(context.Context) error {
					calls++
					time.Sleep(c.attempt)
					return unsent(true)
				})
				require.Equal(t, unsent(true), err)
				require.Equal(t, c.calls, calls)
				require.Equal(t, c.took, time.Since(start))
			})
		})
	}
}

func TestValuePerAttemptTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, n := time.Now(), 0
		p := retry.Policy{PerAttemptTimeout: time.Second, Backoff: retry.Constant(time.Minute), Idempotent: true}
		v, err := retry.Value(t.Context(), p, func(ctx context.Context) (string, error) {
			if n++; n == 3 {
				return "third", nil
			}
			<-ctx.Done()
			return "partial", ctx.Err()
		})
		require.NoError(t, err)
		require.Equal(t, "third", v)
		require.Equal(t, 2*time.Minute+2*time.Second, time.Since(start))

		p.MaxAttempts = 1
		v, err = retry.Value(t.Context(), p, func(ctx context.Context) (string, error) { <-ctx.Done(); return "partial", ctx.Err() })
		require.True(t, err == context.DeadlineExceeded)
		require.Equal(t, "partial", v)
	})
}

// What ctx ended is safe to repeat only if no attempt can have had an effect.
// An attempt that reports its end alone may have sent its request; that the
// one before it had not must not answer for it.
func TestEndedCallIsSafeOnlyIfEachAttemptWas(t *testing.T) {
	at := retry.Policy{Backoff: retry.Constant(0)}
	idempotent := retry.Policy{Backoff: retry.Constant(0), Idempotent: true}
	for _, test := range []struct {
		name   string
		policy retry.Policy
		errs   []error // of the attempts; ctx ends during the last
		want   bool
	}{
		{"no attempt", at, nil, true},
		{"one that says so", at, []error{errSafe}, true},
		{"two that say so", at, []error{errSafe, errSafe}, true},
		{"one that says nothing", at, []error{context.Canceled}, false},
		{"the last says nothing", at, []error{errSafe, context.Canceled}, false},
		{"the first may have had one", idempotent, []error{io.EOF, errSafe}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if len(test.errs) == 0 {
				cancel()
			}
			n := 0
			err := retry.Do(ctx, test.policy, func(context.Context) error {
				if n++; n == len(test.errs) {
					cancel()
				}
				return test.errs[n-1]
			})
			require.Equal(t, len(test.errs), n)
			require.ErrorIs(t, err, context.Canceled)
			require.Equal(t, test.want, retry.SafeToRetry(err))
		})
	}
}

func TestKindSaysHowTheContextEnded(t *testing.T) {
	require.Equal(t, "canceled", (&retry.Error{Context: fmt.Errorf("x: %w", context.Canceled), Last: io.EOF}).Kind())
	require.Equal(t, "timeout", (&retry.Error{Context: context.DeadlineExceeded}).Kind())
	require.Equal(t, "timeout", (&retry.Error{Context: context.DeadlineExceeded, Last: withKind{io.EOF}}).Kind())
}

type withKind struct{ error }

func (withKind) Kind() string { return "refused" }

// If no time is left for another attempt, nothing has timed out: the call fails
// for the reason of its last attempt, at once.
func TestKindWithoutTimeForAnotherAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		policy := retry.Policy{MaxAttempts: 3, Backoff: retry.Constant(time.Minute), Idempotent: true}
		for _, c := range []struct {
			last error
			kind string
		}{{withKind{io.EOF}, "refused"}, {fmt.Errorf("x: %w", withKind{io.EOF}), "refused"}, {io.EOF, "timeout"}} {
			err := retry.Do(ctx, policy, func(context.Context) error { return c.last })
			require.Equal(t, c.kind, err.(*retry.Error).Kind())
			require.ErrorIs(t, err, c.last)
			require.ErrorIs(t, err, context.DeadlineExceeded, "it has no more time")
		}
	})
}
