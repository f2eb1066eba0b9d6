package conn

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
)

// core is the connection itself; Conns are handles on it. It is kept small,
// for servers hold many that are idle: what many connections never need is
// behind a pointer. For the same reason the way from Peek and Read down to the
// system call keeps its stack frames small (no defer, errors made elsewhere):
// a goroutine that waits for a frame must fit the 2 KiB it started with.
//
// Three locks, taken in this order: rmu or wmu, mu. (Ask alone holds both of the
// first two, and waits for neither.) rmu and wmu are the I/O locks: they are held
// across a read or a write, that is their purpose. mu is never held across
// either. Close takes mu alone, so it can interrupt both.
type core struct {
	nc  net.Conn
	raw syscall.RawConn // of nc, or of what nc wraps; nil if there is none

	state   atomic.Uint64 // the live handle's generation, and the marks: see state.go
	read    atomic.Uint64 // bytes, over the connection's life
	written atomic.Uint64
	torn    atomic.Uint32 // writes that failed and may have sent more than written says

	rmu        sync.Mutex // one reader at a time; guards the fields below
	buf        *buffer    // nil while no bytes are in it
	got        int        // what onReadable brought; negative: nothing yet
	gotErrno   syscall.Errno
	onReadable func(fd uintptr) bool // nil: reads go through nc
	checker    *checker              // made by the first Check
	rerr       *Error                // permanent read error; endOfStream for io.EOF

	wmu    sync.Mutex // one writer at a time; guards the fields below
	werr   *Error     // permanent write error
	writer *rawWriter // made by the first write to a socket, where it is used

	mu      sync.Mutex            // guards the fields below
	err     atomic.Pointer[Error] // first fatal error; endOfStream for io.EOF; read without mu too
	limits  *limits               // deadlines; made by the first
	onClose func()

	avail atomic.Int32 // bytes buffered as of the last unlock of rmu, for Buffered
	rbusy atomic.Bool  // a reader is at the transport; written with rmu held

	opaque bool // never changes: nc transforms bytes (TLS), so counts and readiness below it are not those above
	big    bool // rmu: the next buffer borrowed is a large one
	peeked bool // rmu: a slice from Peek may be in use
}

// endOfStream stands for io.EOF where a permanent error is kept.
var endOfStream = &Error{Op: "read", Err: io.EOF}

// closedHere stands for the error that Err returns after Close. Few ask for it,
// and to make it takes an address.
var closedHere = &Error{Op: "close", Err: net.ErrClosed}

// public returns the error as callers see it.
func (e *Error) public() error {
	switch e {
	case nil:
		return nil
	case endOfStream:
		return io.EOF
	}
	return e
}

// handleError is what an operation through a handle that has ended gets.
//
//go:noinline
func handleError(op string, k *core) *Error {
	e := &Error{Op: op, Err: net.ErrClosed, safe: op == "write" || op == "do" || op == "ask"}
	if k != nil {
		e.Addr = k.peerAddr()
	}
	return e
}

//go:noinline
func (k *core) error(op string, err error) *Error {
	return &Error{Op: op, Addr: k.peerAddr(), Err: err}
}

// peerAddr returns the peer's address for an error: nil if the transport cannot
// tell, as a stand-in for tests whose other methods are nil.
//
//go:noinline
func (k *core) peerAddr() (a net.Addr) {
	defer func() { _ = recover() }()
	return k.nc.RemoteAddr()
}

// beginRead takes the read lock. A handle that has ended does not touch even
// that.
func (c *Conn) beginRead() (*core, error) {
	k := c.core
	if k == nil || !c.live(k) {
		return nil, handleError("read", k)
	}
	k.rmu.Lock()
	if !c.live(k) {
		k.rmu.Unlock()
		return nil, handleError("read", k)
	}
	return k, nil
}

func (k *core) endRead() {
	if k.closed() {
		k.consume(len(k.unread()))
	}
	if !k.peeked {
		k.releaseBuffer()
	}
	if n := int32(len(k.unread())); n != k.avail.Load() {
		k.avail.Store(n) // a store costs far more than a load
	}
	k.rmu.Unlock()
}

