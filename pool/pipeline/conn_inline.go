package pipeline

import (
	"context"
	"errors"
	"os"
	"time"
)

// directMax is the most bytes a lone caller writes itself. With nothing in
// flight the send buffer is empty, and no system has one so small that this
// would block, so a call that is cancelled has hardly ever to cut its write.
// Where there is no socket, and a write that was cut could not be resumed,
// writeLoop writes instead.
const directMax = 4 << 10

// cutGrace is how long a lone caller's write over TLS may go on when its
// context has ended. Cutting it ends the connection, and only a peer that
// answered without reading can have made it block.
const cutGrace = time.Second

// lead carries a call that is alone on the link through on its caller's
// goroutine: it holds both turns, and gives both up. write is what to write,
// nil if that is for writeLoop. If settled is true c is not the caller's any
// more. If it is false the caller must wait: the call's context has ended
// first, or the link has.
func (s *sharedConn) inlineCall(ctx context.Context, done <-chan struct{}, c *call, write []byte) (reply []byte, settled bool) {
	if err := s.probe(); err != nil {
		s.fail(err)
		s.mu.Lock()
		s.writing, s.direct, s.reading = false, false, readerLoop
		s.mu.Unlock()
		wake(s.reads)
		return nil, false
	}
	var stop func() bool
	if done != nil {
		stop = onEnd(ctx, s.interrupt)
	}
	if write == nil {
		wake(s.writes)
	} else {
		s.writeDirect(write)
	}
	reply, err := s.frames.ReadFrame(c.dst)
	cancelled := stop != nil && !stop()
	if cancelled {
		<-s.interrupted
		_ = s.nc.SetReadDeadline(time.Time{})
	}
	if err != nil {
		if !cancelled || !errors.Is(err, os.ErrDeadlineExceeded) {
			s.fail(err)
		}
		s.mu.Lock()
		s.reading = readerLoop
		s.mu.Unlock()
		wake(s.reads)
		return nil, false
	}
	return reply, s.finishInline(c)
}

// probeAfter is how long before it a lone call must have begun for the next
// one to look first whether the peer is still there: a system call, a few
// percent of the fastest round trip.
const probeAfter = time.Millisecond

// probe tells why the link can no longer be used, as far as can be told
// without waiting (for more than a millisecond, where the system has no way to
// peek). While nobody reads, nobody else would notice.
func (s *sharedConn) probe() error {
	now := time.Since(s.born)
	recent := now-s.ledAt < probeAfter
	s.ledAt = now
	if recent || !s.socket {
		return nil
	}
	return s.nc.Check()
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
	s.wrote(b, n)
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
		s.fail(err)
	}
	if more {
		wake(s.writes)
	}
}

// leave settles a lone caller's own call, which has been answered, and passes
// its read turn on. It returns false if the reply cannot be its own.
func (s *sharedConn) finishInline(c *call) bool {
	_ = s.frames.Release() // what is left in the buffer now, nobody asked for
	s.mu.Lock()
	ours := s.expecting()
	if ours {
		s.queue.pop()
		s.load.Store(int32(s.queue.len()))
		s.count.replies++
		c.dst = nil
		s.spareCall = c
	}
	first := ours && s.count.replies+s.count.late == 1
	more := s.queue.len() > 0
	unsolicited := !ours || !more && s.nc.Buffered() > 0
	awaited := more || s.parked || s.err != nil
	s.reading = nobody
	if more {
		s.reading = readerLoop
	}
	s.mu.Unlock()
	if first {
		s.p.replied()
	}
	if unsolicited {
		s.fail(ErrUnsolicited)
	} else if awaited {
		wake(s.reads)
	}
	return ours
}

// onCancel ends the read, and the write if that is not over, of the lone
// caller whose context has ended.
func (s *sharedConn) onCancel() {
	s.mu.Lock()
	_ = s.nc.SetReadDeadline(past)
	if s.direct {
		s.cut = true
		at := past
		if s.opaque {
			at = time.Now().Add(cutGrace)
		}
		_ = s.nc.SetWriteDeadline(at)
	}
	s.mu.Unlock()
	s.interrupted <- struct{}{}
}
