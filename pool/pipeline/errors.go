package pipeline

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/seed-99d6a01a/gtcp/conn"
)

var (
	// ErrClosed is the cause of calls on a closed pipeline. It is a
	// [net.ErrClosed].
	ErrClosed error = &fault{"pipeline: closed", conn.KindClosed, net.ErrClosed}

	// ErrTooManyWaiters is the cause of a call that failed because
	// Config.MaxWaiters callers were waiting. Its Timeout is true, and it is
	// safe to retry later.
	ErrTooManyWaiters error = tooManyWaiters{}

	// ErrOverloaded is the cause of a call that was not sent because its reply
	// would have come after its deadline. Its Timeout is true, and it is safe
	// to retry.
	ErrOverloaded error = tooSlow{}

	// ErrUnsolicited is the cause of a connection's end when the peer sent
	// bytes that no request asked for.
	ErrUnsolicited error = &fault{"pipeline: peer sent an unsolicited frame", conn.KindProtocol, nil}

	// ErrStalled is the cause of a connection's end when the peer has sent
	// nothing for Config.StallTimeout, although it owed a reply.
	ErrStalled error = &fault{"pipeline: peer stopped replying", conn.KindTimeout, nil}
)

// ErrGoodbye is the cause of a connection's end when the peer sent
// Config.Goodbye. Calls that had no reply by then were not handled.
var ErrGoodbye error = &fault{"pipeline: peer said goodbye", conn.KindPeerClosed, nil}

// ErrNoHeartbeat is the cause of a connection's end when nothing came for
// Heartbeat.Timeout after a heartbeat. Its Timeout is true.
var ErrNoHeartbeat error = silence{}

// ErrNoNumber is the cause of a call whose request is too short to hold the
// number of Config.Match. It is not safe to retry: the same request fails again.
var ErrNoNumber error = &fault{"pipeline: request has no room for its number", conn.KindOther, nil}

// The causes of connections that end in peace.
var (
	errExpired error = &fault{"pipeline: connection reached MaxLifetime", conn.KindClosed, nil}
	errIdle    error = &fault{"pipeline: connection reached MaxIdleTime", conn.KindClosed, nil}
	errSurplus error = &fault{"pipeline: connection was silent, and another took its place", conn.KindTimeout, nil}
	errEvicted error = &fault{"pipeline: connection was evicted", conn.KindClosed, nil}
)

// isRetirement tells whether a connection ended for a reason of its own.
func isRetirement(cause error) bool {
	return cause == errExpired || cause == errIdle || cause == errSurplus || cause == errEvicted
}

// errPushExit is the error of an OnPush that ended its goroutine.
var errPushExit = errors.New("pipeline: OnPush called runtime.Goexit")

// silence is the type of ErrNoHeartbeat.
type silence struct{}

func (silence) Error() string   { return "pipeline: no reply to a heartbeat" }
func (silence) Timeout() bool   { return true }
func (silence) Temporary() bool { return true }
func (silence) Kind() string    { return conn.KindTimeout }

// fault is an error with a kind.
type fault struct {
	text, kind string
	is         error // unwrapped
}

func (f *fault) Error() string { return f.text }
func (f *fault) Unwrap() error { return f.is }
func (f *fault) Kind() string  { return f.kind }

// errEnded tells submit's caller that the connection ended meanwhile and
// another must be found; it does not leave the package.
var errEnded = errors.New("pipeline: connection has ended")

// errGaveUp stands for the error of the caller's context, until everything that
// the call held has been given back.
var errGaveUp = errors.New("pipeline: caller gave up")

// errDialExit is the error of a dial that ended its goroutine.
var errDialExit = errors.New("pipeline: the dial called runtime.Goexit")

// PanicError is the error of a function of the Config that panicked.
type PanicError struct {
	// Value is what it panicked with.
	Value any
	// Stack is the stack of the goroutine at that point, as debug.Stack has it.
	Stack []byte
}

// Error returns a line with the value.
func (e *PanicError) Error() string { return fmt.Sprintf("pipeline: panic: %v", e.Value) }

// Unwrap returns the value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

type tooSlow struct{ tooManyWaiters }

func (tooSlow) Error() string { return "pipeline: overloaded: the reply would come too late" }

type tooManyWaiters struct{}

func (tooManyWaiters) Error() string     { return "pipeline: too many callers wait" }
func (tooManyWaiters) Timeout() bool     { return true }
func (tooManyWaiters) Temporary() bool   { return true }
func (tooManyWaiters) SafeToRetry() bool { return true }
func (tooManyWaiters) Kind() string      { return conn.KindOverloaded }

// Error is the error of a call. It unwraps to its cause. That is the context's
// error if the context ended, the first fatal error of the connection if the
// connection failed, or the dial's error if there was no connection.
type Error struct {
	// Op is what failed: "dial" if there was no connection, "wait" if no
	// connection had accepted the call, "call" after that.
	Op string

	// Addr is the peer's address as configured or, once connected, as dialed;
	// empty if unknown.
	Addr string

	// Written reports whether any byte of the request may have left the
	// process.
	Written bool

	// Unhandled reports whether the peer has said that it did not act on the
	// request, although bytes of it were written. The peer says so with
	// Config.Goodbye, or by closing if Config.CloseIsGoodbye is set.
	Unhandled bool

	// Err is the cause.
	Err error

	hint string // what may be wrong, for the text
}

// Error returns one line with all fields.
func (e *Error) Error() string {
	s := "pipeline: " + e.Op
	if e.Addr != "" {
		s += " " + e.Addr
	}
	if e.Written {
		s += " (request written)"
	}
	s += ": " + e.Err.Error()
	if e.hint != "" {
		s += " (" + e.hint + ")"
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// SafeToRetry reports whether the request can be repeated without harm, and may
// then succeed. It is true if no byte of the request left the process, or if the
// peer has said that it did not act on it. It is false after Close, and if the
// request has no room for its number.
func (e *Error) SafeToRetry() bool {
	return (!e.Written || e.Unhandled) && e.Err != ErrClosed && e.Err != ErrNoNumber
}

// Timeout reports whether the cause is a timeout: a context's deadline, a
// dial's, or too many waiters.
func (e *Error) Timeout() bool {
	var t interface{ Timeout() bool }
	return errors.As(e.Err, &t) && t.Timeout()
}

// Kind returns the kind of the cause: one of package conn's Kind constants.
func (e *Error) Kind() string { return conn.KindOf(e.Err) }

// Temporary is Timeout; it makes Error a [net.Error].
func (e *Error) Temporary() bool { return e.Timeout() }

// ended is the error of a context that has ended, with its cause.
func ended(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == err {
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}
