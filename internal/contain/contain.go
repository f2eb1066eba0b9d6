// Package contain keeps a panic in a user's function from ending a goroutine
// that belongs to this module, and the process with it. Use it where no caller
// of the user's is on the stack: a panic on a caller's goroutine goes to that
// caller.
package contain

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// PanicError is a panic of a user's function.
type PanicError struct {
	// What names the function, such as "Config.Probe.Func".
	What string
	// Value is what it panicked with.
	Value any
	// Stack is the stack of the panic, as debug.Stack has it.
	Stack []byte
}

// Error returns a line with the function and the value.
func (e *PanicError) Error() string { return fmt.Sprintf("panic in %s: %v", e.What, e.Value) }

// Unwrap returns the value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// Call calls f, and returns its panic as a *PanicError. If f ends its goroutine
// with runtime.Goexit, so does Call.
func Call(what string, f func()) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{what, v, debug.Stack()}
		}
	}()
	f()
	return nil
}

// logEvery is how often panics are logged at most: a hook that panics each time
// must not fill the log.
const logEvery = int64(time.Second)

// logged is when a panic was last logged, and silent how many were not since.
var logged, silent atomic.Int64

// Log calls f, and logs its panic: for a function whose failure has no other
// place to be told.
func Log(what string, f func()) {
	err := Call(what, f)
	if err == nil {
		return
	}
	now, last := time.Now().UnixNano(), logged.Load()
	if now >= last && now-last < logEvery || !logged.CompareAndSwap(last, now) {
		silent.Add(1)
		return
	}
	slog.Default().Error("gtcp: "+err.Error(), "stack", string(err.(*PanicError).Stack), "not logged before", silent.Swap(0))
}
