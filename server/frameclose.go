package server

import (
	"errors"
	"net"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// lingerTime is how long a connection that the server ends waits for its peer to
// stop sending. Closing a socket with unread bytes, or that gets more, resets it,
// and a reset destroys answers on their way (RFC 9112, section 9.6); net/http
// waits as long.
const lingerTime = 500 * time.Millisecond

// wrapperWait is how long a draining server listens to an idle connection whose
// socket cannot tell whether a request has arrived, as under TLS.
const wrapperWait = 20 * time.Millisecond

// lastRequests decides about an idle connection of a draining server: true if a
// request has arrived that must still be answered. since is when it became idle.
func (f *frameConn) lastRequests(since time.Time) bool {
	wait := wrapperWait
	switch err := f.conn.Check(); {
	case errors.Is(err, conn.ErrUnread):
		wait = orDefault(f.h.ReadTimeout, DefaultReadTimeout)
	case err != nil:
		return false
	case !f.wrapped():
		wait = -1
	}
	if wait >= 0 && f.conn.SetReadDeadline(deadline(wait)) == nil {
		if _, err := f.conn.Peek(1); err == nil {
			return true
		}
	}
	// Answers of a while ago have been delivered. A peer that was answered
	// just now may be sending its next request.
	f.linger = time.Since(since) < lingerTime
	return false
}

// wrapped reports whether the connection transforms bytes, as TLS does, so that
// its socket does not tell whether it has any.
func (f *frameConn) wrapped() bool {
	_, ok := f.conn.NetConn().(interface{ NetConn() net.Conn })
	return ok
}

// close ends the connection, however its serving ended: by a return or a panic.
func (f *frameConn) close() {
	if v := recover(); v != nil {
		f.panicked(v)
	}
	if x := f.x; x != nil {
		f.count(x)
		if x.w.Flush() != nil {
			f.linger = false
		}
	}
	if f.linger && f.conn.CloseWrite() == nil {
		f.readOff()
	}
	_ = f.conn.Close()
}

// readOff reads and drops what the peer still sends, until it has seen the end of
// our side and closed, or for lingerTime.
func (f *frameConn) readOff() {
	until := time.Now().Add(lingerTime)
	for f.conn.SetReadDeadline(until) == nil {
		_, err := f.conn.Peek(1)
		for err == nil {
			_, _ = f.conn.Discard(f.conn.Buffered())
			_, err = f.conn.Peek(1)
		}
		// A timeout before its time is the server beginning to drain.
		if !timedOut(err) || !time.Now().Before(until) {
			return
		}
	}
}

// panicked logs a handler's panic. Call it while the panic unwinds.
func (f *frameConn) panicked(v any) {
	f.linger = true
	if f.sess != nil {
		f.sess.srv.stats.panics.Add(1)
	}
	logPanic(f.log(), f.conn, v)
}
