package backend

import (
	"fmt"
	"net"
)

// The errors of a backend. Each has the methods SafeToRetry() bool and
// Kind() string. ErrTooManyWaiters and ErrOverloaded are also a [net.Error]
// whose Timeout is true.
var (
	// ErrClosed is the error of a backend that has been closed. It is
	// [net.ErrClosed] too. SafeToRetry is false because a retry would
	// fail again.
	ErrClosed error = &stateError{msg: "backend: pool closed", kind: "closed", is: net.ErrClosed}
	// ErrStale is the error of returning a Lease that has ended.
	ErrStale error = &stateError{msg: "backend: returned twice, or to another backend", kind: "other"}
	// ErrTooManyWaiters is the error of an Acquire when all resources are
	// in use and MaxWaiters callers are waiting. It is safe to retry later.
	ErrTooManyWaiters error = &stateError{msg: "backend: too many callers wait for a resource", kind: "overloaded", later: true}
	// ErrOverloaded is the error of an Acquire that [Queue].Admit refused,
	// because its deadline would pass before it gets a resource. It is safe
	// to retry later.
	ErrOverloaded error = &stateError{msg: "backend: overloaded: too little time left to wait for a resource", kind: "overloaded", later: true}
)

// stateError is an error that the state of the backend explains.
type stateError struct {
	msg   string
	kind  string
	is    error
	later bool // "not now": a timeout that is safe to retry
}

func (e *stateError) Error() string        { return e.msg }
func (e *stateError) Kind() string         { return e.kind }
func (e *stateError) Is(target error) bool { return e.is != nil && target == e.is }
func (e *stateError) Timeout() bool        { return e.later }
func (e *stateError) Temporary() bool      { return e.later }
func (e *stateError) SafeToRetry() bool    { return e.later }

// PanicError is the error for a panic of Factory.New or Factory.Close.
// Both run on goroutines of the backend.
type PanicError struct {
	// Op is "New" or "Close".
	Op string
	// Value is what was passed to panic. It is nil if the function called
	// runtime.Goexit instead.
	Value any
	// Stack is the stack of the panic, as of debug.Stack.
	Stack []byte
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
