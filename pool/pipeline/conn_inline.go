package pipeline

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// directMax is the most bytes a lone caller writes itself. With nothing in
// flight the send buffer is empty, and no system has one so small that this
// would block, so a call that is cancelled has hardly ever to cut its write.
// Where there is no socket, and a write that was cut could not be resumed,
// writeLoop writes instead.
const directMax = 4 << 10

// cutGrace is how long a lone caller's write over TLS may go on when its
// context has ended. Cutting it ends the connection, and only a peer that
// replied without reading can have made it block.
const cutGrace = time.Second

// inlineCall carries a call that is alone on the connection through on its
// caller's goroutine: it holds both turns, and gives both up. write is what to
// write, nil if that is for writeLoop. If settled is true c is not the caller's
// any more. If it is false the caller must wait: the call's context has ended
// first, or the connection has.
func (s *sharedConn) inlineCall(ctx context.Context, done <-chan struct{}, c *call, write []byte, event *CallEvent) (reply []byte, settled bool, err error) {
	if err := s.probe(); err != nil {
		s.fail(err)
		s.mu.Lock()
		s.writing, s.direct = false, false
		s.mu.Unlock()
		s.passToLoop(c)
		return nil, false, nil
	}
	var stop func() bool
	if done != nil {
		if s.interrupt == nil {
			s.interrupt, s.interrupted = s.onCancel, make(chan struct{}, 1)
		}
		stop = onEnd(ctx, s.interrupt)
	}
	if write == nil {
		s.handWriteOn()
	} else {
		s.writeDirect(write)
	}
	var mine bool
	if s.async {
		mine, err = s.readAsync(c)
	} else {
		reply, err = s.readOwn(c)
		mine = err == nil
	}
	cancelled := stop != nil && !stop()
	if cancelled {
		<-s.interrupted
		s.clearReadDeadline()
	}
	if mine && event != nil {
		event.timed(s, c)
	}
	switch {
	case mine && s.async:
		reply, err = c.reply, c.err
		s.passTurn(c)
		return reply, true, err
	case mine:
		return reply, s.finishInline(c), nil
	}
	if err != nil && (!cancelled && !s.isLate() || !errors.Is(err, os.ErrDeadlineExceeded)) {
		s.readFailed(err)
	}
	s.passToLoop(c)
	return nil, false, nil
}

// passToLoop gives the read turn of a lone caller, who has no reply yet, to the
// connection's goroutine.
func (s *sharedConn) passToLoop(c *call) {
	s.mu.Lock()
	c.lone = false
	s.uncutLocked()
	s.reading = readerLoop
	s.mu.Unlock()
	wake(s.reads)
}

// isLate tells whether the lone caller's time is over.
func (s *sharedConn) isLate() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.late
}

// readOwn reads the reply to the lone caller's call.
func (s *sharedConn) readOwn(c *call) ([]byte, error) {
	if err := s.awaitFrame(); err != nil {
		return nil, err
	}
	if c.watched {
		c.first = s.readAt
	}
	reply, err := s.frames.ReadFrame(c.dst)
	if err == nil {
		s.noteHeard()
	}
	return reply, err
}

// readAsync reads frames until the lone caller has its reply. mine is false,
// with or without an error, if it must wait for it.
func (s *sharedConn) readAsync(c *call) (mine bool, err error) {
	for {
		frame, err := s.next()
		if err != nil {
			return false, err
		}
		if s.deliver(frame, c) {
			s.mu.Lock()
			mine := !c.queued
			s.mu.Unlock()
			return mine, nil
		}
	}
}

// clearReadDeadline takes back the deadline that ended a lone caller's read.
func (s *sharedConn) clearReadDeadline() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clearReadDeadlineLocked()
}

func (s *sharedConn) clearReadDeadlineLocked() {
	var at time.Time
	if s.broken != nil {
		at = time.Now().Add(lastWords)
	}
	_ = s.nc.SetReadDeadline(at)
}

// probeAfter is how long before it a lone call must have begun for the next
// one to look first whether the peer is still there: a system call, a few
// percent of the fastest round trip.
const probeAfter = time.Millisecond

// probe tells why the connection can no longer be used, as far as can be told
// without waiting (for more than a millisecond, where the system has no way to
// peek). While nobody reads, nobody else would notice.
func (s *sharedConn) probe() error {
	if s.recent || !s.socket {
		return nil
	}
	err := s.nc.Check()
	if s.async && errors.Is(err, conn.ErrUnread) {
		return nil // it may be a push
	}
	return err
}

// writeDirect writes what submit took. It leaves to writeLoop what has come
// meanwhile, and what its context's end has kept it from writing.
func (s *sharedConn) writeDirect(b []byte) {
	n, err := s.nc.Write(b)

	s.mu.Lock()
	cut := s.cut
	s.direct, s.cut = false, false
	if cut {
		_ = s.nc.SetWriteDeadline(time.Time{})
	}
	s.wroteLocked(b, n)
	if cut && !s.opaque && errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
		s.handed -= uint64(len(b) - n)
		s.pending = append(b[n:len(b):len(b)], s.pending...)
		s.spare = nil // its memory is what is pending
	}
	s.writing = len(s.pending) > 0 && s.err == nil
	more := s.writing
	s.mu.Unlock()
	if err != nil {
		s.writeFailed(err)
	}
	if more {
		s.handWriteOn()
	}
}

// finishInline settles a lone caller's own call, whose reply has come in order,
// and passes its read turn on. It returns false if the reply cannot be its own.
func (s *sharedConn) finishInline(c *call) bool {
	s.mu.Lock()
	ours, first := s.expectingLocked(), !s.count.replied()
	if ours {
		s.dequeueLocked(c)
		s.count.replies++
	}
	s.mu.Unlock()
	if ours && first {
		s.p.replied()
	}
	if !ours {
		s.fail(ErrUnsolicited)
		c = nil
	}
	s.passTurn(c)
	return ours
}

// passTurn passes a lone caller's read turn on, and keeps its call, which is
// settled, for the next one.
func (s *sharedConn) passTurn(c *call) {
	_ = s.frames.Release() // what is left in the buffer now, nobody asked for
	s.mu.Lock()
	s.uncutLocked()
	if c != nil {
		done := c.done
		*c = call{done: done}
		s.spareCall = c
	}
	more := s.queue.len() > 0
	rest := s.nc.Buffered() > 0
	more = more || rest && s.async
	awaited := more || s.parked || s.err != nil
	s.reading = nobody
	if more {
		s.reading = readerLoop
	}
	s.mu.Unlock()
	if rest && !more {
		s.fail(ErrUnsolicited)
	} else if awaited {
		wake(s.reads)
	}
}

// onCancel ends the I/O of the lone caller whose context has ended.
func (s *sharedConn) onCancel() {
	s.mu.Lock()
	s.interruptLocked()
	s.mu.Unlock()
	s.interrupted <- struct{}{}
}

// interruptLocked ends the read, and the write if that is not over, of a lone
// caller.
func (s *sharedConn) interruptLocked() {
	_ = s.nc.SetReadDeadline(aLongTimeAgo)
	if s.direct {
		s.cut = true
		at := aLongTimeAgo
		if s.opaque {
			at = time.Now().Add(cutGrace)
		}
		_ = s.nc.SetWriteDeadline(at)
	}
}
