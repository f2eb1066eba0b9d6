package memnet

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// DefaultBufferSize is how many bytes one direction holds before a write blocks.
const DefaultBufferSize = 64 << 10

// Addr is the address of an endpoint: a name, on the network "mem".
type Addr string

// Network returns "mem".
func (Addr) Network() string { return "mem" }

func (a Addr) String() string { return string(a) }

// Pipe returns the two ends of a connection. Both are *Conn.
func Pipe() (a, b net.Conn) { return PipeSize(DefaultBufferSize) }

// PipeSize is Pipe with room for size bytes in each direction; zero or less
// means DefaultBufferSize.
func PipeSize(size int) (a, b *Conn) { return connect(Addr("pipe-a"), Addr("pipe-b"), size) }

// Conn is one end of an in-memory connection. It is safe for concurrent use.
type Conn struct {
	link          *link
	peer          *Conn
	local, remote net.Addr

	// All below is guarded by link.mu.

	in      ring  // written by the peer, not yet read here
	fin     bool  // this end writes no more
	closed  bool  // this end was closed
	dead    bool  // reset: nothing moves in either direction any more
	err     error // the reset, until one call has reported it
	writing bool  // a Write is under way: concurrent Writes do not interleave
	rd, wd  deadline
}

// link is what both ends share.
type link struct {
	mu   sync.Mutex // held for bookkeeping only, never while blocked
	wake sync.Cond  // broadcast at every change of either end
}

type deadline struct {
	timer   *time.Timer
	set     uint64 // counts changes, so that a timer that fired late is known
	expired bool
}

func connect(local, remote net.Addr, size int) (a, b *Conn) {
	if size <= 0 {
		size = DefaultBufferSize
	}
	l := new(link)
	l.wake.L = &l.mu
	a = &Conn{link: l, local: local, remote: remote, in: ring{max: size}}
	b = &Conn{link: l, local: remote, remote: local, in: ring{max: size}, peer: a}
	a.peer = b
	return a, b
}

// Read reads what is there, up to len(p), and waits only for the first byte.
func (c *Conn) Read(p []byte) (int, error) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, c.opError("read", net.ErrClosed)
		case len(p) == 0:
			return 0, nil
		case c.rd.expired:
			return 0, c.opError("read", os.ErrDeadlineExceeded)
		case c.in.n > 0:
			n := c.in.read(p)
			c.link.wake.Broadcast()
			return n, nil
		case c.err != nil:
			return 0, c.opError("read", c.takeErr("read"))
		case c.dead, c.peer.fin:
			return 0, io.EOF
		}
		c.link.wake.Wait()
	}
}

// Write writes all of p, waiting for room as the peer reads. With an error it
// says how many bytes the peer can still read.
func (c *Conn) Write(p []byte) (int, error) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	for c.writing {
		c.link.wake.Wait()
	}
	c.writing = true
	defer func() {
		c.writing = false
		c.link.wake.Broadcast()
	}()
	written := 0
	for {
		if err := c.writeErr(); err != nil {
			return written, c.opError("write", err)
		}
		if c.peer.closed {
			// As in TCP: the bytes leave, and what comes back is a reset.
			c.dead = true
			return len(p), nil
		}
		if n := c.peer.in.write(p[written:]); n > 0 {
			written += n
			c.link.wake.Broadcast()
		}
		if written == len(p) {
			return written, nil
		}
		c.link.wake.Wait()
	}
}

func (c *Conn) writeErr() error {
	switch {
	case c.closed:
		return net.ErrClosed
	case c.wd.expired:
		return os.ErrDeadlineExceeded
	case c.err != nil:
		return c.takeErr("write")
	case c.dead, c.fin:
		return os.NewSyscallError("write", syscall.EPIPE)
	}
	return nil
}

func (c *Conn) takeErr(op string) error {
	err := os.NewSyscallError(op, c.err)
	c.err = nil
	return err
}

// CloseWrite half-closes: the peer reads what was written, then io.EOF.
func (c *Conn) CloseWrite() error {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.closed {
		return c.opError("close", net.ErrClosed)
	}
	if c.dead {
		return c.opError("close", os.NewSyscallError("shutdown", syscall.ENOTCONN))
	}
	c.fin = true
	c.link.wake.Broadcast()
	return nil
}

// Close closes this end. The peer reads what was written, then io.EOF, or
// ECONNRESET where this end had bytes unread. A second Close is an error that
// is net.ErrClosed.
func (c *Conn) Close() error { return c.close(false) }

// Reset closes this end as SetLinger(0) and Close do on a TCP connection: the
// peer's next operation fails with ECONNRESET once it has read what is there.
func (c *Conn) Reset() error { return c.close(true) }

func (c *Conn) close(reset bool) error {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.closed {
		return c.opError("close", net.ErrClosed)
	}
	if reset || c.in.n > 0 {
		c.resetPeer()
	}
	c.closed, c.fin = true, true
	c.in.drop()
	c.rd.clear()
	c.wd.clear()
	c.link.wake.Broadcast()
	return nil
}

// resetPeer delivers a reset to the other end, which hears of it once.
func (c *Conn) resetPeer() {
	if p := c.peer; !p.closed && !p.dead {
		p.dead, p.err = true, syscall.ECONNRESET
	}
}

// LocalAddr returns this end's address.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the other end's address.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both deadlines; the zero time means none.
func (c *Conn) SetDeadline(t time.Time) error { return c.setDeadlines(t, &c.rd, &c.wd) }

// SetReadDeadline sets the deadline of pending and future Reads.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, &c.rd) }

// SetWriteDeadline sets the deadline of pending and future Writes.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, &c.wd) }

func (c *Conn) setDeadlines(t time.Time, ds ...*deadline) error {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.closed {
		return c.opError("set", net.ErrClosed)
	}
	for _, d := range ds {
		d.clear()
		switch wait := time.Until(t); {
		case t.IsZero():
		case wait <= 0:
			d.expired = true
		default:
			set := d.set
			d.timer = time.AfterFunc(wait, func() { c.expire(d, set) })
		}
	}
	c.link.wake.Broadcast()
	return nil
}

func (c *Conn) expire(d *deadline, set uint64) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if d.set == set {
		d.expired = true
		c.link.wake.Broadcast()
	}
}

func (d *deadline) clear() {
	if d.timer != nil {
		d.timer.Stop()
	}
	d.timer, d.expired = nil, false
	d.set++
}

func (c *Conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "mem", Source: c.local, Addr: c.remote, Err: err}
}
