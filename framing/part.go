package framing

import (
	"math/bits"
	"sync"
)

const (
	// Assembly buffers are kept for the next frame in classes: powers of two
	// from firstChunk to largestPart.
	largestPart = 16 << 20
	classes     = 11 // 16 KiB << 10 is 16 MiB

	// keptLead is how many times the bytes that have come a kept buffer may
	// hold. A peer that promises much and sends little can so take from
	// others only memory that was idle, and not more than this of it.
	keptLead = 16
)

// parts holds the assembly buffers that no frame is in, so that a Reader that
// waits for a frame has none. The collector takes those that stay unused.
var parts [classes]sync.Pool

// classOf returns the class of the smallest buffer that holds size bytes.
func classOf(size int) int {
	return max(0, bits.Len(uint(size-1))-bits.Len(firstChunk-1))
}

// growPart returns a buffer with what is in part and room for more, up to the
// want bytes that have to follow. It is the assembly buffer from then on, and part
// is given back. Kept buffers beyond trustedSize are taken in proportion to what
// has come: what is in part, what is buffered, and the largest frame that was
// assembled before. New memory is in proportion to this frame's bytes alone.
func (r *Reader) growPart(part []byte, want, buffered int) []byte {
	got := len(part)
	need, come := got+want, got+min(want, buffered)
	if cap(part) >= need {
		return part
	}
	var grown []byte
	box := takePart(min(need, max(trustedSize, keptLead*come, r.proven)), got)
	if box != nil {
		grown = *box
	} else {
		size := need
		if need > trustedSize {
			size = min(need, max(firstChunk, 2*come))
		}
		if size <= largestPart {
			size = firstChunk << classOf(size)
		}
		grown = make([]byte, 0, size)
	}
	grown = append(grown, part...)
	keepPart(part, r.box)
	r.part, r.box = grown, box
	return grown
}

// takePart returns a kept buffer that holds size bytes, or the largest that
// there is of those that hold more than got, or nil.
func takePart(size, got int) *[]byte {
	for class := classOf(min(size, largestPart)); class >= 0 && firstChunk<<class > got; class-- {
		if box, ok := parts[class].Get().(*[]byte); ok {
			return box
		}
	}
	return nil
}

// keepPart keeps a buffer for other frames, if it has the size of a class. box is
// what it was kept in before, nil if it is new.
func keepPart(part []byte, box *[]byte) {
	size := cap(part)
	if size < firstChunk || size > largestPart || size&(size-1) != 0 {
		return
	}
	if box == nil {
		box = new([]byte)
	}
	*box = part[:0] // part may have been moved since it was taken out
	parts[classOf(size)].Put(box)
}

// dropPart gives back the assembly buffer.
func (r *Reader) dropPart() {
	if r.part != nil {
		keepPart(r.part, r.box)
		r.part, r.box = nil, nil
	}
}

// reusePart keeps the assembly buffer of the frame before for one of size bytes, if
// it is of the right class: a run of large frames then takes it from the others once.
func (r *Reader) reusePart(size int) {
	if cap(r.part) < size || cap(r.part) > max(firstChunk, 2*size) {
		r.dropPart()
	}
	r.part = r.part[:0]
}
