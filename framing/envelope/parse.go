package envelope

import (
	"encoding/binary"
	"errors"
	"math"
	"time"
)

// ErrMalformed means that a frame has no valid envelope; every error of Parse
// wraps it. The frame does not begin with an envelope, is too short, or has an
// invalid field.
var ErrMalformed error = malformed("envelope: malformed")

// malformed is an error made in advance, so that hostile frames cost nothing.
type malformed string

func (m malformed) Error() string { return string(m) }

// Kind is "protocol", as in package conn.
func (m malformed) Kind() string { return "protocol" }

// Unwrap returns ErrMalformed.
func (m malformed) Unwrap() error {
	if error(m) == ErrMalformed {
		return nil
	}
	return ErrMalformed
}

// The errors of Parse.
var (
	errNotOne       error = malformed("envelope: malformed: not an envelope of this version (is Envelope set on both sides?)")
	errFlags        error = malformed("envelope: malformed: unknown flags")
	errCut          error = malformed("envelope: malformed: longer than the frame")
	errFieldCut     error = malformed("envelope: malformed: a field longer than the envelope")
	errOrder        error = malformed("envelope: malformed: fields out of order")
	errFieldSize    error = malformed("envelope: malformed: a field of a size that it cannot have")
	errUnknownField error = malformed("envelope: malformed: an unknown field that must be understood")
)

// The errors of Append.
var (
	errLongState   = errors.New("envelope: State is longer than 512 bytes")
	errLongMethod  = errors.New("envelope: Method is longer than 255 bytes")
	errLongMessage = errors.New("envelope: Message is longer than 1024 bytes")
)

// Parse sets e to the envelope at the front of frame and returns the payload
// behind it. Both lie in frame. An error wraps ErrMalformed, and leaves e zero.
func (e *Envelope) Parse(frame []byte) (payload []byte, err error) {
	*e = Envelope{}
	if len(frame) < fixedSize || frame[0] != version {
		return nil, errNotOne
	}
	flags := frame[1]
	if flags&^knownFlags != 0 {
		return nil, errFlags
	}
	size := int(binary.BigEndian.Uint16(frame[sizeAt:]))
	if size > len(frame)-fixedSize {
		return nil, errCut
	}
	if size > 0 {
		if err := e.parseFields(frame[fixedSize : fixedSize+size : fixedSize+size]); err != nil {
			*e = Envelope{}
			return nil, err
		}
	}
	e.Number = binary.BigEndian.Uint32(frame[numberAt:])
	e.Goodbye, e.Push = flags&flagGoodbye != 0, flags&flagPush != 0
	return frame[fixedSize+size:], nil
}

func (e *Envelope) parseFields(b []byte) error {
	for last := byte(0); len(b) > 0; {
		tag := b[0]
		if tag <= last {
			return errOrder
		}
		last = tag
		size, n := binary.Uvarint(b[1:])
		if n <= 0 || size > uint64(len(b)-1-n) {
			return errFieldCut
		}
		end := 1 + n + int(size)
		if err := e.parseField(tag, b[1+n:end:end]); err != nil {
			return err
		}
		b = b[end:]
	}
	return nil
}

func (e *Envelope) parseField(tag byte, value []byte) error {
	switch tag {
	case tagTimeout:
		micros, ok := number(value)
		if !ok {
			return errFieldSize
		}
		e.Timeout = timeout(micros)
	case tagTrace:
		if len(value) != traceSize {
			return errFieldSize
		}
		e.Trace.set(value)
	case tagState:
		return text(&e.State, value, MaxState)
	case tagMethod:
		return text(&e.Method, value, MaxMethod)
	case tagStatus:
		status, ok := number(value)
		if !ok || status > math.MaxUint32 {
			return errFieldSize
		}
		e.Status = uint32(status)
	case tagMessage:
		return text(&e.Message, value, MaxMessage)
	default:
		if tag&mustKnow != 0 {
			return errUnknownField
		}
	}
	return nil
}

// number reads a varint that fills value.
func number(value []byte) (uint64, bool) {
	v, n := binary.Uvarint(value)
	return v, n > 0 && n == len(value)
}

func text(dst *[]byte, value []byte, most int) error {
	if len(value) > most {
		return errFieldSize
	}
	*dst = value
	return nil
}

// timeout is a number of microseconds as a Timeout: negative if none are left.
func timeout(micros uint64) time.Duration {
	switch {
	case micros == 0:
		return -1
	case micros > math.MaxInt64/uint64(time.Microsecond):
		return math.MaxInt64
	}
	return time.Duration(micros) * time.Microsecond
}
