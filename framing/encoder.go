package framing

import (
	"encoding/binary"
	"fmt"
)

// An Encoder makes frames in memory. It validates its [Format] once, so it is
// faster than Format.Append for many frames. It is a value that does not change.
// It can be copied, and many goroutines can use it. The zero Encoder has the
// zero Format.
type Encoder struct {
	lay layout // zero: that of the zero Format
}

// zeroEncoder does the work of the zero Encoder.
var zeroEncoder, _ = NewEncoder(Format{})

// NewEncoder returns the Encoder of a format, or the error of its Validate.
func NewEncoder(f Format) (Encoder, error) {
	var e Encoder
	if err := e.lay.compile(&f); err != nil {
		return Encoder{}, err
	}
	return e, nil
}

// layout returns the layout of the frames.
func (e *Encoder) layout() *layout {
	if e.lay.limit == 0 && e.lay == (layout{}) {
		return &zeroEncoder.lay
	}
	return &e.lay
}

// Append appends the frame that carries payload to dst, and returns the extended
// slice. An error is a *[SizeError], or wraps [ErrReadOnly] or [ErrMalformed];
// then dst is returned unchanged.
//
// If the format drops nothing (Strip negative), payload is the whole frame. If
// the length field has a fixed width, Append writes the correct length into it,
// in dst, and ignores the length in payload. A varint has no fixed width, so the
// varint in payload must already be correct.
func (e *Encoder) Append(dst, payload []byte) ([]byte, error) {
	l := e.layout()
	if uint64(len(payload)) <= l.limit {
		switch l.plain {
		case 2:
			dst = append(dst, byte(len(payload)>>8), byte(len(payload)))
			return append(dst, payload...), nil
		case 4:
			dst = binary.BigEndian.AppendUint32(dst, uint32(len(payload)))
			return append(dst, payload...), nil
		}
	}
	head, rest, err := l.begin(dst, payload)
	return append(head, rest...), err
}

// AppendHeader appends the header of a frame whose payload has size bytes. Use it
// to send the payload yourself. The payload must follow the header in the format:
// Strip and LengthOffset are zero.
func (e *Encoder) AppendHeader(dst []byte, size int) ([]byte, error) {
	l := e.layout()
	if l.keep {
		return dst, fmt.Errorf("%w: the header is part of the payload", ErrReadOnly)
	}
	value, err := l.lengthFor(size)
	if err != nil {
		return dst, err
	}
	return l.appendLength(dst, value), nil
}
