package conn

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
)

// Errors that say why a connection is not fit for an operation. They are found
// inside an *Error with errors.Is.
var (
	// ErrPeerClosed means that the peer has closed its side of the
	// connection. It is also io.EOF: errors.Is(ErrPeerClosed, io.EOF).
	ErrPeerClosed error = peerClosedError{}
	// ErrUnread means that bytes have arrived and were not read.
	ErrUnread error = unreadError{}
	// ErrBusy means that an operation is in progress on the connection.
	ErrBusy = errors.New("operation in progress")
	// ErrMidMessage means that a message is half read or half written.
	ErrMidMessage = errors.New("stopped in the middle of a message")
	// ErrDeadlineSet means that a read or write deadline is still set.
	ErrDeadlineSet = errors.New("deadline still set")
	// ErrUnfit means that an earlier operation failed or timed out, so that
	// the position in the stream is not known.
	ErrUnfit = errors.New("an earlier operation failed or timed out")
	// ErrBufferFull means that Peek was asked for more than BufferSize bytes.
	ErrBufferFull = errors.New("peek beyond the buffer size")
	// ErrEmptyDelimiter means that ReadUntil was given nothing to look for.
	ErrEmptyDelimiter = errors.New("empty delimiter")
	// ErrNegativeCount means that Peek or Discard was given a negative count.
	ErrNegativeCount = errors.New("negative count")
)

// timedOutError is ErrUnfit or ErrMidMessage where an operation has timed out.
type timedOutError struct{ error }

// timedOut returns err, or a timedOutError if the state says so.
func timedOut(state uint64, err error) error {
	if state&markTimedOut != 0 {
		return timedOutError{err}
	}
	return err
}

func (e timedOutError) Unwrap() error { return e.error }
func (timedOutError) Kind() string    { return KindTimeout }

type peerClosedError struct{}

func (peerClosedError) Error() string { return "closed by the peer" }
func (peerClosedError) Unwrap() error { return io.EOF }

// Error is the error of every operation in this package, except io.EOF from
// reads, which stays bare so that callers can compare it. Its text names the
// operation and the peer's address.
type Error struct {
	// Op is the operation that failed: "dial", "read", "write", "ask", "do",
	// "close", "check", "reuse", "handoff", "deadline" or "half-close".
	Op string
	// Addr is the peer's address, or for "dial" the address that was asked
	// for. It is nil if it is not known.
	Addr net.Addr
	// Written is how many bytes the operation handed to the operating system
	// before it failed. The rest never left the process. Over TLS it counts
	// plaintext, and a part of the record that failed may have left too.
	Written int64
	// Err is the cause.
	Err error

	// safe is set where no byte of the operation can have left the process.
	safe bool
}

// Error returns a line with the operation, the peer and the cause.
func (e *Error) Error() string {
	s := "conn: " + e.Op
	if e.Addr != nil {
		if e.Op == "dial" {
			s += " " + e.Addr.Network()
		}
		s += " " + e.Addr.String()
	}
	s += ": " + causeText(e.Err)
	if e.Written > 0 {
		s += " (after " + strconv.FormatInt(e.Written, 10) + " bytes written)"
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Timeout reports whether a deadline ended the operation. The deadline can be
// that of the connection, of a context, or of the system for connecting. Timeout
// is false if the system has closed an established connection (ETIMEDOUT),
// because a later attempt on it cannot succeed.
func (e *Error) Timeout() bool {
	return isTimeout(e.Err) || e.Op == "dial" && errors.Is(e.Err, syscall.ETIMEDOUT)
}

// Temporary is the same as Timeout: only after a timeout can the operation be
// tried again on the same connection. It makes *Error a net.Error. crypto/tls
// calls it.
func (e *Error) Temporary() bool { return e.Timeout() }

// SafeToRetry reports whether the operation can be repeated on another
// connection so that the peer receives nothing twice. It is true only if no
// byte left the process. A failed dial is always safe. A failed read is never
// safe, because the request before it may have been executed. For a write the
// result covers that write only. For a request made of several writes use Do,
// which reports on all of them.
func (e *Error) SafeToRetry() bool { return e.safe || e.Op == "dial" }

// LineTooLongError is the cause if ReadUntil found no delimiter within its
// bound. The bytes up to the bound were returned; those after it can still be
// read.
type LineTooLongError struct {
	Limit int // the bound, in bytes, delimiter included
}

// Error returns a line with the bound.
func (e *LineTooLongError) Error() string {
	return "no delimiter within " + strconv.Itoa(e.Limit) + " bytes"
}

// causeText prints a cause without the operation and address that an *Error
// around it has already named.
func causeText(err error) string {
	switch e := err.(type) {
	case nil:
		return "unknown error"
	case *net.OpError:
		return causeText(e.Err)
	case *Error:
		return e.Op + ": " + causeText(e.Err)
	}
	return err.Error()
}

// interruptError is the cause of an operation that its context ended: it is
// the context's error, the context's cause, and the I/O error that came of it.
type interruptError struct {
	ctx   error // context.Canceled or context.DeadlineExceeded
	cause error // context.Cause, where it says more
	io    error // nil where no I/O was begun
}

func newInterruptError(ctx context.Context, ctxErr, io error) *interruptError {
	e := &interruptError{ctx: ctxErr, io: io}
	if cause := context.Cause(ctx); cause != ctxErr {
		e.cause = cause
	}
	return e
}

func (e *interruptError) Error() string {
	s := e.ctx.Error()
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	if e.io != nil {
		s += ": " + causeText(e.io)
	}
	return s
}

func (e *interruptError) Unwrap() []error {
	errs := []error{e.ctx}
	if e.cause != nil {
		errs = append(errs, e.cause)
	}
	if e.io != nil {
		errs = append(errs, e.io)
	}
	return errs
}

// Timeout is false for a cancellation, though the I/O error under it, brought
// about by a deadline in the past, is a timeout.
func (e *interruptError) Timeout() bool { return errors.Is(e.ctx, context.DeadlineExceeded) }

// brokenError is the error of a write on a connection that an earlier write
// broke. It is a timeout if the earlier error was one, as in crypto/tls.
// Conn.Err tells that it does not help to wait longer.
type brokenError struct{ cause error }

func (e *brokenError) Error() string { return "broken by an earlier write: " + causeText(e.cause) }
func (e *brokenError) Unwrap() error { return e.cause }

// isTimeout reports whether err is that of a deadline, after which the
// connection is as it was. ETIMEDOUT has a Timeout method that returns true, but
// is final: keep-alive probes or written data were not acknowledged.
func isTimeout(err error) bool {
	// The common case first, without the reflection in errors.As.
	t, ok := err.(interface{ Timeout() bool })
	if !ok && !errors.As(err, &t) {
		return errors.Is(err, os.ErrDeadlineExceeded)
	}
	return t.Timeout() && !errors.Is(err, syscall.ETIMEDOUT)
}

func isSafeToRetry(err error) bool {
	var s interface{ SafeToRetry() bool }
	return errors.As(err, &s) && s.SafeToRetry()
}
