package envelope

import (
	"context"
	"strconv"
)

// The statuses that server.FrameHandler sends and gtcp.Client understands. A
// program's own statuses are 16 and above; 5 to 15 are reserved.
const (
	// StatusOK is a success.
	StatusOK uint32 = 0
	// StatusFailed means that the handler failed.
	StatusFailed uint32 = 1
	// StatusOverloaded means that the server did not handle the request,
	// because too many were in progress.
	StatusOverloaded uint32 = 2
	// StatusTooLate means that the server did not handle the request, because
	// the caller's time had passed before its turn.
	StatusTooLate uint32 = 3
	// StatusTimeout means that the caller's time passed while the server
	// handled the request.
	StatusTimeout uint32 = 4
)

// StatusError is the error of a request whose reply has a Status other than
// zero. A handler returns one to choose the status and the message; a caller
// gets it as the cause of its error. A nil *StatusError in an error counts as one
// with StatusFailed.
type StatusError struct {
	// Status is Envelope.Status: 16 and above for a program's own.
	Status uint32
	// Message is Envelope.Message, cut to 1024 bytes.
	Message string
}

// status is the status of e, which may be nil.
func (e *StatusError) status() uint32 {
	if e == nil {
		return StatusFailed
	}
	return e.Status
}

// Error returns a line with the status and the message.
func (e *StatusError) Error() string {
	s := "envelope: status " + strconv.FormatUint(uint64(e.status()), 10)
	switch {
	case e != nil && e.Message != "":
		s += ": " + e.Message
	case e.status() == StatusFailed:
		s += ": the handler failed"
	case e.status() == StatusOverloaded:
		s += ": too many requests in progress"
	case e.status() == StatusTooLate:
		s += ": the time had passed before the request's turn"
	case e.status() == StatusTimeout:
		s += ": the time passed while the request was handled"
	}
	return s
}

// Kind is "overloaded", "timeout" or, for all others, "application", as in
// package conn.
func (e *StatusError) Kind() string {
	switch e.status() {
	case StatusOverloaded:
		return "overloaded"
	case StatusTooLate, StatusTimeout:
		return "timeout"
	}
	return "application"
}

// Overloaded reports whether the server has said that it has too much to do. An
// error of this process that is of the kind "overloaded" has no such method:
// balance.Classify distinguishes them by it.
func (e *StatusError) Overloaded() bool { return e.status() == StatusOverloaded }

// SafeToRetry reports whether the server has not handled the request.
func (e *StatusError) SafeToRetry() bool {
	return e.status() == StatusOverloaded || e.status() == StatusTooLate
}

// Timeout reports whether the caller's time had passed.
func (e *StatusError) Timeout() bool {
	return e.status() == StatusTooLate || e.status() == StatusTimeout
}

// Is makes an error whose Timeout is true a context.DeadlineExceeded.
func (e *StatusError) Is(target error) bool {
	return target == context.DeadlineExceeded && e.Timeout()
}

// Temporary is Timeout; it makes StatusError a net.Error.
func (e *StatusError) Temporary() bool { return e.Timeout() }
