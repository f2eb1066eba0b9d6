package pipeline

import (
	"context"
	"errors"
	"os"
	"runtime"
	"time"
)

const (
	// directMax is the most bytes a lone caller writes itself. With nothing in
	// flight the send buffer is empty, and no system has one so small that
	// this would block: a cancelled call need not cut its own write short.
	directMax = 4 << 10

	// spareMax is the largest write buffer kept for the next writes.
	spareMax = 1 << 20
)

// writeLoop writes whenever woken with the write turn, until the link ends.
func (l *link) writeLoop() {
	for {
		select {
		case <-l.writes:
			for more := true; more; {
				// Callers that can run now, such as those a batch of replies
				// has just woken, get into this write and not the next one.
				runtime.Gosched()
				more = l.flush()
			}
		case <-l.ended:
			// The turn ends with the loop; a caller who has it, flushing directly,
			// has the read turn too and is waited for.
			l.mu.Lock()
			l.writing = false
			l.mu.Unlock()
			return
		}
	}
}

// flush writes the pending bytes once. It reports whether more have come
// meanwhile; if not it has given up the write turn.
func (l *link) flush() (more bool) {
	l.mu.Lock()
	b := l.take()
	l.mu.Unlock()
	if b == nil {
		return false
	}
	n, err := l.nc.Write(b)
	if err != nil {
		l.fail(err)
	}
	l.mu.Lock()
	l.wrote(b, n)
	more = len(l.pending) > 0 && l.err == nil
	l.writing = more
	l.mu.Unlock()
	return more
}

// flushDirect is flush for a lone caller. It leaves to writeLoop what might
// block, what has come meanwhile, and what its context's end has kept it from
// writing.
func (l *link) flushDirect() {
	l.mu.Lock()
	var b []byte
	if len(l.pending) <= directMax && !l.cut {
		b = l.take()
	}
	l.mu.Unlock()

	var n int
	var err error
	if b != nil {
		n, err = l.nc.Write(b)
	}

	l.mu.Lock()
	cut := l.cut
	if cut {
		_ = l.nc.SetWriteDeadline(time.Time{})
	}
	l.direct, l.cut = false, false
	resume := cut && errors.Is(err, os.ErrDeadlineExceeded) && !opaque(l.nc)
	if b != nil {
		l.wrote(b, n)
	}
	if resume {
		l.pending = append(b[n:len(b):len(b)], l.pending...)
		l.handed -= uint64(len(b) - n)
		l.spare = nil // its memory is what is pending
	}
	l.writing = len(l.pending) > 0 && l.err == nil
	more := l.writing
	l.mu.Unlock()
	if err != nil && !resume {
		l.fail(err)
	}
	if more {
		wake(l.writes)
	}
}

// take begins a write of the pending bytes. It returns nil, and the write turn
// is given up, if there is nothing to write or no connection. Called under mu.
func (l *link) take() []byte {
	b := l.pending
	if len(b) == 0 || l.err != nil {
		l.writing = false
		return nil
	}
	l.pending, l.spare = l.spare[:0], nil
	l.handed += uint64(len(b))
	l.count.flushes++
	return b
}

// wrote ends a write of b of which n bytes left the process. Called under mu.
func (l *link) wrote(b []byte, n int) {
	if n < len(b) && opaque(l.nc) {
		n = len(b)
	}
	l.sent += uint64(n)
	if cap(b) <= spareMax {
		l.spare = b[:0]
	}
}

// lead carries a call that is alone on the link through on its caller's
// goroutine: it holds both turns, and gives both up. The call is not settled
// if its context ends first, or the link does.
func (l *link) lead(ctx context.Context) {
	defer l.leave()
	if l.socket {
		if err := l.nc.Check(); err != nil {
			l.fail(err)
			l.flushDirect() // writes nothing, gives up the turn
			return
		}
	}
	var stop func() bool
	if ctx.Done() != nil {
		stop = context.AfterFunc(ctx, l.interrupt)
	}
	l.flushDirect()
	frame, err := l.frames.Next()
	cancelled := stop != nil && !stop()
	if cancelled {
		<-l.interrupted
		_ = l.nc.SetReadDeadline(time.Time{})
	}
	switch {
	case err == nil:
		if !l.deliver(frame) {
			l.fail(ErrUnsolicited)
		}
	case cancelled && errors.Is(err, os.ErrDeadlineExceeded):
		// The call stays queued; wait abandons it.
	default:
		l.fail(err)
	}
}

// leave passes a lone caller's read turn on.
func (l *link) leave() {
	if l.yield() {
		return
	}
	l.mu.Lock()
	l.reading = theLink
	l.mu.Unlock()
	wake(l.reads)
}

// onCancel ends the read, and the write if that is not over, of the lone
// caller whose context has ended.
func (l *link) onCancel() {
	l.mu.Lock()
	_ = l.nc.SetReadDeadline(past)
	if l.direct {
		l.cut = true
		_ = l.nc.SetWriteDeadline(past)
	}
	l.mu.Unlock()
	l.interrupted <- struct{}{}
}
