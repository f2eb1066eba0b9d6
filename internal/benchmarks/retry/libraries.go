package main

import (
	"context"
	"fmt"
	"time"

	avast "github.com/avast/retry-go/v4"
	"github.com/cenkalti/backoff/v5"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	sethvargo "github.com/sethvargo/go-retry"

	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/compare"
	"github.com/seed-99d6a01a/gtcp/retry"
)

// executed counts the operations, so that none is optimised away unseen.
var executed int

//go:noinline
func operation(context.Context) error { executed++; return nil }

//go:noinline
func plainOperation() error { executed++; return nil }

//go:noinline
func valueOperation() (int, error) { executed++; return 1, nil }

//go:noinline
func valueIn(context.Context) (int, error) { executed++; return 1, nil }

type contextKind struct {
	name string
	ctx  context.Context
	end  func()
}

func contexts() []contextKind {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	return []contextKind{
		{"background", context.Background(), func() {}},
		{"with a deadline", ctx, cancel},
	}
}

// libraries are ways to run an operation with retries: three attempts,
// exponential backoff. Whatever their interfaces allow to prepare is prepared.
func libraries(ctx context.Context) []compare.Candidate {
	jitter := retry.Exponential{}
	budget := new(retry.Budget)
	plain := retry.Policy{Idempotent: true, Backoff: jitter}
	sethvargoBackoff := sethvargo.WithMaxRetries(2, sethvargo.NewExponential(50*time.Millisecond))
	tries := backoff.WithMaxTries(3)
	options := []avast.Option{avast.Context(ctx), avast.Attempts(3)}
	executor := failsafeExecutor(ctx)
	return []compare.Candidate{
		candidate("retry.Do", do(ctx, plain)),
		candidate("retry.Do, budget", do(ctx, retry.Policy{Idempotent: true, Backoff: jitter, Budget: budget})),
		candidate("retry.Do, budget, elapsed", do(ctx, retry.Policy{Idempotent: true, Backoff: jitter, Budget: budget, MaxElapsed: time.Hour})),
		candidate("sethvargo/go-retry", func(n int) {
			for range n {
				_ = sethvargo.Do(ctx, sethvargoBackoff, operation)
			}
		}),
		candidate("cenkalti/backoff", func(n int) {
			for range n {
				_, _ = backoff.Retry(ctx, valueOperation, tries)
			}
		}),
		candidate("avast/retry-go", func(n int) {
			for range n {
				_ = avast.Do(plainOperation, options...)
			}
		}),
		candidate("failsafe-go", func(n int) {
			for range n {
				_ = executor.Run(plainOperation)
			}
		}),
		candidate("retry.Value", func(n int) {
			for range n {
				_, _ = retry.Value(ctx, plain, valueIn)
			}
		}),
		candidate("sethvargo/go-retry, value", func(n int) {
			for range n {
				_, _ = sethvargo.DoValue(ctx, sethvargoBackoff, valueIn)
			}
		}),
		candidate("no retries: a bare call", func(n int) {
			for range n {
				_ = operation(ctx)
			}
		}),
	}
}

// candidate fails if the operation did not run as often as it should have.
func candidate(name string, loop func(n int)) compare.Candidate {
	return compare.Candidate{Name: name, Do: func(n int) error {
		before := executed
		loop(n)
		if executed-before != n {
			return fmt.Errorf("ran %d of %d operations", executed-before, n)
		}
		return nil
	}}
}

func do(ctx context.Context, p retry.Policy) func(n int) {
	return func(n int) {
		for range n {
			_ = retry.Do(ctx, p, operation)
		}
	}
}

func failsafeExecutor(ctx context.Context) failsafe.Executor[any] {
	executor := failsafe.With(retrypolicy.NewBuilder[any]().WithMaxAttempts(3).
		WithBackoff(50*time.Millisecond, 2*time.Second).Build())
	if ctx.Done() == nil { // an executor without a context does less; let it
		return executor
	}
	return executor.WithContext(ctx)
}
