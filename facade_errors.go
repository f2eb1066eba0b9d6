package gtcp

import (
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// PkgError reports a size of the package protocol that is out of range. It is the
// error for an invalid option, for data that is too long to send, and for a
// received length that is not allowed. Nothing was written when it is returned,
// and no memory was allocated for a received length.
type PkgError struct {
	// Field names what is out of range: the options "HeaderSize" and
	// "MaxDataSize", "data" to be sent, or the length of a received "package".
	Field string
	// Size is the size that was found, in bytes.
	Size int64
	// Limit is the maximum that Size exceeds, in bytes.
	Limit int64
}

// Error returns the text that GoFrame's gtcp uses.
func (e *PkgError) Error() string {
	switch {
	case e.Field == "data":
		return fmt.Sprintf("data too long, data size %d exceeds allowed max data size %d", e.Size, e.Limit)
	case e.Field == "package":
		return fmt.Sprintf("invalid package size %d", e.Size) + looksLike(uint64(e.Size))
	case e.Size < 0:
		return fmt.Sprintf("package option %s is negative: %d", e.Field, e.Size)
	case e.Field == "HeaderSize":
		return fmt.Sprintf("package header size %d definition exceeds max header size %d", e.Size, e.Limit)
	default:
		return fmt.Sprintf("package data size %d definition exceeds allowed max data size %d", e.Size, e.Limit)
	}
}

// Kind is "protocol": see conn.KindOf.
func (e *PkgError) Kind() string { return conn.KindProtocol }

// looksLike says what the bytes of a length are, if they are no length: text, or
// the beginning of TLS.
func looksLike(size uint64) string {
	var raw []byte
	for ; size > 0; size >>= 8 {
		raw = append(raw, byte(size))
	}
	slices.Reverse(raw)
	switch {
	case len(raw) < 2:
		return ""
	case raw[0] >= 0x14 && raw[0] <= 0x17 && raw[1] == 3:
		return " (its bytes are the beginning of TLS: one side speaks TLS and the other does not)"
	}
	for _, b := range raw {
		if b < ' ' && b != '\t' && b != '\r' && b != '\n' || b > '~' {
			return ""
		}
	}
	return fmt.Sprintf(" (its bytes are the text %q: the peer does not send packages, or HeaderSize differs)", raw)
}

// contextError is an error of a lower layer with a text before it, and perhaps a
// hint after it. It is a net.Error.
type contextError struct {
	text string
	err  error
	hint string
}

// describe puts a text before err. It returns nil for nil.
func describe(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &contextError{text: fmt.Sprintf(format, args...), err: err}
}

// hint puts a hint behind err: what a newcomer should look at first.
func hint(err error, text string) error { return &contextError{err: err, hint: text} }

// refusedHint adds a hint to the error of a dial that the peer's system refused.
func refusedHint(err error) error {
	if err != nil && conn.KindOf(err) == conn.KindRefused {
		return hint(err, "is a server listening on that address?")
	}
	return err
}

func (e *contextError) Error() string {
	s := e.err.Error()
	if e.text != "" {
		s = e.text + ": " + s
	}
	if e.hint != "" {
		s += " (" + e.hint + ")"
	}
	return s
}

func (e *contextError) Unwrap() error { return e.err }

// Timeout, and Temporary because net.Error asks for it, make the error a
// net.Error.
func (e *contextError) Timeout() bool   { return isTimeout(e.err) }
func (e *contextError) Temporary() bool { return isTimeout(e.err) }

// ioError makes the *net.OpError that upstream's reads and writes fail with of
// an error of package conn. The end of the stream stays the bare io.EOF, and an
// error that is not the network's stays as it is.
func (s *innerConn) ioError(err error) error {
	e, ok := err.(*conn.Error)
	if !ok || e.Op == "dial" || e.Err == conn.ErrEmptyDelimiter {
		return err
	}
	if _, ok := e.Err.(*conn.LineTooLongError); ok {
		return err
	}
	op := e.Op
	if op != "read" {
		op = "write" // an Ask or a Do is a write with something around it
	}
	return s.opError(op, &ioCause{e})
}

// opError is the error of a read or write with both addresses.
func (s *innerConn) opError(op string, cause error) error {
	e := &net.OpError{Op: op, Net: "tcp", Err: cause}
	func() {
		defer func() { _ = recover() }() // a test's mock may have no addresses
		e.Source, e.Addr = s.LocalAddr(), s.RemoteAddr()
	}()
	if e.Source != nil {
		e.Net = e.Source.Network()
	}
	return e
}

// ioCause is what went wrong inside a *net.OpError: it prints the cause alone
// and unwraps to the whole error of package conn.
type ioCause struct{ err *conn.Error }

func (e *ioCause) Error() string {
	cause := e.err.Err
	for {
		op, ok := cause.(*net.OpError)
		if !ok {
			break
		}
		cause = op.Err
	}
	text := cause.Error()
	if e.err.Written > 0 {
		text += fmt.Sprintf(" (after %d bytes written)", e.err.Written)
	}
	return text
}

func (e *ioCause) Unwrap() error { return e.err }

// Timeout and Temporary are what net.OpError asks of its cause.
func (e *ioCause) Timeout() bool   { return isTimeout(e.err) }
func (e *ioCause) Temporary() bool { return isTimeout(e.err) }

// isTimeout says whether err, or an error it wraps, is a deadline that passed.
func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

var errNegative = errors.New("must not be negative")
