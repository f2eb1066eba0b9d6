package gtcp

import (
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// innerConn is the net.Conn inside a Conn: the connection in use, the deadlines
// its user has set and, for a PoolConn, its checkout from the pool.
//
// receiving and sending are the facade's only locks held across I/O, one for
// each direction as in package conn, and for the same reason: a message that
// takes more than one operation, because a timeout cut it and a retry goes on
// with it, must not have another goroutine's message in the middle. Close and
// the deadlines take neither, so they interrupt both. Where both are taken,
// receiving is first.
type innerConn struct {
	receiving ioLock     // guards the two fields below
	pkgs      *pkgReader // made by the first RecvPkg
	gathered  int        // bytes that the last Recv(-1) returned

	sending ioLock // guards the field below
	cut     bool   // a message was given up half sent

	checkout *checkout // nil where the connection is no pool's
	accepted *accepted // nil where the connection is no server's

	conn    atomic.Pointer[conn.Conn] // in use; written with mu held
	wrapped atomic.Pointer[wrapper]   // what the program has put in this place; written with mu held

	mu     sync.Mutex    // guards the fields below, and those of checkout that say so; never held across I/O
	bounds *bounds       // nil while there were none: most checkouts set none
	wait   time.Duration // of Recv(-1)
}

// direction is one of the two in which bytes move.
type direction uint8

const (
	receiving direction = iota
	sending
)

func (d direction) op() string {
	if d == receiving {
		return "read"
	}
	return "write"
}

func (d direction) setDeadline(c *conn.Conn, t time.Time) error {
	if d == receiving {
		return c.SetReadDeadline(t)
	}
	return c.SetWriteDeadline(t)
}

// bounds are what limits either direction.
type bounds struct{ recv, send bound }

func (b *bounds) of(d direction) *bound {
	if d == receiving {
		return &b.recv
	}
	return &b.send
}

// bound is what limits one direction: the caller's own deadline, that of a
// call with a timeout, and that of the start of a call, which ends before its
// I/O. The zero time means no limit.
type bound struct{ own, call, start time.Time }

// deadline is what limits I/O.
func (b bound) deadline() time.Time { return earlier(b.own, b.call) }

// earlier is the earlier of two deadlines, of which zero is the latest.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
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

func (s *innerConn) lockOf(d direction) *ioLock {
	if d == receiving {
		return &s.receiving
	}
	return &s.sending
}

// enter takes the lock of direction d, before the time by, if that is not zero,
// and before the caller's own deadline.
func (s *innerConn) enter(d direction, by time.Time) error {
	if s.lockOf(d).tryLock() {
		return nil
	}
	s.mu.Lock()
	if s.bounds != nil {
		by = earlier(by, s.bounds.of(d).own)
	}
	s.mu.Unlock()
	if s.lockOf(d).lock(by) {
		return nil
	}
	return s.lockTimeout(d)
}

func (s *innerConn) lockTimeout(d direction) error {
	if s.checkout != nil && d == receiving {
		s.checkout.failed.Store(true) // the reply that was waited for may still come
	}
	return s.opError(d.op(), &lockTimeoutError{sent: d == receiving})
}

// startBy is when a call in direction d must have begun its I/O; zero for never.
func (s *innerConn) startBy(d direction) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bounds == nil {
		return time.Time{}
	}
	b := s.bounds.of(d)
	return earlier(b.deadline(), b.start)
}

// lockTimeoutError is the cause of a call that waited for another call until its
// timeout: one in the same direction, or the first one of a checkout.
type lockTimeoutError struct{ sent bool }

func (*lockTimeoutError) Error() string {
	return "i/o timeout: waited for another call on the connection"
}
func (*lockTimeoutError) Timeout() bool       { return true }
func (*lockTimeoutError) Temporary() bool     { return true }
func (*lockTimeoutError) Unwrap() error       { return os.ErrDeadlineExceeded }
func (e *lockTimeoutError) SafeToRetry() bool { return !e.sent }

// Read reads what is there, waiting for the first byte.
func (s *innerConn) Read(p []byte) (int, error) {
	if err := s.enter(receiving, time.Time{}); err != nil {
		return 0, err
	}
	defer s.receiving.unlock()
	c, err := s.reader()
	n := 0
	if err == nil {
		n, err = c.Read(p)
	}
	return n, s.ioError(err)
}

// Write writes p. On a connection that came from its pool the first write may
// move to a new one, see renew.
func (s *innerConn) Write(p []byte) (int, error) {
	if err := s.enter(sending, time.Time{}); err != nil {
		return 0, err
	}
	defer s.sending.unlock()
	n, err := s.write(p)
	return n, s.ioError(err)
}

// write is Write with sending held.
func (s *innerConn) write(p []byte) (int, error) {
	if err := s.inspect(sending); err != nil {
		return 0, err
	}
	c := s.current()
	if len(p) > 0 {
		s.noteSend(c)
	}
	n, err := c.Write(p)
	if c, err = s.renew(c, n > 0, err); c != nil {
		return c.Write(p)
	}
	return n, err
}

// writeBuffers is write of the concatenation of bufs, which is not empty.
func (s *innerConn) writeBuffers(bufs [][]byte) (int64, error) {
	if err := s.inspect(sending); err != nil {
		return 0, err
	}
	c := s.current()
	s.noteSend(c)
	n, err := c.WriteBuffers(bufs)
	if c, err = s.renew(c, n > 0, err); c != nil {
		return c.WriteBuffers(bufs)
	}
	return n, err
}

// Close closes the connection itself, a pooled one too: PoolConn.Close is what
// gives one back.
func (s *innerConn) Close() error {
	if s.checkout != nil {
		return s.checkout.end(s, false)
	}
	s.release()
	return s.current().Close()
}

// release gives back what is needed only to receive. A receive in progress
// keeps it.
func (s *innerConn) release() {
	if s.receiving.tryLock() {
		s.dropPkgReader()
		s.receiving.unlock()
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

// makeBoundsLocked returns the bounds, which it makes if there are none.
func (s *innerConn) makeBoundsLocked() *bounds {
	if s.bounds == nil {
		s.bounds = new(bounds)
	}
	return s.bounds
}

// SetDeadline sets the caller's own deadline of both directions.
func (s *innerConn) SetDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.makeBoundsLocked()
	b.recv.own, b.send.own = t, t
	return s.applyDeadlinesLocked()
}

// SetReadDeadline sets the caller's own deadline of reads.
func (s *innerConn) SetReadDeadline(t time.Time) error { return s.setOwn(receiving, t) }

// SetWriteDeadline sets the caller's own deadline of writes.
func (s *innerConn) SetWriteDeadline(t time.Time) error { return s.setOwn(sending, t) }

func (s *innerConn) setOwn(d direction, t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.makeBoundsLocked().of(d)
	b.own = t
	return d.setDeadline(s.current(), b.deadline())
}

// applyDeadlinesLocked puts both deadlines on the connection in use.
func (s *innerConn) applyDeadlinesLocked() error {
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
