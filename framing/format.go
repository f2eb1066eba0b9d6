package framing

import (
	"fmt"
	"math"
)

// Varint is the [Format.HeaderSize] of an unsigned base-128 varint of 1 to 10
// bytes, least significant group first: what protobuf calls delimited.
const Varint = -1

// defaultMaxSize bounds a frame if Format.MaxSize is zero: all that a header of 3
// bytes can say.
const defaultMaxSize = 1<<24 - 1

// Bounds of the Format fields that are distances. They are far beyond the need of
// any protocol; with them no sum of lengths can overflow.
const (
	maxOffset = 255
	maxAdjust = 1 << 30
	maxStrip  = 1 << 16
	maxFrame  = math.MaxInt - 1<<18 // room for a header and for what Strip drops
)

// A Format describes the bytes of a frame on the wire. The zero value is gtcp's
// package protocol: a big-endian length in 2 bytes that counts the payload only.
//
// Every frame is
//
//	| prefix, LengthOffset bytes | length field | body |
//
// where the body has LengthAdjust bytes more than the value of the length field.
// The parameters are those of netty's LengthFieldBasedFrameDecoder.
//
// A Format is a plain value, which can be copied, compared and shared.
type Format struct {
	// HeaderSize is the width of the length field in bytes: 1, 2, 3, 4, 8 or
	// [Varint]. Zero means 2.
	HeaderSize int

	// LittleEndian selects little-endian byte order for a fixed-width length
	// field. The default is big-endian, network byte order.
	LittleEndian bool

	// LengthOffset is the number of bytes before the length field, 0 to 255.
	LengthOffset int

	// LengthAdjust is added to the value of the length field to get the number
	// of bytes after the field. It is negative if the value counts header bytes
	// too (−HeaderSize if it counts itself), and positive if fields follow the
	// length that the value does not count.
	LengthAdjust int

	// Strip is how many bytes a Reader drops from the front of a frame. Zero
	// drops everything up to and including the length field, so that the body
	// is left. Negative drops nothing.
	//
	// A Writer takes exactly what a Reader returns. So it can write two kinds
	// of formats. One drops nothing (Strip is negative); the Writer then sets
	// the length field inside the frame, see [Encoder].Append. The other drops
	// only the length field (Strip and LengthOffset are zero). For any other
	// format it returns an error that wraps [ErrReadOnly]; Writable tells
	// beforehand.
	Strip int

	// MaxSize is the largest frame in bytes, counted as a Reader returns it and
	// a Writer takes it. Zero means the largest value the length field can
	// encode, capped at 16,777,215. Negative means the largest value the length
	// field can encode. Validate refuses a limit that the length field cannot
	// encode.
	MaxSize int

	// SkipOversize lets a Reader continue after a frame larger than MaxSize.
	// It returns the *[SizeError] as soon as the header has arrived. Then it
	// drops the bytes of the frame as they arrive, and continues with the
	// next frame. Without it the error is final.
	SkipOversize bool
}

// Validate returns a *[FormatError] that names the first field that cannot
// work, or nil.
func (f Format) Validate() error {
	var l layout
	return l.compile(&f)
}

// Writable returns nil if frames of the format can be written, and so if a
// server or a client can use it. Its error is that of Validate, or wraps
// [ErrReadOnly] where Strip drops bytes that only the sender knows.
func (f Format) Writable() error {
	var l layout
	if err := l.compile(&f); err != nil {
		return err
	}
	return l.writable()
}

// MaxPayload returns the largest frame that the format allows, in bytes, counted
// as MaxSize is: the limit in effect after defaults. It is 0 for an invalid
// format.
func (f Format) MaxPayload() int {
	var l layout
	if l.compile(&f) != nil {
		return 0
	}
	return int(l.limit)
}

// Append is [Encoder].Append for a single frame. It can also fail with the error
// of Validate.
func (f Format) Append(dst, payload []byte) ([]byte, error) {
	e, err := NewEncoder(f)
	if err != nil {
		return dst, err
	}
	return e.Append(dst, payload)
}

// AppendHeader is [Encoder].AppendHeader for a single frame. It can also fail
// with the error of Validate.
func (f Format) AppendHeader(dst []byte, size int) ([]byte, error) {
	e, err := NewEncoder(f)
	if err != nil {
		return dst, err
	}
	return e.AppendHeader(dst, size)
}

// compile checks a format and works out its layout.
func (l *layout) compile(f *Format) error {
	*l = layout{
		size: f.HeaderSize, little: f.LittleEndian, offset: f.LengthOffset, adjust: int64(f.LengthAdjust),
		strip: f.Strip, keep: f.Strip < 0, skip: f.SkipOversize,
	}
	capacity := int64(math.MaxInt64 / 2) // of the length field
	switch f.HeaderSize {
	case 0:
		l.size, capacity = 2, 1<<16-1
	case 1, 2, 3, 4:
		capacity = 1<<(8*f.HeaderSize) - 1
	case 8:
	case Varint:
		l.size = 0
	default:
		return &FormatError{"HeaderSize", fmt.Sprintf("%d is not 1, 2, 3, 4, 8 or Varint", f.HeaderSize)}
	}
	l.end = l.offset + l.size
	if f.Strip == 0 {
		l.strip = l.end
	}
	l.body = f.Strip == 0 || l.size != 0 && f.Strip == l.end
	if l.keep {
		l.strip = 0
	}
	if err := f.checkFields(); err != nil {
		return err
	}

	if l.body && !l.little && l.offset == 0 && l.adjust == 0 && (l.size == 2 || l.size == 4) {
		l.plain = l.size
	}

	capacity += l.adjust + int64(l.end-l.strip)
	if capacity < 0 {
		return &FormatError{"LengthAdjust", fmt.Sprintf("%d with Strip %d: no frame is representable", f.LengthAdjust, f.Strip)}
	}
	l.limit = uint64(min(capacity, maxFrame))
	switch {
	case f.MaxSize == 0:
		l.limit = min(l.limit, defaultMaxSize)
	case int64(f.MaxSize) > capacity:
		return &FormatError{"MaxSize", fmt.Sprintf("%d is more than the %d that the length field can encode", f.MaxSize, capacity)}
	case f.MaxSize > 0:
		l.limit = min(l.limit, uint64(f.MaxSize))
	}
	return nil
}

// checkFields checks each field by itself.
func (f *Format) checkFields() error {
	switch {
	case f.LittleEndian && f.HeaderSize == Varint:
		return &FormatError{"LittleEndian", "a varint has no byte order"}
	case f.LengthOffset < 0 || f.LengthOffset > maxOffset:
		return &FormatError{"LengthOffset", fmt.Sprintf("%d is not between 0 and %d", f.LengthOffset, maxOffset)}
	case f.LengthAdjust < -maxAdjust || f.LengthAdjust > maxAdjust:
		return &FormatError{"LengthAdjust", fmt.Sprintf("%d is not between %d and %d", f.LengthAdjust, -maxAdjust, maxAdjust)}
	case f.Strip > maxStrip:
		return &FormatError{"Strip", fmt.Sprintf("%d is more than %d", f.Strip, maxStrip)}
	case f.HeaderSize == Varint && f.Strip > f.LengthOffset:
		return &FormatError{"Strip", fmt.Sprintf("%d cuts into a varint, whose width varies", f.Strip)}
	}
	return nil
}
