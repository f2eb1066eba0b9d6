package backend

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
)

// The errors of a backend. They are told apart by behaviour: each has
// SafeToRetry() bool, those that mean "not now" are a [net.Error] whose
// Timeout is true, and ErrClosed is [net.ErrClosed].
var (
	// ErrClosed is the error of a backend that has been closed. To try
	// again is harmless but in vain, so SafeToRetry is false.
	ErrClosed error = &stateError{msg: "backend: pool closed", is: net.ErrClosed}
	// ErrStale is the error of returning a lease that has ended.
	ErrStale error = &stateError{msg: "backend: lease has ended"}
	// ErrTooManyWaiters is the error of an Acquire that finds everything
	// taken and as many callers waiting as may. Nothing was sent: it is safe
	// to retry, later.
	ErrTooManyWaiters error = &stateError{msg: "backend: too many callers wait for a resource", timeout: true}
)

// stateError is an error that the state of the backend explains.
type stateError struct {
	msg     string
	is      error
	timeout bool // "not now": a timeout that is safe to retry
}

func (e *stateError) Error() string        { return e.msg }
func (e *stateError) Is(target error) bool { return e.is != nil && target == e.is }
func (e *stateError) Timeout() bool        { return e.timeout }
func (e *stateError) Temporary() bool      { return e.timeout }
func (e *stateError) SafeToRetry() bool    { return e.timeout }
func (e *endedError) Error() string        { return "backend: gave up waiting: " + e.cause.Error() }
func (e *endedError) Temporary() bool      { return e.Timeout() }
func (e *endedError) SafeToRetry() bool    { return true }
func (e *endedError) Timeout() bool        { return errors.Is(e.err, context.DeadlineExceeded) }
func (e *endedError) Unwrap() []error      { return []error{e.err, e.cause} }

// endedError is the error of an Acquire whose context has ended.
type endedError struct {
	err   error // ctx.Err()
	cause error // context.Cause(ctx)
}

// Ended returns the error of an operation that ended because ctx did. It is
// ctx.Err() and context.Cause(ctx) to errors.Is, a [net.Error] that is a
// timeout if a deadline passed, and safe to retry, for nothing was lent and so
// nothing sent.
func Ended(ctx context.Context) error {
	return &endedError{err: ctx.Err(), cause: context.Cause(ctx)}
}

// PanicError is a panic of Factory.New or Factory.Close, which run on
// goroutines of the backend's own, as an error.
type PanicError struct {
	// Op is "New" or "Close".
	Op string
	// Value is what was passed to panic; nil if the function called
	// runtime.Goexit instead.
	Value any
	// Stack is the stack of the panic, as of debug.Stack.
	Stack []byte
}

func newPanicError(op string, v any) *PanicError {
	return &PanicError{Op: op, Value: v, Stack: debug.Stack()}
}

// Error names the function and what it panicked with.
func (e *PanicError) Error() string {
	if e.Value == nil {
		return "backend: Factory." + e.Op + " called runtime.Goexit"
	}
	return fmt.Sprintf("backend: Factory.%s panicked: %v", e.Op, e.Value)
}

// Unwrap returns the value passed to panic if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
