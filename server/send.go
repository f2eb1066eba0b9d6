package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// ErrNoFrames is the cause of a SendError where ctx does not belong to a connection
// that a FrameHandler serves.
var ErrNoFrames = errors.New("the context belongs to no connection of frames")

// SendError is the error of Send.
type SendError struct {
	Addr net.Addr // of the peer, nil if there is no connection
	Err  error    // the cause
}

// Error names the peer and the cause.
func (e *SendError) Error() string {
	if e.Addr == nil {
		return fmt.Sprintf("server: send: %v", e.Err)
	}
	return fmt.Sprintf("server: send to %v: %v", e.Addr, e.Err)
}

// Unwrap returns the cause: net.ErrClosed once the connection is over, the error of
// ctx if it ended first, a *framing.SizeError for a frame that is too large.
func (e *SendError) Unwrap() error { return e.Err }

// Timeout reports whether the cause is a timeout.
func (e *SendError) Timeout() bool { return timedOut(e.Err) }

// SafeToRetry reports whether no byte of the frame was written. Then the frame
// can be sent to the peer again, on another connection.
func (e *SendError) SafeToRetry() bool {
	var s interface{ SafeToRetry() bool }
	return !errors.As(e.Err, &s) || s.SafeToRetry()
}

// Kind names the kind of the cause: see package conn.
func (e *SendError) Kind() string { return conn.KindOf(e.Err) }

// extra is what few sessions need: kept apart, since many are idle.
type extra struct {
	turn chan struct{} // holds one token: whoever takes it may Send, and must put it back
	over bool          // the last frame has been written; guarded by the token
	due  atomic.Int64  // until when a Send must have ended; see watch

	parked context.Context // of the handlers, where it is not the session; set before it is parked

	many atomic.Pointer[concurrent] // with Concurrency, once there was a request
}

// sendBuffers holds the buffers that Send builds frames in.
var sendBuffers = sync.Pool{New: func() any { return new([]byte) }}

// Send sends a frame that is not a reply to a request. It sends it on the
// connection that ctx belongs to. ctx is the context of a handler, or derived from
// it. The handler may have returned. Send may be called from any goroutine, also
// while replies are written. Frames are always written whole. Send does not keep
// the payload.
//
// With an envelope that carries the time of the caller, and with
// FrameHandler.Deadline, the context of a request ends when its handler returns.
// Send then fails. To send later, keep context.WithoutCancel(ctx): it belongs to the
// same connection. When that has ended, Send fails with net.ErrClosed.
//
// Send waits for its turn, and then until the frame is written to the socket. If
// the peer does not read, Send blocks, and after WriteTimeout the connection is
// closed. ctx limits the wait for the turn, but not a write that has begun. The
// error is a *SendError.
func Send(ctx context.Context, payload []byte) error {
	s := sessionOf(ctx)
	var h *FrameHandler
	if s != nil {
		h = s.frames.Load()
	}
	if h == nil {
		return &SendError{Err: ErrNoFrames}
	}
	buf := sendBuffers.Get().(*[]byte)
	wire, err := h.Format.Append((*buf)[:0], payload)
	if err == nil {
		err = s.send(ctx, wire)
	}
	if cap(wire) <= keepReply {
		*buf = wire[:0]
	}
	sendBuffers.Put(buf)
	if err != nil {
		return &SendError{Addr: s.conn.RemoteAddr(), Err: err}
	}
	return nil
}

// send writes whole frames in their turn.
func (s *session) send(ctx context.Context, wire []byte) error {
	e := s.makeExtra()
	if err := ctx.Err(); err != nil {
		return s.sendCause(err)
	}
	select {
	case <-e.turn:
	case <-ctx.Done():
		return s.sendCause(ctx.Err())
	case <-s.Done():
		return s.sendCause(net.ErrClosed)
	}
	defer func() { e.turn <- struct{}{} }()
	if e.over {
		return net.ErrClosed
	}
	if err := s.rouse(ctx); err != nil {
		return s.sendCause(err)
	}
	h := s.frames.Load()
	e.due.Store(s.srv.clock.after(orDefault(h.WriteTimeout, defaultWriteTimeout)))
	_, err := s.conn.Write(wire)
	if e.due.Swap(notDue) == overdue {
		err = late(err)
	}
	if err != nil && !errors.Is(err, net.ErrClosed) {
		if timedOut(err) {
			s.srv.stats.writeTimeouts.Add(1)
		}
		s.abort() // part of the frame may have been written
	}
	return err
}

// sendCause is why a frame cannot be sent any more: that the connection is over,
// rather than what its context says of it.
func (s *session) sendCause(err error) error {
	if s.Err() != nil {
		return net.ErrClosed
	}
	return err
}

// makeExtra returns the extra part, which it makes if there is none.
func (s *session) makeExtra() *extra {
	if e := s.extra.Load(); e != nil {
		return e
	}
	e := &extra{turn: make(chan struct{}, 1)}
	e.turn <- struct{}{}
	if !s.extra.CompareAndSwap(nil, e) {
		e = s.extra.Load()
	}
	return e
}

// endSends waits for a Send in progress and refuses those that come later.
func (s *session) endSends() {
	e := s.makeExtra()
	<-e.turn
	e.over = true
	e.turn <- struct{}{}
}

// late is the error of a write that took too long: the watch has interrupted it.
//
//go:noinline
func late(err error) error { return &overdueError{err} }

// overdueError is the error of a write that took too long. Err is what the write
// itself said, nil if it ended at that moment.
type overdueError struct{ err error }

func (e *overdueError) Error() string   { return "the peer does not read" }
func (e *overdueError) Timeout() bool   { return true }
func (e *overdueError) Temporary() bool { return true }

// SafeToRetry is what the write said: false if a byte may have left.
func (e *overdueError) SafeToRetry() bool {
	s, ok := e.err.(interface{ SafeToRetry() bool })
	return ok && s.SafeToRetry()
}

// Is makes it os.ErrDeadlineExceeded, as the error of a deadline is.
func (e *overdueError) Is(target error) bool { return target == os.ErrDeadlineExceeded }
