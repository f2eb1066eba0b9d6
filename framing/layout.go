package framing

import (
	"encoding/binary"
	"fmt"
	"math"
)

// A layout is a Format that was checked and has its defaults filled in.
type layout struct {
	size   int    // width of the length field, 0 for a varint
	end    int    // where the length field ends; for a varint, where it starts
	offset int    // where the length field starts
	strip  int    // bytes dropped in front; with body set, all of the header
	adjust int64  // body = value + adjust
	limit  uint64 // largest frame after strip
	little bool
	keep   bool // nothing is dropped: the length field is part of the payload
	body   bool // the header and only the header is dropped
	skip   bool // go on after an oversize frame
	plain  int  // 2 or 4: nothing but a big-endian length of so many bytes before the payload; else 0
}

// plainSize returns the size of the frame at the front of b, header included,
// if the header is plain and all of the frame is there, and 0 otherwise. It is
// the short way of measure.
func (l *layout) plainSize(b []byte) (end int) {
	switch {
	case l.plain == 2 && len(b) >= 2:
		end = 2 + int(b[0])<<8 + int(b[1])
	case l.plain == 4 && len(b) >= 4:
		end = 4 + int(binary.BigEndian.Uint32(b))
	}
	if end > len(b) || uint64(end) > l.limit+uint64(l.plain) {
		return 0
	}
	return end
}

// measure reads the header at the front of b. The frame that is returned to the
// caller is b[start:end]. If end is 0 without an error, the header is not
// complete.
func (l *layout) measure(b []byte) (start, end int, err error) {
	var value uint64
	header := l.end
	if l.size != 0 {
		if len(b) < header {
			return 0, 0, nil
		}
		value = l.fixed(b[l.offset:header])
	} else {
		v, n := uvarint(b[min(l.offset, len(b)):])
		if n == 0 {
			return 0, 0, nil
		}
		if n < 0 {
			return 0, 0, fmt.Errorf("%w: varint length beyond 64 bits", ErrMalformed)
		}
		value, header = v, l.offset+n
	}
	start = l.strip
	if l.body {
		start = header
	}
	if value > math.MaxInt64/2 {
		return 0, 0, &SizeError{Size: saturate(value, l.adjust+int64(header-start)), Limit: l.limit}
	}
	wire := int64(value) + l.adjust + int64(header)
	if wire < int64(header) || wire < int64(start) {
		return 0, 0, fmt.Errorf("%w: length %d ends before the frame starts", ErrMalformed, value)
	}
	if size := uint64(wire - int64(start)); size > l.limit {
		return 0, 0, &SizeError{Size: size, Limit: l.limit, wire: wire}
	}
	return start, int(wire), nil
}

// fixed reads a length field of fixed width that fills b.
func (l *layout) fixed(b []byte) (value uint64) {
	switch {
	case len(b) == 2 && !l.little:
		return uint64(binary.BigEndian.Uint16(b))
	case len(b) == 4 && !l.little:
		return uint64(binary.BigEndian.Uint32(b))
	case l.little:
		for i, c := range b {
			value |= uint64(c) << (8 * i)
		}
	default:
		for _, c := range b {
			value = value<<8 | uint64(c)
		}
	}
	return value
}

// headerWant returns how many bytes the header needs at least, if have bytes were
// not enough.
func (l *layout) headerWant(have int) int {
	if l.size != 0 {
		return l.end
	}
	return max(have, l.offset) + 1
}

// uvarint is binary.Uvarint, but ten bytes without an end are an overflow
// (n < 0) at once instead of a reason to wait for an eleventh.
func uvarint(b []byte) (value uint64, n int) {
	value, n = binary.Uvarint(b)
	if n == 0 && len(b) >= binary.MaxVarintLen64 {
		return 0, -len(b)
	}
	return value, n
}

// saturate adds a small signed number to one beyond int64/2.
func saturate(value uint64, add int64) uint64 {
	if add > 0 && value > math.MaxUint64-uint64(add) {
		return math.MaxUint64
	}
	return value + uint64(add)
}

