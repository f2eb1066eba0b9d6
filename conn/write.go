package conn

import (
	"net"
	"os"
	"sync"
)

// vectorFrom is the size in bytes from which a vectored write is at least as
// fast as a copy and a write.
const vectorFrom = 16 << 10

// Write writes all of p, or returns an *Error that says how much of it was
// written. After a timeout the connection is usable, and the rest can be written
// later. Over TLS that is so only if the deadline had passed before the write
// began: a timeout during the write may have cut a record, and the connection is
// broken. After any other error all writes fail.
func (c *Conn) Write(p []byte) (int, error) {
	k, err := c.beginWrite("write")
	if err != nil {
		return 0, err
	}
	n := 0
	if k.opaque || k.werr != nil {
		err = k.writeRefused()
	}
	if err == nil && len(p) > 0 {
		n, err = k.writeTransport(p)
		k.written.Add(uint64(n))
		if err != nil {
			err = k.writeError(int64(n), err)
		}
	}
	k.endWrite()
	return n, err
}

// WriteBuffers writes the concatenation of bufs as one write. Below 16 KiB it
// copies them together; above, it makes one vectored system call if the
// transport has it. It changes neither bufs nor the bytes in it. The count and
// the error are those of Write.
func (c *Conn) WriteBuffers(bufs [][]byte) (int64, error) {
	k, err := c.beginWrite("write")
	if err != nil {
		return 0, err
	}
	defer k.endWrite()
	if err := k.writeRefused(); err != nil {
		return 0, err
	}
	var n, total int64 // the same bytes may be in bufs more often than an int can count
	for _, b := range bufs {
		total += int64(len(b))
	}
	switch {
	case total == 0:
		return 0, nil
	case total < vectorFrom:
		n, err = k.writeJoined(bufs, int(total))
	default:
		n, err = k.writeVector(bufs)
	}
	k.written.Add(uint64(n))
	if err != nil {
		err = k.writeError(n, err)
	}
	return n, err
}

func (k *core) writeJoined(bufs [][]byte, total int) (int64, error) {
	b := acquireBuffer(total > smallBuffer)
	defer recycleBuffer(b)
	for _, p := range bufs {
		b.w += copy(b.data[b.w:], p)
	}
	n, err := k.writeTransport(b.data[:b.w])
	return int64(n), err
}

// vectors holds the copies of slice headers that net.Buffers consumes.
var vectors = sync.Pool{New: func() any { return new(vector) }}

type vector struct {
	store [][]byte
	bufs  net.Buffers
}

func (k *core) writeVector(bufs [][]byte) (int64, error) {
	v := vectors.Get().(*vector)
	v.store = append(v.store[:0], bufs...)
	v.bufs = v.store
	n, err := v.bufs.WriteTo(k.tr().nc)
	clear(v.store)
	v.bufs = nil
	vectors.Put(v)
	return n, err
}

// writeError makes the error of a write that failed after n bytes, and keeps it
// if it is permanent. The caller holds wmu.
//
//go:noinline
func (k *core) writeError(n int64, err error) error {
	err = k.interrupted(err)
	fatal := k.opaque || !isTimeout(err)
	e := &Error{
		Op:      "write",
		Addr:    k.peerAddr(),
		Written: n,
		Err:     err,
		safe:    n == 0 && !k.opaque,
	}
	if fatal {
		k.werr = e
	}
	if k.opaque {
		k.torn.Add(1)
	}
	k.failed(e, fatal)
	return e
}

// writeRefused returns why a write must not reach the transport: an earlier
// write broke it, or the deadline has passed and this write would break it. The
// caller holds wmu.
//
//go:noinline
func (k *core) writeRefused() error {
	switch {
	case k.werr != nil:
		return &Error{Op: "write", Addr: k.peerAddr(), Err: &brokenError{k.werr.Err}, safe: true}
	case k.opaque && k.writeTimedOut():
		e := &Error{Op: "write", Addr: k.peerAddr(), Err: os.ErrDeadlineExceeded, safe: true}
		k.failed(e, false)
		return e
	}
	return nil
}
