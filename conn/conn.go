package conn

import (
	"errors"
	"net"
)

// Conn is a handle on one connection, and a net.Conn. All its methods may be
// called from several goroutines at a time: reads take turns, writes take
// turns, and Close, the deadlines and the questions about health never wait
// for either.
//
// A handle ends when the connection is closed or handed on with Handoff. The
// zero Conn is a handle that has ended. Every method of an ended handle fails
// with an error that is net.ErrClosed and touches nothing.
type Conn struct {
	core *core  // nil: never began; immutable once set
	gen  uint64 // in the place it has in core.state
}

var _ net.Conn = (*Conn)(nil)

// New makes the first handle on nc, which from then on must be used through
// it alone. nc must be a stream; it can be any net.Conn.
//
// A *net.TCPConn or *net.UnixConn on a Unix system is read through its raw
// descriptor, and while it is idle it holds no buffer. Any other connection
// holds 4 KiB while a read waits. A connection that has a NetConn method, as
// *tls.Conn does, is taken to transform bytes: what can be learned from the
// connection under it is only whether the peer is there, and no failed write
// is safe to repeat. One without is believed where it says how much it wrote.
func New(nc net.Conn) *Conn {
	c := &struct { // one allocation for both
		handle Conn
		core   core
	}{}
	k := &c.core
	k.nc = nc
	if _, wraps := nc.(interface{ NetConn() net.Conn }); wraps {
		_, plain := nc.(*Conn)
		k.opaque = !plain
	}
	k.openRaw()
	k.state.Store(generation)
	c.handle = Conn{core: k, gen: generation}
	return &c.handle
}

// Handoff ends this handle and makes *to the handle of the same connection,
// for another owner. Whoever still holds the old handle can do nothing with
// it, and slices that Peek returned through it are no longer valid. OnClose
// and the counts of bytes go on. It allocates only for an error.
//
// It fails with what Reusable says, and changes nothing, if the connection is
// not fit to be another's: there is no moment between the question and the
// deed. A handle that has ended fails with net.ErrClosed. *to must not be in
// use: it must be the zero Conn or a handle that has ended.
func (c *Conn) Handoff(to *Conn) error {
	k := c.core
	if k == nil || !c.live(k) {
		return handleError("handoff", k)
	}
	if to.core != nil && to.live(to.core) {
		return k.error("handoff", errHandleInUse)
	}
	if err := c.pass(k, to); err != nil {
		return k.error("handoff", err)
	}
	return nil
}

// pass does the work of Handoff. It has no defer, for a pool calls it at the
// end of every loan.
func (c *Conn) pass(k *core, to *Conn) error {
	if !k.rmu.TryLock() && !k.lockIdle() {
		return ErrBusy
	}
	var err error
	for err == nil && !(k.empty() && k.state.CompareAndSwap(c.gen, c.gen+generation)) {
		err = c.unfitness(k, 0) // nil if it is over since
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

// Close closes the connection at once: operations in progress fail with
// net.ErrClosed, buffered bytes are gone. A second Close fails with
// net.ErrClosed and does nothing. Over TLS, crypto/tls says goodbye first, for
// which it waits up to five seconds where the peer does not read.
func (c *Conn) Close() error {
	k := c.core
	if k == nil {
		return handleError("close", k)
	}
	k.mu.Lock()
	if !c.mark(k, markClosed) {
		k.mu.Unlock()
		return handleError("close", k)
	}
	k.err.CompareAndSwap(nil, closedHere)
	hook := k.onClose
	k.onClose = nil
	k.mu.Unlock()

	err := k.nc.Close()
	// A reader in progress gives its buffer back itself. A slice from Peek
	// may be in use elsewhere, so that buffer is left to the collector.
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

// OnClose sets the one function that is called after the first Close, once,
// on the goroutine that closed. It is called at once if the connection is
// closed already. Nil takes it away. It belongs to the connection: Handoff
// leaves it in place.
func (c *Conn) OnClose(f func()) {
	k := c.core
	if k == nil {
		return
	}
	k.mu.Lock()
	if c.mark(k, markHooking) {
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

// CloseWrite ends the writing side, after a write in progress: the peer reads
// io.EOF, reading goes on here. It fails with errors.ErrUnsupported where the
// transport has no half-close. A connection half closed is not Reusable.
func (c *Conn) CloseWrite() error {
	k, err := c.beginWrite("half-close")
	if err != nil {
		return err
	}
	defer k.endWrite()
	half, ok := k.nc.(interface{ CloseWrite() error })
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
// package's buffer and counts.
func (c *Conn) NetConn() net.Conn {
	if c.core == nil || !c.live(c.core) {
		return nil
	}
	return c.core.nc
}

// LocalAddr returns the local address, also after the handle has ended. It is
// nil for the zero Conn.
func (c *Conn) LocalAddr() net.Addr {
	if c.core == nil {
		return nil
	}
	return c.core.nc.LocalAddr()
}

// RemoteAddr returns the peer's address, also after the handle has ended. It
// is nil for the zero Conn.
func (c *Conn) RemoteAddr() net.Addr {
	if c.core == nil {
		return nil
	}
	return c.core.nc.RemoteAddr()
}

// BytesRead returns how many bytes have been received from the transport over
// the connection's life, buffered ones included. Over TLS it counts plaintext.
func (c *Conn) BytesRead() uint64 {
	if c.core == nil {
		return 0
	}
	return c.core.read.Load()
}

// BytesWritten returns how many bytes have been handed to the transport over
// the connection's life, whole and partial writes alike.
func (c *Conn) BytesWritten() uint64 {
	if c.core == nil {
		return 0
	}
	return c.core.written.Load()
}
