package conn

import (
	"errors"
	"net"
)

// Conn is a handle on one connection, and a net.Conn. All its methods may be
// called from several goroutines at a time. Reads take turns, and so do writes.
// Close, the deadlines and the methods for health wait for neither.
//
// A handle ends when the connection is closed or handed on with Handoff. The
// zero Conn is a handle that has ended. Every method of a handle that has ended
// fails with net.ErrClosed and has no effect.
type Conn struct {
	core *core  // nil: never began; immutable once set
	gen  uint64 // in the place it has in core.state
}

var _ net.Conn = (*Conn)(nil)

// New makes the first handle on nc. From then on nc must be used only through
// that handle. nc can be any net.Conn that is a stream.
//
// New reads a *net.TCPConn or *net.UnixConn on a Unix system through its
// descriptor; such a connection holds no buffer while it is idle. Any other
// connection holds 4 KiB while a read waits. A connection that has a NetConn
// method, such as *tls.Conn, is assumed to transform bytes. So the connection
// that NetConn returns is used only to check whether the peer is connected,
// and no failed write is safe to retry. For any other net.Conn, the byte count
// returned by a failed Write is trusted.
func New(nc net.Conn) *Conn {
	c := &struct { // one allocation for both
		handle Conn
		core   core
	}{}
	k := &c.core
	if _, wraps := nc.(interface{ NetConn() net.Conn }); wraps {
		_, plain := nc.(*Conn)
		k.opaque = !plain
	}
	k.transport.Store(k.newTransport(nc))
	k.state.Store(generation)
	c.handle = Conn{core: k, gen: generation}
	return &c.handle
}

// Handoff ends this handle and makes *to the handle of the same connection,
// for another owner. A pool uses it between two callers. The old handle has no
// effect any more, and slices that Peek returned through it are no longer
// valid. OnClose and the byte counts stay. It allocates only for an error.
//
// If the connection is not Reusable, Handoff fails with the error of Reusable
// and changes nothing. The check and the handoff are one atomic step. A handle
// that has ended fails with net.ErrClosed. *to must be the zero Conn or a handle
// that has ended.
func (c *Conn) Handoff(to *Conn) error {
	k := c.core
	if k == nil || !c.open(k) {
		return handleError("handoff", k)
	}
	if to.core != nil && to.open(to.core) {
		return k.error("handoff", errHandleInUse)
	}
	if err := c.pass(k, to); err != nil {
		return k.error("handoff", err)
	}
	return nil
}

// pass does the work of Handoff. It has no defer, since a pool calls it at each
// release.
func (c *Conn) pass(k *core, to *Conn) error {
	if !k.rmu.TryLock() && !k.lockIdle() {
		return ErrBusy
	}
	var err error
	asleep := k.state.Load() & markAsleep // it stays so while rmu is held
	for err == nil && !(k.empty() && k.state.CompareAndSwap(c.gen|asleep, (c.gen+generation)|asleep)) {
		err = c.unfitness(k, 0) // nil if the reason is gone meanwhile
	}
	if err == nil {
		k.peeked = false
		k.releaseBuffer()
		to.core, to.gen = k, c.gen+generation
	}
	k.rmu.Unlock()
	return err
}

var errHandleInUse = errors.New("the receiving handle is in use")

// Close closes the connection at once. Operations in progress fail with
// net.ErrClosed, and buffered bytes are lost. A second Close fails with
// net.ErrClosed and has no effect. Over TLS, crypto/tls first sends an alert,
// for which it waits up to 5 s if the peer does not read. It does not wait after
// a write that has failed or timed out, because then no alert can be sent.
func (c *Conn) Close() error {
	k := c.core
	if k == nil {
		return handleError("close", k)
	}
	k.mu.Lock()
	if !c.markUnless(k, markClosed, markClosed) {
		k.mu.Unlock()
		return handleError("close", k)
	}
	k.err.CompareAndSwap(nil, closedHere)
	hook := k.onClose
	k.onClose = nil
	looping := k.looping()
	k.mu.Unlock()

	var err error
	if looping {
		k.interruptLoop()
	} else if t := k.tr(); t != nil {
		err = k.closeTransport(t)
	} else {
		err = k.asleep.Load().close()
	}
	// A reader in progress releases its buffer itself. A slice from Peek may
	// be in use elsewhere, so that buffer is left to the collector.
	if k.rmu.TryLock() {
		if k.peeked {
			k.buf = nil
		}
		k.endRead()
	}
	if hook != nil {
		hook()
	}
	if err != nil {
		return k.error("close", err)
	}
	return nil
}

// OnClose sets the function that is called once, after the first Close, on the
// goroutine that called Close. If the connection is closed already, OnClose
// calls it at once. There is one such function; nil removes it. Handoff leaves
// it in place.
func (c *Conn) OnClose(f func()) {
	k := c.core
	if k == nil {
		return
	}
	k.mu.Lock()
	if c.markUnless(k, markHooking, markClosed) {
		k.onClose = f
		k.unmark(markHooking)
		k.mu.Unlock()
		return
	}
	tooLate := c.latest(k.state.Load())
	k.mu.Unlock()
	if tooLate && f != nil {
		f()
	}
}

// CloseWrite closes the writing side, after a write in progress. The peer reads
// io.EOF; reads on this side still work. It fails with errors.ErrUnsupported if
// the transport has no half-close. A half-closed connection is not Reusable.
func (c *Conn) CloseWrite() error {
	k, err := c.beginWrite("half-close")
	if err != nil {
		return err
	}
	defer k.endWrite()
	if k.opaque && k.werr != nil {
		return k.writeRefused()
	}
	half, ok := k.tr().nc.(interface{ CloseWrite() error })
	if !ok {
		return k.error("half-close", errors.ErrUnsupported)
	}
	err = half.CloseWrite()
	k.failed(nil, false)
	if err != nil {
		return k.error("half-close", err)
	}
	return nil
}

// NetConn returns the connection that New was given, or nil if the handle has
// ended. Use it for socket options. Reads and writes on it bypass this
// package's buffer and counts. Do not close it, but the Conn: within ReadLoop, and so
// within a handler of server.FrameHandler, its Close waits for the caller itself.
func (c *Conn) NetConn() net.Conn {
	k := c.core
	for {
		if k == nil || !c.live(k) {
			if c.rouse("netconn", k) != nil {
				return nil
			}
		}
		k.mu.Lock()
		if c.live(k) {
			defer k.mu.Unlock()
			k.held = true
			return k.tr().nc
		}
		k.mu.Unlock()
	}
}

// LocalAddr returns the local address, also after the handle has ended. It is
// nil for the zero Conn.
func (c *Conn) LocalAddr() net.Addr {
	if c.core == nil {
		return nil
	}
	return c.core.addresses().LocalAddr()
}

// RemoteAddr returns the peer's address, also after the handle has ended. It
// is nil for the zero Conn.
func (c *Conn) RemoteAddr() net.Addr {
	if c.core == nil {
		return nil
	}
	return c.core.addresses().RemoteAddr()
}

// BytesRead returns how many bytes the connection has received since it was
// made, those in the buffer included. Over TLS it counts plaintext.
func (c *Conn) BytesRead() uint64 {
	if c.core == nil {
		return 0
	}
	return c.core.read.Load()
}

// BytesWritten returns how many bytes the connection has handed to the transport
// since it was made, those of failed writes included.
func (c *Conn) BytesWritten() uint64 {
	if c.core == nil {
		return 0
	}
	return c.core.written.Load()
}
