package gtcp

import (
	"errors"
	"fmt"
	"net"
)

// PkgError says which size of the package protocol is out of range: an option
// that cannot be, data too long to send, or a length received that is not
// allowed. Nothing has been written when it is returned, and a length received
// has cost no memory.
type PkgError struct {
	// Field is what is out of range: "HeaderSize" and "MaxDataSize" are the
	// options of that name, "data" is what was to be sent and "package" the
	// length that was received.
	Field string
	// Size is the value found and Limit the bound it crossed, in bytes.
	Size, Limit int64
}

// Error words the error as gtcp does.
func (e *PkgError) Error() string {
	switch {
	case e.Field == "data":
		return fmt.Sprintf("data too long, data size %d exceeds allowed max data size %d", e.Size, e.Limit)
	case e.Field == "package":
		return fmt.Sprintf("invalid package size %d", e.Size)
	case e.Size < 0:
		return fmt.Sprintf("package option %s is negative: %d", e.Field, e.Size)
	case e.Field == "HeaderSize":
		return fmt.Sprintf("package header size %d definition exceeds max header size %d", e.Size, e.Limit)
	default:
		return fmt.Sprintf("package data size %d definition exceeds allowed max data size %d", e.Size, e.Limit)
	}
}

// contextError is an error of a lower layer with gtcp's words in front of it.
// It stays a net.Error where the error below is one.
type contextError struct {
	text string
	err  error
}

// describe puts words in front of err, and leaves a nil error alone.
func describe(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &contextError{text: fmt.Sprintf(format, args...), err: err}
}

func (e *contextError) Error() string { return e.text + ": " + e.err.Error() }
func (e *contextError) Unwrap() error { return e.err }

// Timeout, and Temporary because net.Error asks for it, make the error answer
// err.(net.Error).
func (e *contextError) Timeout() bool   { return isTimeout(e.err) }
func (e *contextError) Temporary() bool { return isTimeout(e.err) }

// isTimeout says whether err, or an error it wraps, is a deadline that passed.
func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

var errNegative = errors.New("must not be negative")
