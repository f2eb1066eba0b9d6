package gtcp

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
)

// PoolConn is a Conn on loan from the pool of its address: Close gives it
// back. It is good for one loan; after Close each of its methods fails with an
// error that is net.ErrClosed and touches nobody's connection.
//
// A connection that has idled may have been closed by its peer meanwhile. If
// that shows when the borrower's first write fails before any byte has left,
// PoolConn moves to a new connection and writes there; if it shows when the
// answer is read, the error is io.EOF. PoolOptions.Probe looks for it before
// the connection is lent.
type PoolConn struct {
	*Conn
}

// NewPoolConn borrows a connection to addr: the idle one that was used last,
// or else a new one. There is no bound on their number unless ConfigurePools
// sets one. The optional timeout bounds the dial, and with a bound the wait: 30
// seconds by default, zero for none.
func NewPoolConn(addr string, timeout ...time.Duration) (*PoolConn, error) {
	c, terms, err := pools.get(addr, timeout)
	if err != nil {
		return nil, err
	}
	return borrow(c, terms), nil
}

// borrow makes the PoolConn of a loan, with one allocation.
func borrow(c *pool.Conn, t terms) *PoolConn {
	all := &struct {
		borrowed PoolConn
		outer    Conn
		inner    innerConn
		lease    lease
	}{}
	all.lease.conn = c
	all.lease.terms = t
	all.lease.received = c.BytesRead()
	all.lease.sent = c.BytesWritten()
	switch {
	case !c.Reused():
		all.lease.stage.Store(stageUsed)
	case t.probed:
		all.lease.stage.Store(stageSeen)
	}
	all.inner.init(&c.Conn)
	all.inner.lease = &all.lease
	all.outer = Conn{Conn: &all.inner, inner: &all.inner}
	all.borrowed.Conn = &all.outer
	return &all.borrowed
}

// Close gives the connection back. It is kept for the next borrower if it is
// healthy: no operation has failed or timed out, no byte is unread, no package
// is half done and its lifetime is not over. Else it is closed; so is one that
// has brought nothing since it was last sent to, for the answer may be under
// way and would reach the next borrower (PoolOptions.KeepUnanswered is for
// peers that do not answer). Deadlines are the borrower's and go with it. A
// second Close does nothing.
//
// (The embedded Conn's Close closes the connection whatever its health.)
func (c *PoolConn) Close() error {
	s := c.innerConn()
	if s.lease == nil {
		return s.Close()
	}
	return s.lease.end(s, true)
}

// terms are what a loan is made on.
type terms struct {
	dialTimeout    time.Duration // for a connection in the place of the first
	keepUnanswered bool
	probed         bool // the pool has looked at the connection
}

// lease is the loan of an innerConn's connection.
type lease struct {
	terms

	stage atomic.Uint32
	// looking is held, across I/O too, while the first operation of the loan
	// looks at the connection, for any other must know what came of it.
	looking sync.Mutex
	sent    uint64        // bytes that had been written to the connection before the loan
	asked   atomic.Uint64 // bytes that had come over it before the last write, plus one; 0: none

	// Guarded by innerConn.mu.
	conn     *pool.Conn
	received uint64 // bytes that had come over conn before the loan
	ended    bool
}

// The stages of a loan.
const (
	stageUnseen  uint32 = iota // the connection came from the pool and nobody has looked at it
	stageAsking                // somebody is in ask
	stageLooking               // somebody looks, and holds lease.looking
	stageSeen                  // nothing was there to be read, and nothing has been written
	stageUsed                  // it has been written to, or was dialed for the loan
)

// end ends the loan, to keep the connection if it is healthy or to close it.
func (l *lease) end(s *innerConn, keep bool) error {
	s.rest()
	s.mu.Lock()
	c, ended, unanswered := l.conn, l.ended, l.unanswered() && !l.keepUnanswered
	l.ended = true
	if b := s.bounds; keep && !ended && b != nil && !(b.recv.own.IsZero() && b.send.own.IsZero()) {
		b.recv.own, b.send.own = time.Time{}, time.Time{}
		_ = s.applyDeadlines() // it fails on a closed connection, which is not kept
	}
	s.mu.Unlock()
	switch {
	case ended:
	case keep && !unanswered:
		return c.Close()
	default:
		c.Evict()
	}
	return nil
}

// unanswered says whether the borrower has sent and then received nothing. The
// answer may be under way, and nobody can tell it from the next borrower's.
// innerConn.mu is held.
func (l *lease) unanswered() bool {
	return l.asked.Load() == l.conn.BytesRead()+1
}

