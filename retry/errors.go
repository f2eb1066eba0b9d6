package retry

import (
	"context"
	"errors"
	"fmt"
)

// Error is what Do returns when the context ended the call. It unwraps to both
// its errors, so errors.Is finds the context's and the operation's.
type Error struct {
	// Attempts is how many were begun.
	Attempts int
	// Context is, or wraps, ctx.Err() and context.Cause(ctx). Where ctx had
	// not ended but its deadline left no time for another attempt, it wraps
	// context.DeadlineExceeded.
	Context error
	// Last is the last error that says why an attempt failed; nil if no
	// attempt did.
	Last error

	safe bool // no attempt can have had an effect
}

var errNoTime = fmt.Errorf("deadline passes before the next attempt: %w", context.DeadlineExceeded)

// Error tells the attempts made, how the context ended and the last error.
func (e *Error) Error() string {
	if e.Last == nil {
		return fmt.Sprintf("retry: %v before the first attempt", e.Context)
	}
	return fmt.Sprintf("retry: %v after %d attempt(s), last error: %v", e.Context, e.Attempts, e.Last)
}

// Unwrap returns Context and, if there is one, Last.
func (e *Error) Unwrap() []error {
	if e.Last == nil {
		return []error{e.Context}
	}
	return []error{e.Context, e.Last}
}

// Kind is "canceled" or "timeout", as in package conn: how the context ended.
func (e *Error) Kind() string {
	if errors.Is(e.Context, context.Canceled) {
		return "canceled"
	}
	return "timeout"
}

// Timeout says whether a deadline ended the call rather than a cancellation.
func (e *Error) Timeout() bool { return errors.Is(e.Context, context.DeadlineExceeded) }

// Temporary is there to make Error a net.Error; it is the same as Timeout.
func (e *Error) Temporary() bool { return e.Timeout() }

// SafeToRetry reports whether each attempt has said of itself that it had no
// effect, as is so where there was none. One that ctx ended, and that says only
// that, may have had one, whatever Last says.
func (e *Error) SafeToRetry() bool { return e.safe }

// ConfigError names the field that a Validate method refused, and why. Field
// has no leading type name: it is "Base" from Exponential.Validate and
// "Backoff.Base" from Policy.Validate.
type ConfigError struct {
	Field   string
	Problem string
	Err     error // the cause, where the field checked itself
}

// Error returns a line with the field and the problem.
func (e *ConfigError) Error() string { return "retry: " + e.Field + " " + e.Problem }

// Unwrap returns the cause, nil if there is none.
func (e *ConfigError) Unwrap() error { return e.Err }

// SafeToRetry is false: the same configuration fails again.
func (e *ConfigError) SafeToRetry() bool { return false }

// within says in which field the one that err names is.
func within(field string, err error) error {
	if inner, ok := err.(*ConfigError); ok {
		return &ConfigError{field + "." + inner.Field, inner.Problem, err}
	}
	return &ConfigError{field, "is invalid: " + err.Error(), err}
}

// SafeToRetry reports whether err says of itself that the operation had no
// effect and can be repeated: whether the first error in its tree that has a
// SafeToRetry() bool method returns true. An error that does not say is not
// safe. Errors of the conn and pool packages say it where no byte left the
// process (gRPC's proposal A6 calls this a transparent retry).
func SafeToRetry(err error) bool {
	var s interface{ SafeToRetry() bool }
	return errors.As(err, &s) && s.SafeToRetry()
}

// Permanent marks err, so that Do returns it without another attempt. Do takes
// the mark off where it is the outermost; nil stays nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// permanent says whether err carries the mark, and what to return for it.
func permanent(err error) (bare error, ok bool) {
	var p *permanentError
	if !errors.As(err, &p) {
		return err, false
	}
	if err == error(p) {
		return p.err, true
	}
	return err, true
}
