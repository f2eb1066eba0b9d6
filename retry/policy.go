package retry

import (
	"context"
	"errors"
	"time"
)

// DefaultMaxAttempts is what a Policy's zero MaxAttempts means.
const DefaultMaxAttempts = 3

// Policy says what is tried again, how often and when. It is an immutable
// value: the state of a call lives in the call, so one Policy serves any number
// of goroutines and its copies are independent, but for the Budget, which is
// shared by all who hold the pointer.
//
// The zero Policy works: at most three attempts, an Exponential backoff, and
// only errors that say of themselves that a retry is safe.
type Policy struct {
	// MaxAttempts bounds the attempts, the first included: 1 never retries.
	// Zero means DefaultMaxAttempts. Negative means no bound but the context's,
	// MaxElapsed's and Budget's.
	MaxAttempts int

	// Backoff is the wait before each retry. Nil means Exponential{}.
	Backoff Backoff

	// PerAttemptTimeout bounds each attempt through the context it is given.
	// An attempt it ends has failed like any other and may be retried. Zero or
	// less means that only the caller's context bounds an attempt.
	PerAttemptTimeout time.Duration

	// MaxElapsed is how long after the start of the call an attempt may still
	// begin; an attempt under way is not cut short. A retry whose backoff would
	// end later is given up without waiting. Zero or less means no bound.
	MaxElapsed time.Duration

	// Retryable decides whether an error is worth another attempt. Nil means
	// that an error is retried if SafeToRetry says so, and with Idempotent any
	// error but context.Canceled. A Permanent error and the end of the caller's
	// context are never retried, whatever Retryable says.
	Retryable func(error) bool

	// Idempotent declares that the operation may be executed more than once.
	// It matters where Retryable is nil.
	Idempotent bool

	// Budget bounds the retries of everything that shares it. Nil means no
	// bound. A retry it refuses ends the call with the last error.
	Budget *Budget

	// OnRetry, if not nil, is called right before each attempt but the first,
	// the wait included: when it is called, the retry happens. It runs on the
	// caller's goroutine.
	OnRetry func(Attempt)
}

// Attempt is what OnRetry is told of the attempt that failed.
type Attempt struct {
	// Number counts from 1; the retry about to begin is Number+1.
	Number int
	// Err is what the attempt returned.
	Err error
	// Delay is what has been waited since.
	Delay time.Duration
}

// Validate returns a *ConfigError that names the first field that makes no
// sense, or nil. A Backoff of one's own is asked if it has a Validate method.
// Do does not call it; what it would refuse, Do takes as the field's default.
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

func (p *Policy) maxAttempts() int {
	if p.MaxAttempts == 0 {
		return DefaultMaxAttempts
	}
	return p.MaxAttempts
}

func (p *Policy) retryable(err error) bool {
	if p.Retryable != nil {
		return p.Retryable(err)
	}
	return SafeToRetry(err) || p.Idempotent && !errors.Is(err, context.Canceled)
}

func (p *Policy) backoff(retry int, last time.Duration) time.Duration {
	if p.Backoff == nil {
		return Exponential{}.Delay(retry, last)
	}
	return p.Backoff.Delay(retry, last)
}