// asks notes that c is about to be written to.
func (s *innerConn) asks(c *conn.Conn) {
	if s.lease != nil {
		s.lease.asked.Store(c.BytesRead() + 1)
	}
}

// renew is told how each write went. When the first one on a connection that
// came from the pool fails with nothing written, because the connection died
// while it was idle, renew puts a new one in its place, with the deadlines
// that were set, and returns it for the write to be made there.
func (s *innerConn) renew(c *conn.Conn, wrote bool, err error) (*conn.Conn, error) {
	l := s.lease
	if l == nil || err == nil && !wrote || l.stage.Load() != stageSeen || !l.stage.CompareAndSwap(stageSeen, stageUsed) {
		return nil, err
	}
	if err == nil || !diedIdle(err) {
		return nil, err
	}
	s.mu.Lock()
	received := l.received
	s.mu.Unlock()
	if c.BytesRead() != received {
		return nil, err
	}
	next, err := s.replace(sending)
	if err == nil {
		s.asks(next)
	}
	return next, err
}

// replace puts a new connection in the place of the stream's, before the
// deadline of a direction.
func (s *innerConn) replace(of direction) (*conn.Conn, error) {
	var by time.Time
	s.mu.Lock()
	old := s.lease.conn
	if s.bounds != nil {
		by = of(s.bounds).deadline()
	}
	s.mu.Unlock()
	ctx, cancel, _ := dialContext([]time.Duration{s.lease.dialTimeout})
	defer cancel()
	if !by.IsZero() {
		ctx, cancel = context.WithDeadline(ctx, by)
		defer cancel()
	}
	next, err := old.Replace(ctx)
	if err != nil {
		return nil, err
	}
	return s.adopt(next)
}

// adopt makes next the stream's connection, unless the loan has ended.
func (s *innerConn) adopt(next *pool.Conn) (*conn.Conn, error) {
	s.mu.Lock()
	ended := s.lease.ended
	var err error
	if !ended {
		s.lease.conn = next
		s.lease.received = next.BytesRead()
		s.conn.Store(&next.Conn)
		err = s.applyDeadlines()
	}
	s.mu.Unlock()
	if ended {
		next.Evict()
		return nil, describe(net.ErrClosed, "connection given back")
	}
	if err != nil {
		return nil, err
	}
	return &next.Conn, nil
}

// look makes sure, before the first operation of a loan, that nothing is there
// to be read: it came for an earlier borrower, or unasked. Where something is,
// a new connection takes the place of that one. A connection that its peer has
// closed passes.
func (s *innerConn) look(of direction) error {
	if s.lease == nil || s.lease.stage.Load() >= stageSeen {
		return nil
	}
	return s.lookFirst(of)
}

func (s *innerConn) lookFirst(of direction) error {
	l := s.lease
	l.looking.Lock()
	defer l.looking.Unlock()
	for !l.stage.CompareAndSwap(stageUnseen, stageLooking) {
		// Somebody has looked, or asks and has looked: nobody else must wait
		// for the answer. Else it is a matter of two system calls (where a
		// socket cannot be asked, of a millisecond).
		if l.stage.Load() >= stageSeen || s.current().BytesWritten() != l.sent {
			return nil
		}
		runtime.Gosched()
	}
	if !errors.Is(s.current().Check(), conn.ErrUnread) {
		l.stage.Store(stageSeen)
		return nil
	}
	_, err := s.replace(of)
	l.stage.Store(stageUsed)
	return err
}

// ask makes p the first request of a loan, to be answered before the caller does
// anything else, and reports whether that was to be done and is. It does what
// look and a write do, and waits until the answer begins, in the time that the
// write takes alone.
func (s *innerConn) ask(p []byte) (sent bool, err error) {
	l := s.lease
	if l == nil || len(p) >= vectorSize || l.stage.Load() != stageUnseen || !l.stage.CompareAndSwap(stageUnseen, stageAsking) {
		return false, nil
	}
	n, err := s.current().Ask(p)
	switch {
	case n == 0: // it was refused: for what, look will find
		l.stage.Store(stageUnseen)
		return false, nil
	case n < len(p):
		s.giveUp()
	default:
		err = nil // the read that follows meets it
	}
	l.stage.Store(stageUsed)
	return true, err
}

// diedIdle says whether a write failed because the connection had died before:
// no byte has left, and neither a deadline nor a Close on this side was why.
func diedIdle(err error) bool {
	var safe interface{ SafeToRetry() bool }
	return errors.As(err, &safe) && safe.SafeToRetry() && !isTimeout(err) && !errors.Is(err, net.ErrClosed)
}
