package pipeline

import (
	"cmp"
	"runtime"
	"slices"
	"time"
)

const (
	// gatherMax is how many bytes are enough for a write.
	gatherMax = 64 << 10

	// spareMax is the largest write buffer kept for the next writes.
	spareMax = 1 << 20
)

// handWriteOn gives the write turn to writeLoop.
func (s *sharedConn) handWriteOn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handWriteOnLocked()
}

// handWriteOnLocked is handWriteOn with mu held. It starts writeLoop, if that does not
// run.
func (s *sharedConn) handWriteOnLocked() {
	if s.err != nil {
		s.writing = false // nothing can be written any more
		return
	}
	s.handedOn = true
	if s.writer {
		wake(s.writes)
		return
	}
	if s.writes == nil {
		s.writes = make(chan struct{}, 1)
	}
	s.writer = true
	wake(s.writes)
	s.own.Go(s.writeLoop)
}

// dismissWriterLocked ends writeLoop, if it has nothing to do.
func (s *sharedConn) dismissWriterLocked() {
	if s.writer && !s.handedOn {
		wake(s.writes)
	}
}

// writeLoop writes whenever it is woken with the write turn. It ends when it is woken
// without, and with the connection. A caller that has the turn then, writing itself,
// has the read turn too and is waited for.
func (s *sharedConn) writeLoop() {
	for {
		<-s.writes
		s.mu.Lock()
		if !s.handedOn || s.err != nil {
			s.writer = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		for more := true; more; {
			s.gather()
			more = s.flush()
		}
	}
}

// gather lets callers that can run now, such as those a batch of replies has
// just woken, into this write. It goes on while that brings in more, but not
// for long: who is in already waits.
func (s *sharedConn) gather() {
	before := -1
	for range 8 {
		s.mu.Lock()
		n := len(s.pending)
		s.mu.Unlock()
		if n == before || n >= gatherMax {
			return
		}
		before = n
		runtime.Gosched()
	}
}

// flush writes the pending bytes once. It reports whether more have come
// meanwhile; if not it has given up the write turn.
func (s *sharedConn) flush() (more bool) {
	s.mu.Lock()
	b := s.takeLocked()
	s.mu.Unlock()
	if b == nil {
		return false
	}
	n, err := s.nc.Write(b)
	if err != nil {
		s.writeFailed(err)
	}
	s.mu.Lock()
	s.wroteLocked(b, n)
	more = len(s.pending) > 0 && s.err == nil && s.broken == nil
	s.writing, s.handedOn = more, more
	s.mu.Unlock()
	return more
}

// takeLocked begins a write of the pending bytes. It returns nil, and the write
// turn is given up, if there is nothing to write or no connection.
func (s *sharedConn) takeLocked() []byte {
	s.closeHolesLocked()
	b := s.pending
	if len(b) == 0 || s.err != nil || s.broken != nil {
		s.writing, s.handedOn = false, false
		return nil
	}
	s.pending, s.spare = s.spare[:0], nil
	if s.watched.Load() > 0 {
		now := s.moment()
		for c := s.queue.last; c != nil && c.start >= s.handed; c = c.prev {
			c.wrote = now
		}
	}
	s.handed += uint64(len(b))
	s.count.flushes++
	return b
}

// wroteLocked ends a write of b of which n bytes left the process.
func (s *sharedConn) wroteLocked(b []byte, n int) {
	if n < len(b) && s.opaque {
		n = len(b)
	}
	s.sent += uint64(n)
	if cap(b) <= spareMax {
		s.spare = b[:0]
	}
}

// hole is a frame in the pending bytes whose call was withdrawn.
type hole struct {
	start uint64
	size  int
}

// withdrawLocked takes an unwritten call out of the queue. Its bytes stay until
// they are half of what is pending, or the next write: many calls that are given
// up together must not move the rest of the bytes each.
func (s *sharedConn) withdrawLocked(c *call) {
	s.dequeueLocked(c)
	s.holes = append(s.holes, hole{c.start, c.size})
	if s.holeBytes += c.size; s.holeBytes > len(s.pending)/2 {
		s.closeHolesLocked()
	}
}

// closeHolesLocked moves the pending frames together where calls were
// withdrawn.
func (s *sharedConn) closeHolesLocked() {
	if len(s.holes) == 0 {
		return
	}
	slices.SortFunc(s.holes, func(a, b hole) int { return cmp.Compare(a.start, b.start) })
	c := s.queue.last // the first call behind the first hole
	for c != nil && c.prev != nil && c.prev.start > s.holes[0].start {
		c = c.prev
	}
	kept := s.pending[:s.holes[0].start-s.handed]
	gone := uint64(0)
	for i, h := range s.holes {
		end := s.accepted
		if i+1 < len(s.holes) {
			end = s.holes[i+1].start
		}
		gone += uint64(h.size)
		kept = append(kept, s.pending[h.start+uint64(h.size)-s.handed:end-s.handed]...)
		for ; c != nil && c.start < end; c = c.next {
			if c.start > h.start {
				c.start -= gone
			}
		}
	}
	s.pending, s.accepted = kept, s.accepted-gone
	s.holes, s.holeBytes = s.holes[:0], 0
	if len(kept) == 0 && cap(kept) > spareMax {
		s.pending, s.holes = nil, nil
	}
}

// wantWriteLocked sees to it that what is pending is written.
func (s *sharedConn) wantWriteLocked() {
	if !s.writing {
		s.writing = true
		s.handWriteOnLocked()
	}
}

// lastWords is how long a connection that can no longer be written is still
// read where the peer may have said goodbye.
const lastWords = time.Second

// writeFailed ends the connection for the error of a write. Where the peer may
// have said goodbye before it closed, that is read first: it decides what
// becomes of the calls.
func (s *sharedConn) writeFailed(err error) {
	if len(s.p.cfg.Goodbye) == 0 || !peerLeft(err) {
		s.fail(err)
		return
	}
	s.mu.Lock()
	if s.broken == nil {
		s.broken = err
		_ = s.nc.SetReadDeadline(time.Now().Add(lastWords))
	}
	if s.reading == nobody {
		s.reading = readerLoop
		wake(s.reads)
	}
	s.mu.Unlock()
	s.p.remove(s)
}
