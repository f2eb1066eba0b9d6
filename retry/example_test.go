package retry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/seed-99d6a01a/gtcp/retry"
)

func ExampleDo() {
	attempts := 0
	err := retry.Do(context.Background(), retry.Policy{Idempotent: true}, func(ctx context.Context) error {
		attempts++
		if attempts < 3 {
			return io.ErrUnexpectedEOF // the server broke off
		}
		return nil
	})
	fmt.Println(attempts, err)
	// Output: 3 <nil>
}

// Without Idempotent nothing is repeated that may have had an effect.
func ExampleDo_unsafe() {
	attempts := 0
	err := retry.Do(context.Background(), retry.Policy{}, func(ctx context.Context) error {
		attempts++
		return io.ErrUnexpectedEOF
	})
	fmt.Println(attempts, err)
	// Output: 1 unexpected EOF
}

// The error of a call that ran out of time says both that and why.
func ExampleDo_deadline() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	errRefused := errors.New("connection refused")
	policy := retry.Policy{Idempotent: true, Backoff: retry.Constant(time.Hour)}
	err := retry.Do(ctx, policy, func(ctx context.Context) error { return errRefused })
	fmt.Println(errors.Is(err, context.DeadlineExceeded), errors.Is(err, errRefused))
	// Output: true true
}

func ExampleValue() {
	line, err := retry.Value(context.Background(), retry.Policy{}, func(ctx context.Context) (string, error) {
		return "hello", nil
	})
	fmt.Println(line, err)
	// Output: hello <nil>
}

func ExamplePermanent() {
	errPassword := errors.New("wrong password")
	policy := retry.Policy{Idempotent: true}
	err := retry.Do(context.Background(), policy, func(ctx context.Context) error {
		return retry.Permanent(errPassword)
	})
	fmt.Println(err == errPassword)
	// Output: true
}

func ExamplePolicy() {
	policy := retry.Policy{
		MaxAttempts:       4,
		Backoff:           retry.Exponential{Base: 10 * time.Millisecond, Max: time.Second},
		PerAttemptTimeout: 2 * time.Second,
		MaxElapsed:        10 * time.Second,
		Retryable: func(err error) bool {
			return retry.SafeToRetry(err) || errors.Is(err, io.EOF)
		},
		OnRetry: func(_ context.Context, a retry.Attempt) { fmt.Printf("attempt %d failed: %v\n", a.Number, a.Err) },
	}
	if err := policy.Validate(); err != nil {
		panic(err)
	}
	attempts := 0
	err := retry.Do(context.Background(), policy, func(ctx context.Context) error {
		if attempts++; attempts == 1 {
			return io.EOF
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// attempt 1 failed: EOF
	// <nil>
}

// Without a Retryable of one's own the error decides. This one says of itself
// that nothing was sent.
func Example() {
	attempts := 0
	err := retry.Do(context.Background(), retry.Policy{}, func(ctx context.Context) error {
		if attempts++; attempts == 1 {
			return errBusy{}
		}
		return nil
	})
	fmt.Println(attempts, err)
	// Output: 2 <nil>
}

// errBusy is the error of a server that has turned a request away.
type errBusy struct{}

func (errBusy) Error() string     { return "server is busy" }
func (errBusy) SafeToRetry() bool { return true }

// SafeToRetry finds the answer of an error that has been wrapped, too. An error
// that does not say is not safe.
func ExampleSafeToRetry() {
	fmt.Println(retry.SafeToRetry(fmt.Errorf("send: %w", errBusy{})))
	fmt.Println(retry.SafeToRetry(io.ErrUnexpectedEOF))
	// Output:
	// true
	// false
}

// linear is a Backoff of one's own. It keeps no state: the number of the retry
// is passed in.
type linear time.Duration

func (l linear) Delay(n int, _ time.Duration, _ error) time.Duration {
	return time.Duration(n) * time.Duration(l)
}

func ExampleBackoff() {
	policy := retry.Policy{
		Idempotent: true,
		Backoff:    linear(time.Millisecond),
		OnRetry:    func(_ context.Context, a retry.Attempt) { fmt.Println("waited", a.Delay) },
	}
	err := retry.Do(context.Background(), policy, func(ctx context.Context) error { return io.ErrUnexpectedEOF })
	fmt.Println(err)
	// Output:
	// waited 1ms
	// waited 2ms
	// unexpected EOF
}

// The ceiling doubles with each retry; the wait is a random part of it.
func ExampleExponential() {
	backoff := retry.Exponential{Base: 10 * time.Millisecond, Max: 30 * time.Millisecond}
	if err := backoff.Validate(); err != nil {
		fmt.Println(err)
		return
	}
	for n, ceiling := range []time.Duration{10 * time.Millisecond, 20 * time.Millisecond, 30 * time.Millisecond} {
		fmt.Println(backoff.Delay(n+1, 0, nil) <= ceiling)
	}
	// Output:
	// true
	// true
	// true
}

// No wait is shorter than Base.
func ExampleDecorrelated() {
	backoff := retry.Decorrelated{Base: 10 * time.Millisecond, Max: time.Second}
	wait := backoff.Delay(1, 0, nil)
	next := backoff.Delay(2, wait, nil)
	fmt.Println(wait >= backoff.Base, next >= backoff.Base, next <= 3*wait)
	// Output: true true true
}

// When the context ends the call, the error has both sides of the story.
func ExampleError() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	policy := retry.Policy{Idempotent: true, Backoff: retry.Constant(time.Hour)} // an hour is too long
	err := retry.Do(ctx, policy, func(ctx context.Context) error { return io.ErrUnexpectedEOF })

	var e *retry.Error
	if errors.As(err, &e) {
		fmt.Println(e.Attempts, e.Last, e.Timeout(), e.SafeToRetry())
	}
	// Output: 1 unexpected EOF true false
}
