package gtcp

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/balance"
)

// A checkout is the time a PoolConn is out of its pool. What it does with a
// connection that was idle is all in this file:
//
//   - Before the first operation it makes sure that nothing is there to be read,
//     which came for an earlier caller or unasked: inspect, or ask, which does
//     that and a request in one.
//   - When the first write fails with nothing written, it writes to a new
//     connection: renew.
//   - A connection that earlier callers only sent to is not used to receive a
//     reply, which might be an earlier caller's: expectReply.
//   - At its end it keeps the connection or closes it: end.
type checkout struct {
	terms

	stage atomic.Uint32
	// inspecting is held, across I/O too, while the first operation inspects
	// the connection, for any other must know what came of it.
	inspecting  ioLock
	sentBefore  uint64        // bytes that had been written to the connection before the checkout
	lastSend    atomic.Uint64 // bytes that had come over it before the last write, plus one; 0: none
	oneWay      atomic.Bool   // earlier callers have sent over the connection, and nothing has ever come
	failed      atomic.Bool   // a call has failed in a way that the connection does not know of
	unreachable atomic.Bool   // a new connection could not be dialed
	reused      bool          // the connection was idle before

	// The fields below are guarded by innerConn.mu.
	conn     *pool.Conn
	first    conn.Conn // conn's handle before any Replace, which changes conn itself
	received uint64    // bytes that had come over conn before the checkout
	ended    bool
}

// terms are what a checkout was made on.
type terms struct {
	pool        *addressPool
	dialTimeout time.Duration                   // for a connection in the place of the first
	pick        *balance.Checkout[*addressPool] // nil where the address is no service
}

// The stages of a checkout.
const (
	stageUnchecked  uint32 = iota // the connection was idle, and nobody has looked for unread bytes
	stageAsking                   // somebody is in ask
	stageInspecting               // somebody inspects it, and holds checkout.inspecting
	stageClean                    // nothing was there to be read, and nothing has been written
	stageUsed                     // it has been written to, or was dialed for this checkout
)

func (k *checkout) begin(c *pool.Conn, t terms) {
	k.conn, k.terms, k.first = c, t, c.Conn
	k.received, k.sentBefore = c.BytesRead(), c.BytesWritten()
	k.reused = c.Reused()
	switch {
	case !k.reused:
		k.stage.Store(stageUsed)
		return
	case t.pool.probes:
		k.stage.Store(stageClean)
	}
	if k.received == 0 && k.sentBefore > 0 && !t.pool.keepUnanswered {
		k.oneWay.Store(true)
	}
}

// end ends the checkout, to keep the connection if it is healthy or to close
// it.
func (k *checkout) end(s *innerConn, keep bool) error {
	s.release()
	s.mu.Lock()
	c, ended := k.conn, k.ended
	k.ended = true
	if b := s.bounds; keep && !ended && b != nil && !(b.recv.own.IsZero() && b.send.own.IsZero()) {
		b.recv.own, b.send.own = time.Time{}, time.Time{}
		_ = s.applyDeadlinesLocked() // it fails on a closed connection, which is not kept
	}
	s.mu.Unlock()
	if k.pick != nil && !ended {
		k.pick.Done(k.outcome(s.current()))
	}
	switch {
	case ended:
	case keep && !k.failed.Load() && k.mayKeep(s.current()):
		return c.Close()
	default:
		c.Evict()
	}
	return nil
}

// mayKeep says whether no reply can be under way, as far as can be known.
func (k *checkout) mayKeep(c *conn.Conn) bool {
	return k.lastSend.Load() != c.BytesRead()+1 || k.pool.keepsUnanswered()
}

// noteSend notes that c is about to be written to.
func (s *innerConn) noteSend(c *conn.Conn) {
	if s.checkout != nil {
		s.checkout.lastSend.Store(c.BytesRead() + 1)
	}
}

// renew is told how each write went. When the first one on a connection that
// was idle fails with nothing written, because the connection had died, renew
// puts a new one in its place, with the deadlines that were set, and returns it
// for the write to be made there.
func (s *innerConn) renew(c *conn.Conn, wrote bool, err error) (*conn.Conn, error) {
	k := s.checkout
	if k == nil || err == nil && !wrote || k.stage.Load() != stageClean || !k.stage.CompareAndSwap(stageClean, stageUsed) {
		return nil, err
	}
	if err == nil || !diedIdle(err) {
		return nil, err
	}
	s.mu.Lock()
	received := k.received
	s.mu.Unlock()
	if c.BytesRead() != received {
		return nil, err
	}
	next, err := s.replace(sending)
	if err == nil {
		s.noteSend(next)
	}
	return next, err
}

