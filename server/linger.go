package server

import "time"

// lingerTime is how long a connection that the server ends waits for its peer to
// stop sending. Closing a socket with unread bytes, or that gets more, resets it,
// and a reset destroys replies on their way (RFC 9112, section 9.6); net/http
// waits as long.
const lingerTime = 500 * time.Millisecond

// idledOut ends a connection on which no request came in time, unless one has
// come since. One whose time is not over was closed on this side as its reader was woken.
func (f *frameConn) idledOut() standing {
	if !f.overdue() {
		return over
	}
	if f.arrived() {
		return idle
	}
	f.sess.srv.stats.idleOut.Add(1)
	f.log().Debug("server: no request in time, connection closed", "remote", remote(f.conn))
	return over
}

// byteBefore waits until then for a byte. It is not cut short by another deadline,
// that of a server which begins to drain.
func (s *session) byteBefore(then time.Time) bool {
	for s.conn.SetReadDeadline(then) == nil {
		_, err := s.conn.Peek(1)
		if err == nil {
			return true
		}
		if !timedOut(err) || !time.Now().Before(then) {
			return false
		}
	}
	return false
}

// close ends the connection, however its serving ended: by a return or a panic.
func (f *frameConn) close() {
	if v := recover(); v != nil {
		f.panicked(v)
	} else if f.now == aside {
		return
	}
	f.setStep(nil) // a panic may have left it
	if f.many != nil {
		f.many.close(f)
	}
	if x := f.x; x != nil {
		x.count()
		written := !f.stuck && x.w.Flush() == nil
		f.linger, f.drained = f.linger && written, f.drained && written
		f.report(written)
	}
	if f.sess.extra.Load() != nil || f.drained {
		f.sess.endSends()
	}
	if f.drained && !f.stuck {
		f.goodbye()
	}
	switch {
	case f.stuck:
		f.sess.abort()
	case f.linger:
		f.sess.lingeringClose()
	default:
		_ = f.conn.Close()
	}
}

// closeGently closes the connection when its serving has ended. After a handler of
// another kind than a FrameHandler the peer may still be sending.
func (s *session) closeGently() {
	s.drainMu.Lock()
	served := s.phase == inHandler
	s.drainMu.Unlock()
	if served && s.conn.Err() == nil {
		s.lingeringClose()
		return
	}
	_ = s.conn.Close()
}

// lingeringClose ends this side of the connection, then reads and drops what the
// peer still sends, until it has seen the end of our side and closed, or for
// lingerTime.
func (s *session) lingeringClose() {
	if s.conn.CloseWrite() == nil {
		for until := time.Now().Add(lingerTime); s.byteBefore(until); {
			_, _ = s.conn.Discard(s.conn.Buffered())
		}
	}
	_ = s.conn.Close()
}

// panicked logs a handler's panic. Call it while the panic unwinds.
func (f *frameConn) panicked(v any) {
	f.linger = true
	f.sess.srv.panicked(f.sess, v)
}