// writable returns an error if a Writer cannot know every byte of a frame.
func (l *layout) writable() error {
	if l.keep || l.body && l.offset == 0 {
		return nil
	}
	return errStripped()
}

// errStripped is kept out of writable, which is called at the top of the stack of
// every idle connection of a server.
//
//go:noinline
func errStripped() error {
	return fmt.Errorf("%w: Strip drops bytes other than the length field; a Strip of -1 keeps the whole frame", ErrReadOnly)
}

// lengthFor returns the value of the length field for a payload of size bytes
// that follows the header.
func (l *layout) lengthFor(size int) (uint64, error) {
	if err := l.writable(); err != nil {
		return 0, err
	}
	if size > 0 && uint64(size) > l.limit {
		return 0, &SizeError{Size: uint64(size), Limit: l.limit}
	}
	value := int64(size) - l.adjust
	if value < 0 || size < 0 {
		return 0, l.tooSmall(size)
	}
	return uint64(value), nil
}

// tooSmall is kept out of lengthFor as errStripped is out of writable.
//
//go:noinline
func (l *layout) tooSmall(size int) error {
	return fmt.Errorf("%w: payload of %d bytes, the format's smallest has %d", ErrMalformed, size, max(l.adjust, 0))
}

// begin appends the front of the frame that carries payload, up to the end of the
// length field, and returns the part of payload that has to follow it.
func (l *layout) begin(dst, payload []byte) (head, rest []byte, err error) {
	if l.keep {
		value, header, err := l.wholeLength(payload)
		if err != nil {
			return dst, nil, err
		}
		n := len(dst)
		dst = append(dst, payload[:header]...)
		if l.size != 0 {
			l.putFixed(dst[n+l.offset:], value)
		}
		return dst, payload[header:], nil
	}
	value, err := l.lengthFor(len(payload))
	if err != nil {
		return dst, nil, err
	}
	return l.appendLength(dst, value), payload, nil
}

// headerMost returns how many bytes a header can have at most.
func (l *layout) headerMost() int {
	if l.size == 0 {
		return l.offset + binary.MaxVarintLen64
	}
	return l.end
}

// appendLength appends the length field.
func (l *layout) appendLength(dst []byte, value uint64) []byte {
	if l.size == 0 {
		return binary.AppendUvarint(dst, value)
	}
	n := len(dst)
	var room [8]byte
	dst = append(dst, room[:l.size]...)
	l.putFixed(dst[n:], value)
	return dst
}

// putFixed fills b with a length field of fixed width.
func (l *layout) putFixed(b []byte, value uint64) {
	switch {
	case len(b) == 2 && !l.little:
		b[0], b[1] = byte(value>>8), byte(value)
	case len(b) == 4 && !l.little:
		binary.BigEndian.PutUint32(b, uint32(value))
	default:
		l.putAny(b, value)
	}
}

func (l *layout) putAny(b []byte, value uint64) {
	for i := range b {
		at := i
		if !l.little {
			at = len(b) - 1 - i
		}
		b[at] = byte(value >> (8 * i))
	}
}

// wholeLength returns the value that the length field of a whole frame must have,
// and where its header ends.
func (l *layout) wholeLength(frame []byte) (value uint64, header int, err error) {
	if uint64(len(frame)) > l.limit {
		return 0, 0, &SizeError{Size: uint64(len(frame)), Limit: l.limit}
	}
	header = l.end
	var said uint64
	if l.size == 0 {
		v, n := uvarint(frame[min(l.offset, len(frame)):])
		if n <= 0 {
			return 0, 0, fmt.Errorf("%w: no varint in the frame to write", ErrMalformed)
		}
		said, header = v, l.offset+n
	}
	v := int64(len(frame)-header) - l.adjust
	switch {
	case len(frame) < header || v < 0:
		return 0, 0, fmt.Errorf("%w: frame of %d bytes is shorter than the format's smallest", ErrMalformed, len(frame))
	case l.size == 0 && said != uint64(v):
		return 0, 0, fmt.Errorf("%w: varint says %d where %d is right", ErrMalformed, said, v)
	}
	return uint64(v), header, nil
}
