package server

import (
	"errors"
	"net"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/sleep"
)

// A plain socket is served from within conn.ReadLoop: no read is made only to be
// told that nothing is there. All that is out of the ordinary ends the loop: a drain,
// a timeout, an error, the end of the stream, a request that does not fit the buffer.
// serveSession meets it again, by reads that wait, and then the loop goes on.

// mayLoop reports whether the connection may be served in a ReadLoop now.
func (f *frameConn) mayLoop() bool { return !f.noLoop && !f.detour && !f.draining() }

// looped is called with what ReadLoop has returned.
func (f *frameConn) looped(err error) {
	f.noLoop = err == errors.ErrUnsupported
	f.detour = true
	f.setStep(nil)
}

// loopStep returns the step of the loop: it serves what has arrived. It returns true
// to wait for more. It is no method, which would make the stack deeper by one.
func (f *frameConn) loopStep() func(*conn.Step) bool {
	return func(s *conn.Step) bool {
		f.setStep(s)
		for {
			if f.draining() || f.many != nil && f.many.over() {
				return false
			}
			n, drained, err := s.Fill()
			if n == 0 {
				return err == nil
			}
			if f.now == idle {
				f.beginRequest()
			}
			switch f.now = f.serve(); {
			case f.now == idle:
				f.rest(true)
			case f.now == over || f.x.large:
				return false
			}
			if drained && f.seesEnd() {
				return true
			}
		}
	}
}

// busyFrom is how many times a connection must have got bytes before the poller is
// asked to watch for the end of its stream.
const busyFrom = 16

// seesEnd reports whether the poller tells of the end of the peer's stream. Without
// it the loop must read until nothing is there: the end may have come together with
// bytes, and is told of only once. That read costs 4 % of a request's processor time.
func (f *frameConn) seesEnd() bool {
	if f.rounds < busyFrom {
		if f.rounds++; f.rounds == busyFrom {
			_, tcp := sleep.NetConn(f.conn).(*net.TCPConn) // a unix socket may stop before other kinds of data
			f.endWatched = tcp && f.sess.watchEnd()
		}
	}
	return f.endWatched
}

// setStep sets the step in progress, nil for none.
func (f *frameConn) setStep(s *conn.Step) {
	f.step = s
	if x := f.x; x != nil {
		x.looping = s != nil
		if f.many == nil { // else another goroutine writes
			x.direct = s
		}
	}
}
