package server

import (
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/sleep"
)

// How a connection of frames is drained. When Shutdown begins, a point in the peer's
// stream is noted: all that has arrived by then. Requests that begin before it are
// handled. The first request boundary at or behind the point, or one before it with
// nothing more to read, is the end: the goodbye is sent, then the end of this side.
// What the peer sends afterwards is read and dropped until it ends its side too, or
// for lingerTime. So a peer that never pauses cannot move the end.

// Where no socket can be asked what has arrived, as under TLS, a draining server
// reads ahead until nothing comes for silence, and no longer than maxSilence: a
// peer that waits for replies before it sends more has nothing more to send then.
const (
	silence    = 20 * time.Millisecond
	maxSilence = 60 * time.Millisecond
)

// unknownArrived stands for what has arrived at a socket that cannot be asked.
const unknownArrived = 1 << 20

// notePointLocked notes the point at which a drain ends, once, if the transport is a
// socket. By another goroutine than the connection's it is noted only if that one is
// not reading: what a read has taken from the socket and not counted yet would be
// missed. Otherwise the drain wakes the reader, which notes the point itself.
func (s *session) notePointLocked(own bool) {
	if s.point != 0 || !isSocket(sleep.NetConn(s.conn)) {
		return
	}
	more := int64(unknownArrived)
	if raw := rawOf(s.socket()); raw != nil {
		if n, ok := unread(raw); ok {
			more = n
		}
	}
	if !own && s.readDue.Load() != notDue {
		return
	}
	// After the look at readDue, so that all reads which have ended are counted. What
	// is read since the look at the socket is counted twice, never missed.
	s.point = 1 + int64(s.conn.BytesRead()) + more
}

// beforePoint reports whether the connection stands before the point, which is noted
// now at the latest.
func (f *frameConn) beforePoint() bool {
	point := f.sess.drainPoint(0)
	if point == 0 {
		f.readAhead()
		point = f.sess.drainPoint(1 + int64(f.conn.BytesRead()))
	}
	return int64(f.conn.BytesRead())-int64(f.conn.Buffered()) < point-1
}

// drainPoint returns the point, noting it if it can be had of the socket or, where
// it is not 0, from what has been read.
func (s *session) drainPoint(read int64) int64 {
	s.drainMu.Lock()
	defer s.drainMu.Unlock()
	s.notePointLocked(true)
	if s.point == 0 {
		s.point = read
	}
	return s.point
}

// maxHoldUps is how often in turn readAhead and arrived look again because this
// goroutine may have been held up, on a busy machine, until its deadline had passed: a
// read that begins then finds nothing, whatever is there.
const maxHoldUps = 8

// readAhead buffers what has arrived.
func (f *frameConn) readAhead() {
	end := time.Now().Add(maxSilence)
	raw := rawOf(f.sess.socket())
	for tries := maxHoldUps; tries > 0 && f.conn.Buffered() < f.conn.BufferSize(); {
		until := time.Now().Add(silence)
		if f.conn.SetReadDeadline(until) != nil {
			break
		}
		_, err := f.conn.Peek(f.conn.Buffered() + 1)
		if err == nil {
			if time.Now().Add(silence).After(end) {
				break
			}
			continue
		}
		if !timedOut(err) || !time.Now().Before(until) && !heldUp(raw, until) { // Shutdown may cut a read
			break
		}
		tries--
	}
	_ = f.conn.SetReadDeadline(time.Time{})
}

// heldUp reports whether a read that timed out may have begun too late: the socket has
// bytes all the same or, where it cannot be asked, the time was long over.
func heldUp(raw syscall.RawConn, until time.Time) bool {
	if raw == nil {
		return time.Since(until) > silence
	}
	n, ok := unread(raw)
	return ok && n > 0
}

// pastPoint reports whether a connection of a draining server, which stands between
// two requests, is to begin no more.
func (f *frameConn) pastPoint() bool {
	if f.x != nil && f.x.r.Release() != nil {
		return true
	}
	if f.beforePoint() {
		return false
	}
	f.drained, f.linger = true, true
	return true
}

// lastRequests decides about an idle connection of a draining server: idle if a
// request has arrived that must still be handled.
func (f *frameConn) lastRequests() standing {
	if f.pastPoint() {
		return over
	}
	if f.arrived() {
		return idle
	}
	f.drained, f.linger = true, true // a peer that has a reply just now may be sending
	return over
}

// arrived reports whether a byte of a request has arrived on a connection that is
// about to be closed, and leaves it without a deadline if so.
func (f *frameConn) arrived() bool {
	f.sess.readDue.Store(notDue)
	for range maxHoldUps {
		// Check may have to read.
		if f.conn.SetReadDeadline(time.Time{}) != nil || !errors.Is(f.conn.Check(), conn.ErrUnread) {
			return false
		}
		if f.sess.byteBefore(time.Now().Add(lingerTime)) {
			return f.conn.SetReadDeadline(time.Time{}) == nil
		}
	}
	return false
}

// isSocket reports whether the socket of a connection tells all that has arrived.
// One that wraps a socket, as that of TLS does, may hold bytes of its own.
func isSocket(nc net.Conn) bool {
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn:
		return true
	}
	return false
}

// goodbye sends the agreed last frame, if there is one: what has no reply by now has
// not been handled.
func (f *frameConn) goodbye() {
	payload := f.h.goodbyeFrame()
	if payload == nil {
		return
	}
	wire, err := f.h.Format.Append(nil, payload)
	if err != nil {
		return // Validate says so
	}
	f.sess.writeDue.Store(f.sess.srv.clock.after(orDefault(f.h.WriteTimeout, defaultWriteTimeout)))
	_, err = f.conn.Write(wire)
	if f.sess.writeDue.Swap(notDue) == overdue {
		err = late(err)
	}
	if err != nil {
		f.writeFailed(err)
		f.linger = false
	}
}
