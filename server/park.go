package server

import (
	"context"
	"crypto/tls"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/sleep"
)

// A connection that has been idle for FrameHandler.ParkAfter is parked: its goroutine
// ends, and the server's poller waits for its next byte. What is left is the session
// and the socket. Whatever a parked connection must act on resumes it on a new
// goroutine, which meets it as a reader that has been woken does: bytes, the end of
// the stream, a timeout, a drain, a Close.
//
// The watch asks a connection to park, and its goroutine does so. While it does,
// somebody may have a reason to wake it. Both sides set first what the other one looks
// at next: the goroutine parked and then looks for reasons; the others a reason, and
// then they look for parked. So at least one of them sees the other, and
// compare-and-swap lets one of them resume it.

// What parking is.
const (
	unparked    uint32 = iota
	askedToPark        // by the watch
	parked             // no goroutine serves it
	cannotPark         // the system is short of something: not before the next request
	neverParks         // it has no socket, or a goroutine that is not the server's
)

// parkAfter is FrameHandler.ParkAfter, resolved; 0 is never.
func (h *FrameHandler) parkAfter() time.Duration { return orDefault(h.ParkAfter, defaultParkAfter) }

// askToPark asks a session that has been idle for long enough to park. The watch
// calls it.
//
// By default a connection that has had at most one request parks when the watch first
// finds it idle, which is within about 0.1 s. After a restart thousands of clients
// connect within a second, and the runtime keeps the record of each goroutine for ever.
func (s *session) askToPark(now int64) {
	h := s.frames.Load()
	if h == nil || s.parking.Load() != unparked || State(s.state.Load()) != StateIdle || s.readDue.Load() == notDue {
		return
	}
	after := int64(h.parkAfter())
	young := h.ParkAfter == 0 && s.requests.Load() <= 1
	switch {
	case after == 0 || !young && now-s.idleSince.Load() < after:
	case s.depth.Load() == asleep: // somebody wakes it just now
	case !s.canPark():
		s.parking.Store(neverParks)
	case s.parking.CompareAndSwap(unparked, askedToPark):
		s.wakeReader()
	}
}

// wakeReader has the reader of the connection look around.
func (s *session) wakeReader() {
	if nc := s.socket(); nc != nil {
		_ = nc.SetReadDeadline(aLongTimeAgo)
	}
}

// park parks an idle connection, which its goroutine must not touch any more if it
// returns true.
func (f *frameConn) park() bool {
	s := f.sess
	if s.parking.Load() != askedToPark {
		return false
	}
	p := s.srv.makePoller()
	if p == nil {
		s.parking.Store(cannotPark)
		return false
	}
	if f.conn.Buffered() > 0 || !f.putAside() {
		s.parking.Store(unparked)
		return false
	}
	if f.ctx != s {
		s.makeExtra().parked = f.ctx
	}
	s.settling.Add(1)
	defer s.settling.Add(-1)
	s.parking.Store(parked)
	watched := p.watchAll(s)
	if watched && !f.draining() && s.readDue.Load() != overdue && s.conn.Err() == nil {
		return true
	}
	next := unparked
	if !watched {
		next = cannotPark
	}
	return !s.parking.CompareAndSwap(parked, next)
}

// canPark reports whether all that the connection waits for comes through its socket.
func (s *session) canPark() bool {
	nc := sleep.NetConn(s.conn)
	if tc, ok := nc.(*tls.Conn); ok {
		nc = tc.NetConn()
	}
	return canPoll && nc != nil && s.own && isSocket(nc)
}

// putAside gives up what a connection with Concurrency keeps between two requests;
// false if there are requests in progress.
func (f *frameConn) putAside() bool {
	if f.many == nil {
		return true
	}
	if f.many.wait(true) || f.many.over() {
		return false
	}
	f.many.wg.Wait() // workers that are about to end
	f.sess.makeExtra().many.Store(nil)
	f.many = nil
	f.release()
	return true
}

// unpark resumes a parked connection on a new goroutine. It reports whether it did.
func (s *session) unpark() bool {
	if !s.parking.CompareAndSwap(parked, unparked) {
		return false
	}
	go s.resume()
	return true
}

// watchEnd has the reader woken at the end of the peer's stream.
func (s *session) watchEnd() bool {
	if !s.own {
		return false
	}
	p := s.srv.makePoller()
	return p != nil && p.watchEnd(s)
}

// polled is called when something has happened at the socket that the poller watches.
func (s *session) polled() {
	if s.parking.Load() == parked {
		s.unpark()
		return
	}
	s.wakeReader() // the end of the stream
}

// resume is serve for a connection that was parked.
func (s *session) resume() {
	gone := false
	defer s.handlerDone(&gone)
	if s.depth.Load() == asleep && !s.rises() {
		return
	}
	var ctx context.Context = s
	if e := s.extra.Load(); e != nil && e.parked != nil {
		ctx = e.parked
	}
	gone = s.frames.Load().serveSession(ctx, s, true)
}

// makePoller returns the server's poller, which it makes if there is none; nil if
// there can be none.
func (s *Server) makePoller() *poller {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.poller == nil {
		p, err := newPoller()
		if err != nil {
			return nil
		}
		s.poller = p
	}
	return s.poller
}

// closePoller ends the poller when no session is left.
func (s *Server) closePoller() {
	s.mu.Lock()
	p := s.poller
	if s.live > 0 {
		p = nil
	}
	if p != nil {
		s.poller = nil
	}
	s.mu.Unlock()
	if p != nil {
		p.close()
	}
}
