package pipeline

import (
	"runtime/debug"

	"github.com/seed-99d6a01a/gtcp/conn"
)

const (
	// pushQueue is how many pushes wait for Config.OnPush on a connection
	// before its reader waits too.
	pushQueue = 64

	// sendMax is how many bytes may wait to be written when Send adds to them.
	sendMax = 1 << 20
)

// Push is a frame that the peer sent on its own, for Config.OnPush.
type Push struct {
	// Frame is the frame. It is valid until OnPush returns.
	Frame []byte

	conn *sharedConn
}

// Send writes a frame to the connection that the push came from, such as the
// reply to a request of the peer's. It does not wait for the write, and the
// frame is not used after it returns. It may be called from any goroutine, as
// long as the connection lives; after that it fails with an [*Error]. It also
// fails if more than 1 MiB of earlier frames has not been written because the
// peer does not read.
func (p *Push) Send(frame []byte) error { return p.conn.send(frame) }

// Peer returns the address of the peer, and the number of the connection as in
// [conn.DialEvent].
func (p *Push) Peer() (addr string, id uint64) { return p.conn.addr, p.conn.id }

// send writes a frame that is no call.
func (s *sharedConn) send(frame []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return &Error{Op: "send", Addr: s.addr, Err: s.err}
	}
	if len(s.pending) > sendMax {
		return &Error{Op: "send", Addr: s.addr, Err: errNotReading}
	}
	pending, err := s.p.encode.Append(s.pending, frame)
	if err != nil {
		return err
	}
	s.accepted += uint64(len(pending) - len(s.pending))
	s.pending = pending
	s.wantWriteLocked()
	return nil
}

var errNotReading error = &fault{"pipeline: peer does not read", conn.KindOverloaded, nil}

// push hands a frame to OnPush's goroutine, and does not wait. It returns false
// if that is busy with too many: the frame is held then, and the reader of the
// connection must wait with flushHeld. The caller has the read turn.
func (s *sharedConn) push(frame []byte) bool {
	frame = append([]byte(nil), frame...)
	select {
	case s.pushes <- frame:
		return true
	default:
		s.held = frame
		return false
	}
}

// flushHeld waits until OnPush's goroutine takes the frame that is held. It
// returns false if the connection ended first.
func (s *sharedConn) flushHeld() bool {
	if s.held == nil {
		return true
	}
	select {
	case s.pushes <- s.held:
		s.held = nil
		return true
	case <-s.ctx.Done():
		return false
	}
}

// pushLoop calls OnPush until the connection ends.
func (s *sharedConn) pushLoop() {
	returned := false
	defer func() {
		if returned {
			return
		}
		if v := recover(); v != nil {
			s.fail(&PanicError{v, debug.Stack()})
		} else {
			s.fail(errPushExit)
		}
	}()
	for {
		select {
		case <-s.ctx.Done():
			returned = true
			return
		case frame := <-s.pushes:
			s.p.cfg.OnPush(s.ctx, &Push{frame, s})
		}
	}
}