// replace puts a new connection in the place of the one in use. The deadline of
// the call in direction d bounds the dial.
func (s *innerConn) replace(d direction) (*conn.Conn, error) {
	by := s.startBy(d)
	s.mu.Lock()
	held := s.checkout.conn
	s.mu.Unlock()
	ctx, cancel, _ := dialContext([]time.Duration{s.checkout.dialTimeout})
	defer cancel()
	if !by.IsZero() {
		ctx, cancel = context.WithDeadline(ctx, by)
		defer cancel()
	}
	if err := held.Replace(ctx); err != nil {
		s.checkout.unreachable.Store(true)
		return nil, err
	}
	return s.adopt(held.Conn)
}

// adopt makes next, a handle on the new connection, the one in use, unless the
// checkout has ended.
func (s *innerConn) adopt(next conn.Conn) (*conn.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.checkout.ended { // the connection has been closed with it
		return nil, s.opError("write", net.ErrClosed)
	}
	s.checkout.received = next.BytesRead()
	s.checkout.oneWay.Store(false)
	s.conn.Store(&next)
	if err := s.applyDeadlinesLocked(); err != nil {
		return nil, err
	}
	return &next, nil
}

// inspect makes sure, before the first operation of a checkout, that nothing is
// there to be read: it came for an earlier caller, or unasked. Where something
// is, a new connection takes the place of that one. A connection that its peer
// has closed passes.
func (s *innerConn) inspect(d direction) error {
	if s.checkout == nil || s.checkout.stage.Load() >= stageClean {
		return nil
	}
	return s.inspectFirst(d)
}

func (s *innerConn) inspectFirst(d direction) error {
	k := s.checkout
	if !k.inspecting.lock(s.startBy(d)) {
		return s.lockTimeout(d)
	}
	defer k.inspecting.unlock()
	for !k.stage.CompareAndSwap(stageUnchecked, stageInspecting) {
		// Somebody has inspected it, or is in ask and has: nobody else must
		// wait for that reply. Else it is a matter of two system calls (where
		// a socket cannot be asked, of a millisecond).
		if k.stage.Load() >= stageClean || s.current().BytesWritten() != k.sentBefore {
			return nil
		}
		runtime.Gosched()
	}
	if !errors.Is(s.current().Check(), conn.ErrUnread) {
		k.stage.Store(stageClean)
		return nil
	}
	k.pool.expectReplies()
	_, err := s.replace(d)
	k.stage.Store(stageUsed)
	return err
}

// expectReply is called before each receive, and before a send whose reply the
// caller will wait for; then sending is held. From then on the address is one
// that replies. On a connection that earlier callers only sent to, the next
// bytes may be the reply to one of them, so a new connection takes its place;
// once this caller has sent over it, it is too late for that.
func (s *innerConn) expectReply(d direction) error {
	k := s.checkout
	if k == nil {
		return nil
	}
	k.pool.expectReplies()
	if !k.oneWay.Load() {
		return nil
	}
	if d == receiving {
		if !s.sending.tryLock() {
			return s.replyUncertain(d) // somebody sends
		}
		defer s.sending.unlock()
	}
	if !k.inspecting.lock(s.startBy(d)) {
		return s.lockTimeout(d)
	}
	defer k.inspecting.unlock()
	switch {
	case !k.oneWay.Load():
		return nil // somebody else has done this
	case k.stage.Load() == stageUsed:
		return s.replyUncertain(d)
	}
	k.stage.Store(stageUsed)
	_, err := s.replace(d)
	return err
}

var errOneWay = errors.New("earlier callers only sent over this connection, so the next reply may be to one of them; " +
	"close it and take another")

func (s *innerConn) replyUncertain(d direction) error {
	s.checkout.failed.Store(true)
	return s.opError(d.op(), errOneWay)
}

// ask makes p the first request of a checkout, to be replied to before the
// caller does anything else, and reports whether that was to be done and is. It
// does what inspect and a write do, and waits until the reply begins, in the
// time that the write takes alone.
func (s *innerConn) ask(p []byte) (sent bool, err error) {
	k := s.checkout
	if k == nil || len(p) >= vectorSize || k.oneWay.Load() ||
		k.stage.Load() != stageUnchecked || !k.stage.CompareAndSwap(stageUnchecked, stageAsking) {
		return false, nil
	}
	k.pool.expectReplies()
	n, err := s.current().Ask(p)
	switch {
	case n == 0: // it was refused: inspect will find out why
		k.stage.Store(stageUnchecked)
		return false, nil
	case n < len(p):
		s.giveUp()
	default:
		err = nil // the read that follows meets it
	}
	k.stage.Store(stageUsed)
	return true, err
}

// diedIdle says whether a write failed because the connection had died before:
// no byte has left, and neither a deadline nor a Close on this side was why.
func diedIdle(err error) bool {
	var safe interface{ SafeToRetry() bool }
	return errors.As(err, &safe) && safe.SafeToRetry() && !isTimeout(err) && !errors.Is(err, net.ErrClosed)
}
