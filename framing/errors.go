package framing

import (
	"errors"
	"fmt"
	"io"
)

// ErrMalformed means that the bytes are not a frame of the format; errors of
// a [Reader] wrap it. The varint overflows 64 bits or does not end, or the
// adjusted length ends before the header does. The position in the stream is
// then unknown, so the error is final for a Reader. [Format.Append] and
// [Writer.WriteFrame] wrap it if the format cannot express the payload; then
// nothing was written, and the Writer stays usable.
var ErrMalformed error = &protocolError{"framing: malformed frame"}

// ErrReadOnly means that a Format can be read and not written, because its
// Reader drops bytes that only the sender knows; errors of a Writer wrap it.
// See [Format].Strip.
var ErrReadOnly = errors.New("framing: format cannot be written")

// errStreamEnded is the error of a frame's stream after the next call for a frame.
var errStreamEnded = errors.New("framing: read from the stream of an earlier frame")

// The errors of a Reader and a Writer that have no stream: the zero value, or one
// that was made with or reset to nil.
var (
	errNoSource = errors.New("framing: Reader without a stream: make it with NewReader or Reset it")
	errNoTarget = errors.New("framing: Writer without a stream: make it with NewWriter or Reset it")
)

// A SizeError is the error of a frame that is larger than the limit.
type SizeError struct {
	// Size is the size of the frame in bytes, as [Reader.Next] would return
	// it, at most 1<<64-1. On reading it is what the peer's header promises;
	// nothing of the frame was stored.
	Size uint64
	// Limit is the largest frame allowed, in bytes.
	Limit uint64

	wire int64  // bytes of the frame on the wire, 0 when beyond int64
	hint string // of the Reader
}

// Kind is "protocol", as in package conn.
func (e *SizeError) Kind() string { return kindProtocol }

// kindProtocol is conn.KindProtocol.
const kindProtocol = "protocol"

type protocolError struct{ text string }

func (e *protocolError) Error() string { return e.text }
func (e *protocolError) Kind() string  { return kindProtocol }

// Error returns a line with the size and the limit. If the header looks like the
// bytes of another protocol, the line says so.
func (e *SizeError) Error() string {
	s := fmt.Sprintf("framing: frame of %d bytes exceeds the limit of %d", e.Size, e.Limit)
	if e.hint != "" {
		s += " (" + e.hint + ")"
	}
	return s
}

// A FormatError names the field of a [Format] that cannot work, and why.
type FormatError struct {
	// Field is the name of the field.
	Field string
	// Problem says what is wrong with it.
	Problem string
}

// Error returns a line with the field and the problem.
func (e *FormatError) Error() string { return "framing: Format." + e.Field + ": " + e.Problem }

// SafeToRetry is false: the same Format fails again.
func (e *FormatError) SafeToRetry() bool { return false }

// A partWriteError wraps the error of the second write of a frame. It is not safe
// to retry, whatever the error itself says: bytes of the first write have left.
type partWriteError struct{ err error }

func (e *partWriteError) Error() string     { return e.err.Error() }
func (e *partWriteError) Unwrap() error     { return e.err }
func (e *partWriteError) SafeToRetry() bool { return false }

// timedOut reports whether err is a timeout, after which a read can go on.
//
// The first question spares the usual case the stack that errors.As takes: that of
// every idle connection of a server.
func timedOut(err error) bool {
	t, ok := err.(interface{ Timeout() bool })
	return ok && t.Timeout() || !ok && wrapsTimeout(err)
}

//go:noinline
func wrapsTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// inside maps the end of the stream within a frame.
func inside(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
