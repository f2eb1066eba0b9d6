package retry

import (
	"context"
	"errors"
	"fmt"
)

// Error is what Do returns when the context ended the call. It unwraps to two
// errors: errors.Is finds that of the context and that of the operation.
type Error struct {
	// Attempts is how many attempts were begun.
	Attempts int
	// Context is, or wraps, ctx.Err() and context.Cause(ctx). If ctx had not
	// ended but its deadline left no time for another attempt, it wraps
	// context.DeadlineExceeded.
	Context error
	// Last is the error of the last attempt that failed for a reason other
	// than the end of ctx. It is nil if there was no such attempt.
	Last error

	safe bool // no attempt can have had an effect
}

var errNoTime = fmt.Errorf("deadline passes before the next attempt: %w", context.DeadlineExceeded)

// Error returns a line with the attempts, how the context ended and Last.
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

// Kind is "canceled" or "timeout", as in package conn: how the context ended. If ctx
// had not ended but its deadline left no time for another attempt, it is the kind
// of Last, such as "refused": the call has not waited for its deadline. If Last has
// no method Kind() string, it is "timeout" then.
func (e *Error) Kind() string {
	var last interface{ Kind() string }
	switch {
	case e.Context == errNoTime && errors.As(e.Last, &last):
		return last.Kind()
	case errors.Is(e.Context, context.Canceled):
		return "canceled"
	}
	return "timeout"
}

// Timeout reports whether a deadline ended the call, and not a cancellation.
func (e *Error) Timeout() bool { return errors.Is(e.Context, context.DeadlineExceeded) }

// Temporary is Timeout; it makes Error a net.Error.
func (e *Error) Temporary() bool { return e.Timeout() }

// SafeToRetry reports whether the call had no effect. It is true if there was
// no attempt, or if the error of every attempt is safe to retry. An attempt
// that ctx ended may have had an effect, even if Last is safe; then the result
// is false.
func (e *Error) SafeToRetry() bool { return e.safe }

// ConfigError names the field that a Validate method refused, and why.
type ConfigError struct {
	// Field has no leading type name: it is "Base" from Exponential.Validate
	// and "Backoff.Base" from Policy.Validate.
	Field string
	// Problem says what is wrong with the field.
	Problem string
	// Err is the field's own error, or nil.
	Err error
}

// Error returns a line with the field and the problem.
func (e *ConfigError) Error() string { return "retry: " + e.Field + " " + e.Problem }

// Unwrap returns Err.
func (e *ConfigError) Unwrap() error { return e.Err }

// SafeToRetry is false: the same configuration fails again.
func (e *ConfigError) SafeToRetry() bool { return false }

// within puts the name of the outer field before that in err.
func within(field string, err error) error {
	if inner, ok := err.(*ConfigError); ok {
		return &ConfigError{field + "." + inner.Field, inner.Problem, err}
	}
	return &ConfigError{field, "is invalid: " + err.Error(), err}
}

// SafeToRetry reports whether err says that the operation had no effect and can
// be repeated. It asks the first error in err's tree that has a method
// SafeToRetry() bool; if there is none, the result is false. The errors of conn,
// pool and pipeline have the method. For these errors it is true if no byte left
// the process. gRPC's proposal A6 calls such a retry transparent.
func SafeToRetry(err error) bool {
	var s interface{ SafeToRetry() bool }
	return errors.As(err, &s) && s.SafeToRetry()
}

// Permanent marks err, so that Do returns it without another attempt. Do takes
// the mark off if it is the outermost error. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// permanent reports whether err carries the mark, and what Do returns for it.
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
