package framing

import (
	"errors"
	"fmt"
	"io"
)

// ErrMalformed is wrapped by the errors for bytes that are not a frame of the
// format: a varint that overflows 64 bits or never ends, or a length that,
// adjusted, ends before the header does. Nothing after it on the stream can
// be trusted, so a [Reader] that met it stays broken. [Format.Append] and
// [Writer.WriteFrame] wrap it when they are given a payload that the format
// cannot express; then nothing was written and the Writer stays usable.
var ErrMalformed error = &protocolError{"framing: malformed frame"}

// ErrReadOnly is wrapped by the error of a Writer or an Append whose Format
// drops, on reading, bytes that only the sender knows: see [Format.Strip].
var ErrReadOnly = errors.New("framing: format cannot be written")

// errStreamEnded is what a frame's stream answers after the Reader moved on.
var errStreamEnded = errors.New("framing: read from the stream of an earlier frame")

// What a Reader or Writer answers that has no stream: the zero value, or one that
// was made with or reset to nil.
var (
	errNoSource = errors.New("framing: Reader without a stream: make it with NewReader or Reset it")
	errNoTarget = errors.New("framing: Writer without a stream: make it with NewWriter or Reset it")
)

// A SizeError says that a frame is larger than the limit. On reading, Size is
// what the peer's header promised; none of it has been stored.
type SizeError struct {
	Size  uint64 // bytes of the frame as [Reader.Next] would return it; saturates at 1<<64-1
	Limit uint64 // the largest frame allowed, in bytes

	wire int64 // bytes of the frame on the wire, 0 when beyond int64
}

// Kind is "protocol", as in package conn.
func (e *SizeError) Kind() string { return kindProtocol }

// kindProtocol is conn.KindProtocol: what is on the wire, or was to be, breaks
// the protocol.
const kindProtocol = "protocol"

type protocolError struct{ text string }

func (e *protocolError) Error() string { return e.text }
func (e *protocolError) Kind() string  { return kindProtocol }

// Error names the size and the limit.
func (e *SizeError) Error() string {
	return fmt.Sprintf("framing: frame of %d bytes exceeds the limit of %d", e.Size, e.Limit)
}

// A FormatError says which field of a [Format] cannot work and why.
type FormatError struct {
	Field   string // name of the Format field
	Problem string
}

// Error names the field and the problem.
func (e *FormatError) Error() string { return "framing: Format." + e.Field + ": " + e.Problem }

// SafeToRetry is false: the same Format fails again.
func (e *FormatError) SafeToRetry() bool { return false }

// A partWriteError wraps the failure of a write that followed another write of
// the same frame: whatever the cause says of itself, bytes have left.
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
