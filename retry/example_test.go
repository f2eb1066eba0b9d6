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
		OnRetry: func(a retry.Attempt) { fmt.Printf("attempt %d failed: %v\n", a.Number, a.Err) },
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