// beginWrite takes the write lock.
func (c *Conn) beginWrite(op string) (*core, error) {
	k := c.core
	if k == nil || !c.live(k) {
		return nil, handleError(op, k)
	}
	k.wmu.Lock()
	if !c.mark(k, markWriting) {
		k.wmu.Unlock()
		return nil, handleError(op, k)
	}
	return k, nil
}

func (k *core) endWrite() {
	k.unmark(markWriting)
	k.wmu.Unlock()
}

// lockIdle takes the read lock unless a reader is at the transport. A lock
// that is held without one is about to be released: it is a quick operation
// on the buffer, or a handle that finds that it has ended.
func (k *core) lockIdle() bool {
	for !k.rmu.TryLock() {
		if k.rbusy.Load() {
			return false
		}
		runtime.Gosched()
	}
	return true
}

// fill reads once from the transport into the buffer, waiting for bytes. It
// invalidates slices from Peek. The caller holds rmu. The error is as the
// transport gave it, io.EOF, or the permanent one.
func (k *core) fill() error {
	if k.rerr != nil {
		return k.rerr.public()
	}
	k.peeked = false
	k.rbusy.Store(true)
	var n int
	var err error
	if k.onReadable != nil {
		n, err = k.fillRaw()
	} else {
		room := k.room()
		n, err = k.readTransport(room)
		// A reader parked here holds its buffer, so a large one is worth
		// having only while reads fill what they are given.
		k.big = n == len(room)
	}
	k.rbusy.Store(false)
	if n > 0 {
		k.buf.w += n
	}
	return k.received(n, err)
}

// readDirect reads once from the transport into p, past the buffer, which is
// empty.
func (k *core) readDirect(p []byte) (int, error) {
	if k.rerr != nil {
		return 0, k.rerr.public()
	}
	k.releaseBuffer()
	if len(p) >= largeBuffer/2 {
		// For who reads so much into memory of his own, all that a large
		// buffer brings is copied once more.
		k.big = false
	}
	k.rbusy.Store(true)
	n, err := k.readTransport(p)
	k.rbusy.Store(false)
	return n, k.received(n, err)
}

// maxIdleReads is how many reads in a row may bring nothing.
const maxIdleReads = 100

// readTransport reads once from nc. One that brings neither bytes nor an error
// means nothing, as io.Reader says: the end of an empty message, for instance.
func (k *core) readTransport(p []byte) (n int, err error) {
	for range maxIdleReads {
		if n, err = k.nc.Read(p); n != 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

// received accounts for a read. Bytes that came with a permanent error are
// delivered first, the error with the next read.
func (k *core) received(n int, err error) error {
	if n > 0 {
		k.read.Add(uint64(n))
		if err != nil && !isTimeout(err) {
			_ = k.readError(err)
		}
		return nil
	}
	return err
}

// readError makes the public error of a failed read and keeps it if it is
// permanent. The caller holds rmu.
func (k *core) readError(err error) error {
	if k.rerr != nil {
		return k.rerr.public()
	}
	err = k.interrupted(err)
	if err == io.EOF && k.checker != nil && k.checker.lost != nil {
		err = k.checker.lost
	}
	if err == io.EOF {
		k.rerr = endOfStream
		k.failed(k.rerr, true)
		return err
	}
	e := k.error("read", err)
	fatal := !e.Timeout() || k.handshakeCut()
	if fatal {
		k.rerr = e
	}
	k.failed(e, fatal)
	return e
}

// handshakeCut reports whether TLS has not shaken hands, after a read that
// failed: then it never will, and gives every read and write the same error.
//
//go:noinline
func (k *core) handshakeCut() bool {
	tc, ok := k.nc.(*tls.Conn)
	return ok && !tc.ConnectionState().HandshakeComplete
}

// interrupted returns the error of an operation that Close cut short as
// net.ErrClosed, also where the transport has its own word for it.
func (k *core) interrupted(err error) error {
	if k.closed() && !errors.Is(err, net.ErrClosed) && !isTimeout(err) {
		return net.ErrClosed
	}
	return err
}

// failed notes that an operation failed; fatal says that the connection is
// lost with it.
func (k *core) failed(err *Error, fatal bool) {
	k.mu.Lock()
	k.state.Or(markUnfit)
	if fatal {
		k.err.CompareAndSwap(nil, err)
	}
	k.mu.Unlock()
}
