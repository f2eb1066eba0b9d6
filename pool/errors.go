package pool

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// The errors that tell what became of a Get. They are found in an [*Error]
// with errors.Is.
var (
	// ErrClosed says that the pool has been closed. It is net.ErrClosed too.
	ErrClosed = backend.ErrClosed
	// ErrTooManyWaiters says that all connections are lent and that
	// Config.MaxWaiters callers wait already.
	ErrTooManyWaiters = backend.ErrTooManyWaiters
)

// Error is the error of a pool's methods: what failed, why, and what the pool
// looked like then. It is a [net.Error].
type Error struct {
	// Op is "get", "replace", "resize" or "close".
	Op string
	// Addr is Config.Address.
	Addr string
	// Err is the cause: the error of a dial, of the context, ErrClosed,
	// ErrTooManyWaiters or a [*BackoffError].
	Err error
	// MaxConns is the bound in force, 0 if there is none; Open, Idle, Dialing and
	// Waiting are as in [Stat], at the time of the error. They say why the
	// pool was exhausted.
	MaxConns, Open, Idle, Dialing, Waiting int
	// LastDialError is the last failure of a dial so far, or nil.
	LastDialError error
}

// Error returns a line with all of it.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("pool: " + e.Op)
	if e.Addr != "" {
		b.WriteString(" " + e.Addr)
	}
	bound := "unbounded"
	if e.MaxConns > 0 {
		bound = fmt.Sprintf("max %d", e.MaxConns)
	}
	fmt.Fprintf(&b, ": %v (%d open, %d idle, %d dialing, %d waiting, %s",
		e.Err, e.Open, e.Idle, e.Dialing, e.Waiting, bound)
	if e.LastDialError != nil && !errors.Is(e.Err, e.LastDialError) {
		fmt.Fprintf(&b, "; last dial error: %v", e.LastDialError)
	}
	b.WriteString(")")
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Timeout reports whether the cause is a timeout: a context's deadline, a
// dial's, or too many waiters.
func (e *Error) Timeout() bool {
	var t interface{ Timeout() bool }
	return errors.As(e.Err, &t) && t.Timeout()
}

// Temporary is Timeout; it makes Error a [net.Error].
func (e *Error) Temporary() bool { return e.Timeout() }

// SafeToRetry is true unless the pool is closed: no connection was lent, so
// nothing of the caller's has been sent.
func (e *Error) SafeToRetry() bool { return !errors.Is(e.Err, ErrClosed) }

// BackoffError is the error of a dial that was not made because those before
// it failed: see [DialBackoff].
type BackoffError struct {
	// Err is why the last dial failed.
	Err error
	// RetryAfter is when, from the time of the error, a dial may be made.
	RetryAfter time.Duration
}

// Error returns a line with both.
func (e *BackoffError) Error() string {
	return fmt.Sprintf("dialing suspended for %v: %v", e.RetryAfter.Round(time.Millisecond), e.Err)
}

// Unwrap returns why the last dial failed.
func (e *BackoffError) Unwrap() error { return e.Err }

// SafeToRetry is true: nothing has been sent.
func (e *BackoffError) SafeToRetry() bool { return true }

// errHandleClosed is the error of using a [Conn] that has been closed.
var errHandleClosed = fmt.Errorf("pool: connection was given back: %w", net.ErrClosed)
