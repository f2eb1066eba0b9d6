package pool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// The causes of a failed Get that are this package's own. Test for them with
// errors.Is.
var (
	// ErrClosed says that the pool has been closed. It is net.ErrClosed too.
	ErrClosed = backend.ErrClosed
	// ErrTooManyWaiters says that all connections are in use and that
	// Config.MaxWaiters callers wait already.
	ErrTooManyWaiters = backend.ErrTooManyWaiters
	// ErrOverloaded says that the caller would have waited longer than its
	// deadline allows. It cost no connection, and it is safe to retry later.
	ErrOverloaded = backend.ErrOverloaded
)

// Error is the error of a pool's methods. It says what failed and why, and
// has the state of the pool at that time. It is a [net.Error].
type Error struct {
	// Op is "get", "replace", "resize", "shutdown" or "close".
	Op string
	// Addr is the address of the pool's target.
	Addr string
	// Err is the cause: the error of a dial, of the context, ErrClosed,
	// ErrTooManyWaiters, ErrOverloaded or a [*conn.BackoffError].
	Err error
	// MaxConns is the bound in force at the time of the error, 0 if there is
	// none.
	MaxConns int
	// Open counts the connections at the time of the error.
	Open int
	// Idle counts the connections that were idle at the time of the
	// error.
	Idle int
	// Dialing counts the dials in progress at the time of the error.
	Dialing int
	// Waiting counts the Get calls that were blocked at the time of the
	// error.
	Waiting int
	// LastDialError is the last failure of a dial so far, or nil.
	LastDialError error
}

// Error returns one line with all fields.
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
	if e.exhausted() {
		b.WriteString("; all connections are in use: see Config.MaxConns")
	}
	return b.String()
}

// exhausted reports whether the caller found no connection because the pool may
// have no more of them.
func (e *Error) exhausted() bool {
	full := e.MaxConns > 0 && e.Open >= e.MaxConns && e.Idle == 0 && e.Dialing == 0
	return full && e.Op == "get" && e.Timeout()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Kind returns the kind of the cause: one of the Kind constants of package
// conn.
func (e *Error) Kind() string { return conn.KindOf(e.Err) }

// Timeout reports whether the cause is a timeout: of a context or a dial, or
// because the pool was too busy.
func (e *Error) Timeout() bool {
	var t interface{ Timeout() bool }
	return errors.As(e.Err, &t) && t.Timeout()
}

// Temporary is Timeout; it makes Error a [net.Error].
func (e *Error) Temporary() bool { return e.Timeout() }

// SafeToRetry is true because nothing was sent for the caller. It is false if
// the pool is closed, or if Replace was called after the connection was
// released.
func (e *Error) SafeToRetry() bool { return !errors.Is(e.Err, net.ErrClosed) }

// errHandleClosed is the error of using a [Conn] that has been released.
var errHandleClosed = fmt.Errorf("pool: connection was released: %w", net.ErrClosed)

// contextError is the error of I/O that was cut off because ctx ended: it is
// ctx.Err(), context.Cause(ctx) and the error of the I/O.
func contextError(ctx context.Context, io error) error {
	return &endedError{ctx.Err(), context.Cause(ctx), io}
}

type endedError struct{ err, cause, io error }

func (e *endedError) Error() string {
	s := e.err.Error()
	if e.cause != e.err {
		s += ": " + e.cause.Error()
	}
	if e.io != nil {
		s += ": " + e.io.Error()
	}
	return s
}

func (e *endedError) Unwrap() []error {
	errs := []error{e.err, e.cause}
	if e.io != nil {
		errs = append(errs, e.io)
	}
	return errs
}

func (e *endedError) Timeout() bool { return errors.Is(e.err, context.DeadlineExceeded) }

func (e *endedError) Kind() string { return conn.KindOf(e.err) }
