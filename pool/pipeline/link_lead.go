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
func (l *link) lead(ctx context.Context, c *call, write []byte) (reply []byte, settled bool) {
	if err := l.probe(); err != nil {
		l.fail(err)
		l.mu.Lock()
		l.writing, l.direct, l.reading = false, false, theLink
		l.mu.Unlock()
		wake(l.reads)
		return nil, false
	}
	var stop func() bool
	if ctx.Done() != nil {
		stop = context.AfterFunc(ctx, l.interrupt)
	}
	if write == nil {
		wake(l.writes)
	} else {
		l.writeDirect(write)
	}
	reply, err := l.frames.ReadFrame(c.dst)
	cancelled := stop != nil && !stop()
	if cancelled {
		<-l.interrupted
		_ = l.nc.SetReadDeadline(time.Time{})
	}
	if err != nil {
		if !cancelled || !errors.Is(err, os.ErrDeadlineExceeded) {
			l.fail(err)
		}
		l.mu.Lock()
		l.reading = theLink
		l.mu.Unlock()
		wake(l.reads)
		return nil, false
	}
	return reply, l.leave(c)
}

// probeAfter is how long before it a lone call must have begun for the next
// one to look first whether the peer is still there: a system call, a few
// percent of the fastest round trip.
const probeAfter = time.Millisecond

// probe tells why the link can no longer be used, as far as can be told
// without waiting (for more than a millisecond, where the system has no way to
// peek). While nobody reads, nobody else would notice.
func (l *link) probe() error {
	now := time.Since(l.born)
	recent := now-l.ledAt < probeAfter
	l.ledAt = now
	if recent || !l.socket {
		return nil
	}
	return l.nc.Check()
}

// writeDirect writes what submit took. It leaves to writeLoop what has come
// meanwhile, and what its context's end has kept it from writing.
func (l *link) writeDirect(b []byte) {
	n, err := l.nc.Write(b)

	l.mu.Lock()
	cut := l.cut
	l.direct, l.cut = false, false
	if cut {
		_ = l.nc.SetWriteDeadline(time.Time{})
	}
	l.wrote(b, n)
	if cut && !l.opaque && errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
		l.handed -= uint64(len(b) - n)
		l.pending = append(b[n:len(b):len(b)], l.pending...)
		l.spare = nil // its memory is what is pending
	}
	l.writing = len(l.pending) > 0 && l.err == nil
	more := l.writing
	l.mu.Unlock()
	if err != nil {
		l.fail(err)
	}
	if more {
		wake(l.writes)
	}
}

// leave settles a lone caller's own call, which has been answered, and passes
// its read turn on. It returns false if the reply cannot be its own.
func (l *link) leave(c *call) bool {
	_ = l.frames.Release() // what is left in the buffer now, nobody asked for
	l.mu.Lock()
	ours := l.expecting()
	if ours {
		l.queue.pop()
		l.load.Store(int32(l.queue.len()))
		l.count.replies++
		c.queued, c.dst = false, nil
		l.spareCall = c
	}
	first := ours && l.count.replies+l.count.late == 1
	more := l.queue.len() > 0
	unsolicited := !ours || !more && l.nc.Buffered() > 0
	awaited := more || l.dozing || l.err != nil
	l.reading = nobody
	if more {
		l.reading = theLink
	}
	l.mu.Unlock()
	if first {
		l.p.answered()
	}
	if unsolicited {
		l.fail(ErrUnsolicited)
	} else if awaited {
		wake(l.reads)
	}
	return ours
}

// onCancel ends the read, and the write if that is not over, of the lone
// caller whose context has ended.
func (l *link) onCancel() {
	l.mu.Lock()
	_ = l.nc.SetReadDeadline(past)
	if l.direct {
		l.cut = true
		at := past
		if l.opaque {
			at = time.Now().Add(cutGrace)
		}
		_ = l.nc.SetWriteDeadline(at)
	}
	l.mu.Unlock()
	l.interrupted <- struct{}{}
}
