package gtcp

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// innerConn is the net.Conn inside a Conn: the connection in use, the deadlines
// its user has set and, for a pooled one, the way to a fresh connection and
// back to the pool.
//
// receiving and sending are the facade's only locks held across I/O, one per
// direction as in package conn, and for the same reason: a message that takes
// more than one operation, because a timeout cut it and a retry goes on with
// it, must not have another goroutine's message in the middle. Close and the
// deadlines take neither, so they interrupt both.
type innerConn struct {
	receiving sync.Mutex
	pkgs      *pkgReader // made by the first RecvPkg
	gathered  int        // bytes that the last Recv(-1) brought

	sending sync.Mutex
	cut     bool // a message was given up half sent

	lease *lease // nil where the connection is no pool's

	conn atomic.Pointer[conn.Conn] // in use; written with mu held

	mu     sync.Mutex    // guards the fields below; never held across I/O
	bounds *bounds       // nil while there were none: most loans set none
	wait   time.Duration // of Recv(-1)
}

// bounds are what limits either direction.
type bounds struct{ recv, send bound }

// A direction picks one of the two.
type direction func(*bounds) bound

func receiving(b *bounds) bound { return b.recv }
func sending(b *bounds) bound   { return b.send }

// bound is what limits one direction: the caller's own deadline, and that of a
// call with a timeout of its own. The earlier one is in force.
type bound struct{ own, call time.Time }

func (b bound) deadline() time.Time {
	if b.own.IsZero() || !b.call.IsZero() && b.call.Before(b.own) {
		return b.call
	}
	return b.own
}

// newConn makes the Conn of a connection, with one allocation.
func newConn(c *conn.Conn) *Conn {
	both := &struct {
		outer Conn
		inner innerConn
	}{}
	both.inner.init(c)
	both.outer = Conn{Conn: &both.inner, inner: &both.inner}
	return &both.outer
}

func (s *innerConn) init(c *conn.Conn) {
	s.conn.Store(c)
	s.wait = defaultBufferWait
}

// current is the connection in use.
func (s *innerConn) current() *conn.Conn { return s.conn.Load() }

func (s *innerConn) LocalAddr() net.Addr  { return s.current().LocalAddr() }
func (s *innerConn) RemoteAddr() net.Addr { return s.current().RemoteAddr() }

// Read reads what is there, waiting for the first byte.
func (s *innerConn) Read(p []byte) (int, error) {
	c, err := s.reader()
	defer s.receiving.Unlock()
	if err != nil {
		return 0, err
	}
	return c.Read(p)
}

// Write writes p. On a connection that came from its pool the first write may
// move to a new one, see renew.
func (s *innerConn) Write(p []byte) (int, error) {
	if err := s.look(sending); err != nil {
		return 0, err
	}
	c := s.current()
	if len(p) > 0 {
		s.asks(c)
	}
	n, err := c.Write(p)
	if c, err = s.renew(c, n > 0, err); c != nil {
		return c.Write(p)
	}
	return n, err
}

// WriteBuffers is Write of the concatenation of bufs, which is not empty.
func (s *innerConn) WriteBuffers(bufs [][]byte) (int64, error) {
	if err := s.look(sending); err != nil {
		return 0, err
	}
	c := s.current()
	s.asks(c)
	n, err := c.WriteBuffers(bufs)
	if c, err = s.renew(c, n > 0, err); c != nil {
		return c.WriteBuffers(bufs)
	}
	return n, err
}

// Close closes the connection itself, a pooled one too: PoolConn.Close is what
// gives one back.
func (s *innerConn) Close() error {
	if s.lease != nil {
		return s.lease.end(s, false)
	}
	s.rest()
	return s.current().Close()
}

// rest gives back what is needed only to receive. A receive in
// progress keeps it.
func (s *innerConn) rest() {
	if s.receiving.TryLock() {
		s.dropPkgReader()
		s.receiving.Unlock()
	}
}

// bufferWait is how long Recv(-1) waits for more.
func (s *innerConn) bufferWait() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wait
}

func (s *innerConn) setBufferWait(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wait = d
}

// limits returns the bounds, which it makes if there are none; mu is held.
func (s *innerConn) limits() *bounds {
	if s.bounds == nil {
		s.bounds = new(bounds)
	}
	return s.bounds
}

// SetDeadline sets the caller's own deadline of both directions.
func (s *innerConn) SetDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.limits()
	b.recv.own, b.send.own = t, t
	return s.applyDeadlines()
}

// SetReadDeadline sets the caller's own deadline of reads.
func (s *innerConn) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &s.limits().recv
	b.own = t
	return s.current().SetReadDeadline(b.deadline())
}

// SetWriteDeadline sets the caller's own deadline of writes.
func (s *innerConn) SetWriteDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &s.limits().send
	b.own = t
	return s.current().SetWriteDeadline(b.deadline())
}

// applyDeadlines puts both deadlines on the connection; mu is held.
func (s *innerConn) applyDeadlines() error {
	if s.bounds == nil {
		return nil
	}
	r, w := s.bounds.recv.deadline(), s.bounds.send.deadline()
	if !r.Equal(w) {
		if err := s.current().SetReadDeadline(r); err != nil {
			return err
		}
		return s.current().SetWriteDeadline(w)
	}
	return s.current().SetDeadline(r)
}

// limitRecv bounds the call in progress; the zero time ends the bound and
// leaves the caller's own deadline as it is.
func (s *innerConn) limitRecv(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &s.limits().recv
	b.call = t
	err := s.current().SetReadDeadline(b.deadline())
	return describe(err, "SetDeadlineRecv for connection failed with %q", t)
}

// limitSend is limitRecv for the other direction.
func (s *innerConn) limitSend(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &s.limits().send
	b.call = t
	err := s.current().SetWriteDeadline(b.deadline())
	return describe(err, "SetDeadlineSend for connection failed with %q", t)
}
