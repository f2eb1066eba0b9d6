package conn

import (
	"net"
	"sync"
)

// Below this many bytes one copy and one write is faster than a vectored
// write; measured in internal/benchmarks.
const vectorFrom = 16 << 10

// Write writes all of p or returns an *Error that says how much of it was
// written. A timeout leaves the connection usable, and the rest can be
// written later, except over TLS, where a record may have left in part: there
// the connection is broken. After any other error all writes fail.
func (c *Conn) Write(p []byte) (int, error) {
	k, err := c.beginWrite("write")
	if err != nil {
		return 0, err
	}
	defer k.endWrite()
	if k.werr != nil {
		return 0, k.brokenWrite()
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := k.nc.Write(p)
	return n, k.wrote(int64(n), err)
}

// WriteBuffers writes the concatenation of bufs as one write: small ones are
// copied together, large ones go out in one vectored system call where the
// transport has it. Neither bufs nor what is in it is changed. The count and
// the error are those of Write.
func (c *Conn) WriteBuffers(bufs [][]byte) (int64, error) {
	k, err := c.beginWrite("write")
	if err != nil {
		return 0, err
	}
	defer k.endWrite()
	if k.werr != nil {
		return 0, k.brokenWrite()
	}
	total := 0
	for _, b := range bufs {
		total += len(b)
	}
	var n int64
	switch {
	case total == 0:
		return 0, nil
	case total < vectorFrom:
		n, err = k.writeJoined(bufs, total)
	default:
		n, err = k.writeVector(bufs)
	}
	return n, k.wrote(n, err)
}

func (k *core) writeJoined(bufs [][]byte, total int) (int64, error) {
	b := borrowBuffer(total > smallBuffer)
	defer returnBuffer(b)
	n := 0
	for _, p := range bufs {
		n += copy(b[n:], p)
	}
	n, err := k.nc.Write(b[:n])
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
	n, err := v.bufs.WriteTo(k.nc)
	clear(v.store)
	v.bufs = nil
	vectors.Put(v)
	return n, err
}

// wrote accounts for a write. The caller holds wmu.
func (k *core) wrote(n int64, err error) error {
	k.written.Add(uint64(n))
	if err == nil {
		return nil
	}
	fatal := k.opaque || !isTimeout(err)
	err = &Error{
		Op:      "write",
		Addr:    k.nc.RemoteAddr(),
		Written: n,
		Err:     err,
		safe:    n == 0 && !k.opaque,
	}
	if fatal {
		k.werr = err
	}
	k.failed(err, fatal)
	return err
}

func (k *core) brokenWrite() error {
	return &Error{Op: "write", Addr: k.nc.RemoteAddr(), Err: &brokenError{k.werr}, safe: true}
}
