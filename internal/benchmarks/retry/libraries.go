package main

import (
	"context"
	"time"

	avast "github.com/avast/retry-go/v4"
	"github.com/cenkalti/backoff/v5"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	sethvargo "github.com/sethvargo/go-retry"

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

// library is one way to run an operation with retries: three attempts,
// exponential backoff. Whatever its interface allows to prepare is prepared.
type library struct {
	name string
	loop func(n int)
	slow bool // so slow that a tenth of the calls will do
}

func (l library) call() { l.loop(1) }

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

func libraries(ctx context.Context) []library {
	jitter := retry.Exponential{}
	budget := new(retry.Budget)
	plain := retry.Policy{Idempotent: true, Backoff: jitter}
	sethvargoBackoff := sethvargo.WithMaxRetries(2, sethvargo.NewExponential(50*time.Millisecond))
	tries := backoff.WithMaxTries(3)
	options := []avast.Option{avast.Context(ctx), avast.Attempts(3)}
	executor := failsafeExecutor(ctx)
	return []library{
		{name: "retry.Do", loop: do(ctx, plain)},
		{name: "retry.Do, budget", loop: do(ctx, retry.Policy{Idempotent: true, Backoff: jitter, Budget: budget})},
		{name: "retry.Do, budget, elapsed", loop: do(ctx, retry.Policy{Idempotent: true, Backoff: jitter, Budget: budget, MaxElapsed: time.Hour})},
		{name: "sethvargo/go-retry", loop: func(n int) {
			for range n {
				_ = sethvargo.Do(ctx, sethvargoBackoff, operation)
			}
		}},
		{name: "cenkalti/backoff", slow: true, loop: func(n int) {
			for range n {
				_, _ = backoff.Retry(ctx, valueOperation, tries)
			}
		}},
		{name: "avast/retry-go", slow: true, loop: func(n int) {
			for range n {
				_ = avast.Do(plainOperation, options...)
			}
		}},
		{name: "failsafe-go", slow: true, loop: func(n int) {
			for range n {
				_ = executor.Run(plainOperation)
			}
		}},
		{name: "retry.Value", loop: func(n int) {
			for range n {
				_, _ = retry.Value(ctx, plain, valueIn)
			}
		}},
		{name: "sethvargo/go-retry, value", loop: func(n int) {
			for range n {
				_, _ = sethvargo.DoValue(ctx, sethvargoBackoff, valueIn)
			}
		}},
		{name: "no retries: a bare call", loop: func(n int) {
			for range n {
				_ = operation(ctx)
			}
		}},
	}
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
