package pipeline

import (
	"runtime"
)

const (
	// gatherMax is how many bytes are enough for a write.
	gatherMax = 64 << 10

	// spareMax is the largest write buffer kept for the next writes.
	spareMax = 1 << 20
)

// writeLoop writes whenever woken with the write turn, until the link ends.
func (l *link) writeLoop() {
	for {
		select {
		case <-l.writes:
			for more := true; more; {
				l.gather()
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

// gather lets callers that can run now, such as those a batch of replies has
// just woken, into this write. It goes on while that brings in more, but not
// for long: who is in already waits.
func (l *link) gather() {
	before := -1
	for range 8 {
		l.mu.Lock()
		n := len(l.pending)
		l.mu.Unlock()
		if n == before || n >= gatherMax {
			return
		}
		before = n
		runtime.Gosched()
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
	if n < len(b) && l.opaque {
		n = len(b)
	}
	l.sent += uint64(n)
	if cap(b) <= spareMax {
		l.spare = b[:0]
	}
}
