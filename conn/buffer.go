package conn

import "sync"

const (
	// A first buffer is small, so that a peer which sends a few bytes and
	// stalls costs little; one that fills it gets the large one.
	smallBuffer = 4 << 10
	largeBuffer = 64 << 10
)

// Buffers belong to connections only while bytes are in them, so these pools
// hold about as many as there are connections being read at the same time.
var (
	smallBuffers = sync.Pool{New: func() any { return new([smallBuffer]byte) }}
	largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}
)

func borrowBuffer(large bool) []byte {
	if large {
		return largeBuffers.Get().(*[largeBuffer]byte)[:]
	}
	return smallBuffers.Get().(*[smallBuffer]byte)[:]
}

func returnBuffer(b []byte) {
	switch len(b) {
	case smallBuffer:
		smallBuffers.Put((*[smallBuffer]byte)(b))
	case largeBuffer:
		largeBuffers.Put((*[largeBuffer]byte)(b))
	}
}

// room returns the free space of the read buffer, borrowing, compacting or
// growing it where there is none. The caller holds rmu and has not filled
// more than largeBuffer bytes.
func (k *core) room() []byte {
	if k.r == k.w {
		k.r, k.w = 0, 0
	}
	switch {
	case k.buf == nil:
		k.buf = borrowBuffer(k.big)
	case k.big && len(k.buf) == smallBuffer:
		k.grow()
	case k.w < len(k.buf):
	case k.r > 0:
		k.w = copy(k.buf, k.buf[k.r:k.w])
		k.r = 0
	default:
		k.grow()
	}
	return k.buf[k.w:]
}

// grow moves what is in the small buffer to a large one.
func (k *core) grow() {
	large := borrowBuffer(true)
	k.w = copy(large, k.buf[k.r:k.w])
	k.r = 0
	returnBuffer(k.buf)
	k.buf = large
}

// releaseBuffer gives an empty buffer back. The caller holds rmu and knows
// that no slice from Peek is in use.
func (k *core) releaseBuffer() {
	if k.buf != nil && k.r == k.w {
		returnBuffer(k.buf)
		k.buf, k.r, k.w = nil, 0, 0
	}
}
