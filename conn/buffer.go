package conn

import "sync"

const (
	// The first buffer is small, so that a peer that sends a few bytes and
	// stalls costs little. A peer that fills it gets the large one.
	smallBuffer = 4 << 10
	largeBuffer = 64 << 10
)

// buffer belongs to a connection while bytes are in it.
type buffer struct {
	data []byte
	r, w int // data[r:w] has been received and not been read
}

// The pools hold about as many buffers as there are connections that are read
// at the same time.
var (
	smallBuffers = sync.Pool{New: func() any { return &buffer{data: make([]byte, smallBuffer)} }}
	largeBuffers = sync.Pool{New: func() any { return &buffer{data: make([]byte, largeBuffer)} }}
)

func acquireBuffer(large bool) *buffer {
	if large {
		return largeBuffers.Get().(*buffer)
	}
	return smallBuffers.Get().(*buffer)
}

func recycleBuffer(b *buffer) {
	b.r, b.w = 0, 0
	if len(b.data) == smallBuffer {
		smallBuffers.Put(b)
	} else {
		largeBuffers.Put(b)
	}
}

// unread returns the buffered bytes. For it and for the methods below the caller
// holds rmu.
func (k *core) unread() []byte {
	if k.buf == nil {
		return nil
	}
	return k.buf.data[k.buf.r:k.buf.w]
}

// consume drops the first n of the buffered bytes.
func (k *core) consume(n int) {
	if n > 0 {
		k.buf.r += n
	}
}

// empty reports whether no bytes are buffered.
func (k *core) empty() bool { return k.buf == nil || k.buf.r == k.buf.w }

// room returns the free space of the read buffer. If there is none, it acquires,
// compacts or grows the buffer. It is never called with largeBuffer unread bytes,
// so there is always some.
func (k *core) room() []byte {
	b := k.buf
	switch {
	case b == nil:
		b = acquireBuffer(k.big)
		k.buf = b
	case k.big && len(b.data) == smallBuffer:
		b = k.grow()
	case b.r == b.w:
		b.r, b.w = 0, 0
	case b.w == len(b.data):
		b.w = copy(b.data, b.data[b.r:b.w])
		b.r = 0
		if b.w == len(b.data) { // putBack has filled a small one to the brim
			b = k.grow()
		}
	}
	return b.data[b.w:]
}

// grow moves what is in the small buffer to a large one.
func (k *core) grow() *buffer {
	large := acquireBuffer(true)
	large.w = copy(large.data, k.unread())
	recycleBuffer(k.buf)
	k.buf = large
	return large
}

// releaseBuffer releases the buffer if it is empty. The caller knows that no
// slice from Peek is in use.
func (k *core) releaseBuffer() {
	if k.buf != nil && k.buf.r == k.buf.w {
		recycleBuffer(k.buf)
		k.buf = nil
	}
}
