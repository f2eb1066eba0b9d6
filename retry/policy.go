package retry

import (
	"context"
	"errors"
	"time"
)

// maxAttempts is what a Policy's zero MaxAttempts means.
const maxAttempts = 3

// Policy says what is repeated, how often and when. It is a plain value: the
// state of a call is kept in the call. So one Policy serves any number of
// goroutines, and its copies are independent, except for the Budget, which all
// copies share.
//
// The zero Policy makes at most 3 attempts, waits as Exponential{} says, and
// repeats only after errors that say of themselves that a retry is safe.
type Policy struct {
	// MaxAttempts bounds the attempts, the first included: 1 never retries.
	// Zero means 3. Negative means no bound but those of the context,
	// MaxElapsed and Budget.
	MaxAttempts int

	// Backoff is the wait before each retry. Nil means Exponential{}.
	Backoff Backoff

	// PerAttemptTimeout bounds each attempt, through the context that the
	// attempt is given. An attempt that it ends has failed like any other,
	// and may be retried. Zero and negative mean that only the caller's
	// context bounds an attempt.
	PerAttemptTimeout time.Duration

	// MaxElapsed is how long after the start of the call an attempt may still
	// begin. An attempt in progress is not cut short. If the wait before a
	// retry would end after MaxElapsed, the call ends at once. Zero and
	// negative mean no bound.
	MaxElapsed time.Duration

	// Retryable decides whether an error is worth another attempt. Nil means
	// that an error is retried if SafeToRetry says so, and with Idempotent
	// any error except context.Canceled. A Permanent error and the end of the
	// caller's context are never retried, whatever Retryable returns.
	Retryable func(error) bool

	// Idempotent declares that the operation may be executed more than once.
	// It has an effect only if Retryable is nil.
	Idempotent bool

	// Budget bounds the retries of all calls that share it. Nil means no
	// bound. If it refuses a retry, the call ends with the last error.
	Budget *Budget

	// OnRetry, if not nil, is called before each attempt except the first,
	// after the wait. The attempt always follows. It runs on the caller's
	// goroutine, with the context of the call.
	OnRetry func(ctx context.Context, a Attempt)
}

// Attempt tells OnRetry about the attempt that failed.
type Attempt struct {
	// Number counts from 1. The retry that begins now is Number+1.
	Number int
	// Err is what the attempt returned.
	Err error
	// Delay is how long the call has waited since that attempt.
	Delay time.Duration
}

// Validate returns a *ConfigError that names the first field that cannot work,
// or nil. If Backoff has a Validate method, it calls that too. Do does not
// call Validate. It uses the default for an invalid field.
func (p Policy) Validate() error {
	if v, ok := p.Backoff.(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return within("Backoff", err)
		}
	}
	if p.Budget != nil {
		if err := p.Budget.Validate(); err != nil {
			return within("Budget", err)
		}
	}
	return nil
}

func (p *Policy) start() (t time.Time) {
	if p.MaxElapsed > 0 {
		t = time.Now()
	}
	return t
}

func (p *Policy) most() int {
	if p.MaxAttempts == 0 {
		return maxAttempts
	}
	return p.MaxAttempts
}

func (p *Policy) retryable(err error) bool {
	if p.Retryable != nil {
		return p.Retryable(err)
	}
	return SafeToRetry(err) || p.Idempotent && !errors.Is(err, context.Canceled)
}

func (p *Policy) backoff(retry int, last time.Duration, err error) time.Duration {
	if p.Backoff == nil {
		return Exponential{}.Delay(retry, last, err)
	}
	return p.Backoff.Delay(retry, last, err)
}
