package framing

import (
	"encoding/binary"
	"fmt"
)

// An Encoder makes frames in memory: a [Format] that has been checked once, for
// who makes many. It is a plain value and does not change, so it can be copied
// and used by many goroutines. The zero Encoder has the zero Format.
type Encoder struct {
	lay layout // zero: that of the zero Format
}

// zeroEncoder is what the zero Encoder stands for.
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

// Append appends the frame that carries payload to dst and returns the
// extended slice. On an error dst is returned as it was: a *[SizeError], or one
// that wraps [ErrReadOnly] or [ErrMalformed].
//
// Where the format keeps the whole frame (Strip negative), payload is the
// whole frame. The bytes of a fixed-width length field in it are only a place:
// the right value is written there, in dst. A varint has no fixed width to
// leave room for, so it must already be right.
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

// AppendHeader appends the header of a frame whose payload has size bytes,
// for callers that send the payload themselves. The format must be one whose
// payload follows the header: Strip and LengthOffset zero.
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
