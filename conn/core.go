package conn

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
)

// core is the connection itself; Conns are handles on it. It is small, since a
// server holds many that are idle: what most connections never need, and a sleeping
// one does without, is behind a pointer. For the same reason the functions from Peek and Read down to the
// system call have small stack frames (no defer, errors made elsewhere): a
// goroutine that waits for a frame must fit the 2 KiB it started with.
//
// There are three locks, acquired in this order: rmu or wmu, then mu. Only Ask
// holds both rmu and wmu, and it waits for neither. rmu and wmu are held across a
// read or a write; that is their purpose. mu is not held across either, but it
// is held while a deadline is set. Close acquires mu alone, so it can interrupt
// both.
type core struct {
	transport atomic.Pointer[transport] // nil while the connection sleeps
	asleep    atomic.Pointer[sleeper]   // nil while it is awake

	state   atomic.Uint64 // the live handle's generation, and the marks: see state.go
	read    atomic.Uint64 // bytes, over the connection's life
	written atomic.Uint64
	torn    atomic.Uint32 // writes that failed and may have sent more than written says
	avail   atomic.Int32  // bytes buffered as of the last unlock of rmu, for Buffered

	rmu  sync.Mutex // one reader at a time; guards the fields below, and those of transport that change
	buf  *buffer    // nil while no bytes are in it
	rerr *Error     // permanent read error; endOfStream for io.EOF

	wmu  sync.Mutex // one writer at a time; guards the field below
	werr *Error     // permanent write error

	mu      sync.Mutex            // guards the fields below
	err     atomic.Pointer[Error] // first fatal error; endOfStream for io.EOF; read without mu too
	limits  *limits               // deadlines; made by the first
	onClose func()

	rbusy atomic.Bool // a reader is at the transport; written with rmu held

	opaque bool // never changes: nc transforms bytes (TLS), so counts and readiness below it are not those above
	big    bool // rmu: the next buffer is a large one
	peeked bool // rmu: a slice from Peek may be in use
	held   bool // mu: somebody may hold what NetConn has returned, so it must stay
}

// endOfStream stands for io.EOF where a permanent error is kept.
var endOfStream = &Error{Op: "read", Err: io.EOF}

// closedHere stands for the error that Err returns after Close. It is made when
// it is asked for, since it needs an address.
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

// handleError is the error of an operation on a handle that has ended.
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
	return k.addresses().RemoteAddr()
}

// beginRead acquires rmu. It does not even do that for a handle that has ended.
func (c *Conn) beginRead() (*core, error) {
	k := c.core
	for {
		if k == nil || !c.live(k) {
			if err := c.rouse("read", k); err != nil {
				return nil, err
			}
		}
		k.rmu.Lock()
		if c.live(k) {
			return k, nil
		}
		k.rmu.Unlock()
	}
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

// beginWrite acquires wmu.
func (c *Conn) beginWrite(op string) (*core, error) {
	k := c.core
	for {
		if k == nil || !c.live(k) {
			if err := c.rouse(op, k); err != nil {
				return nil, err
			}
		}
		k.wmu.Lock()
		if c.mark(k, markWriting) {
			return k, nil
		}
		k.wmu.Unlock()
	}
}

func (k *core) endWrite() {
	k.unmark(markWriting)
	k.wmu.Unlock()
}

// lockIdle acquires rmu unless a read is in progress. If rmu is held without
// one, it is about to be released: a quick operation on the buffer holds it, or
// a handle that finds that it has ended.
func (k *core) lockIdle() bool {
	for !k.rmu.TryLock() {
		if k.rbusy.Load() {
			return false
		}
		runtime.Gosched()
	}
	return true
}

// lockAwake acquires rmu for an operation of c, unless a read is in progress. The
// connection does not sleep then.
func (c *Conn) lockAwake(op string, k *core) error {
	for {
		if k == nil || !c.live(k) {
			if err := c.rouse(op, k); err != nil {
				return err
			}
		}
		if !k.lockIdle() {
			return k.error(op, ErrBusy)
		}
		if k.state.Load()&markAsleep == 0 {
			return nil
		}
		k.rmu.Unlock()
	}
}

// fill waits for bytes and reads once from the transport into the buffer.
// Slices from Peek are no longer valid after it. The caller holds rmu. The error
// is that of the transport, io.EOF, or the permanent one.
func (k *core) fill() error {
	if k.rerr != nil {
		return k.rerr.public()
	}
	k.peeked = false
	k.rbusy.Store(true)
	var n int
	var err error
	if k.looping() {
		err = errNothing
	} else if k.tr().onReadable != nil {
		n, err = k.fillRaw()
	} else {
		room := k.room()
		n, err = k.readTransport(room)
		// A reader that waits here holds its buffer, so a large one is useful
		// only while reads fill what they are given.
		k.big = n == len(room)
	}
	k.rbusy.Store(false)
	if n > 0 {
		k.buf.w += n
	}
	return k.received(n, err)
}

// readDirect reads once from the transport into p. The buffer is empty and is
// not used.
func (k *core) readDirect(p []byte) (int, error) {
	if k.rerr != nil {
		return 0, k.rerr.public()
	}
	k.releaseBuffer()
	if len(p) >= largeBuffer/2 {
		// The caller reads much into its own memory; a large buffer would
		// only add a copy.
		k.big = false
	}
	k.rbusy.Store(true)
	n, err := 0, errNothing
	if !k.looping() {
		n, err = k.readTransport(p)
	}
	k.rbusy.Store(false)
	return n, k.received(n, err)
}

// maxIdleReads is how many reads in a row may bring nothing.
const maxIdleReads = 100

// readTransport reads once from nc. A read that returns neither bytes nor an
// error means nothing, as io.Reader says, and is repeated.
func (k *core) readTransport(p []byte) (n int, err error) {
	for range maxIdleReads {
		if n, err = k.tr().nc.Read(p); n != 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

// received counts the bytes of a read. If bytes came with a permanent error,
// the bytes are returned first, and the error by the next read.
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

// readError makes the error that a failed read returns, and keeps it if it is
// permanent. The caller holds rmu.
func (k *core) readError(err error) error {
	if k.rerr != nil {
		return k.rerr.public()
	}
	err = k.interrupted(err)
	if ck := k.tr().checker; err == io.EOF && ck != nil && ck.lost != nil {
		err = ck.lost
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

// handshakeCut reports whether nc is a TLS connection without a complete
// handshake. After a read that failed it never completes, and every read and
// write fails with the same error.
//
//go:noinline
func (k *core) handshakeCut() bool {
	tc, ok := k.tr().nc.(*tls.Conn)
	return ok && !tc.ConnectionState().HandshakeComplete
}

// interrupted returns net.ErrClosed for an operation that Close interrupted,
// also if the transport has an error of its own for that.
func (k *core) interrupted(err error) error {
	if k.closed() && !errors.Is(err, net.ErrClosed) && !isTimeout(err) {
		return net.ErrClosed
	}
	return err
}

// failed records that an operation failed. If it was fatal, the connection is
// lost.
func (k *core) failed(err *Error, fatal bool) {
	k.mu.Lock()
	k.state.Or(markUnfit)
	if err != nil && err.Timeout() && !k.limits.canceled() {
		k.state.Or(markTimedOut)
	}
	if fatal {
		k.err.CompareAndSwap(nil, err)
	}
	k.mu.Unlock()
}
