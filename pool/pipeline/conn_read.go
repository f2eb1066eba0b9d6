package pipeline

import (
	"errors"
	"os"
	"time"
)

// watchAfter is how long a link must have been quiet before its goroutine
// reads it to notice the peer's close. Until then a lone caller may read.
const watchAfter = 10 * time.Millisecond

// run reads the link whenever no lone caller does, until the link ends; then
// it waits for everyone who uses the connection, and settles what is left.
func (s *sharedConn) run() {
	written := make(chan struct{})
	go func() {
		defer close(written)
		s.writeLoop()
	}()
	tick := time.NewTimer(watchAfter)
	for s.awaitTurn(tick) {
		s.readFrames()
	}
	close(s.ended)
	<-written
	for s.inlineActive() {
		<-s.reads
	}
	s.settle()
}

// awaitTurn waits until the link's goroutine has the read turn: passed on by a
// lone caller, or taken because nobody has called for a while. It returns
// false once the link has ended.
func (s *sharedConn) awaitTurn(tick *time.Timer) bool {
	tick.Reset(watchAfter)
	defer tick.Stop()
	ticked, seen := false, uint64(0)
	for {
		s.mu.Lock()
		quiet := ticked && s.count.calls == seen
		seen = s.count.calls
		if quiet && s.reading == nobody {
			s.reading = readerLoop
		}
		// A lone caller who waits for long need not be looked at.
		s.parked = quiet && s.reading == readerCaller
		parked, alive, mine := s.parked, s.err == nil, s.reading == readerLoop
		s.mu.Unlock()
		if !alive || mine {
			return alive
		}
		if ticked {
			tick.Reset(watchAfter)
		}
		if ticked = false; parked {
			<-s.reads
			continue
		}
		select {
		case <-s.reads:
		case <-tick.C:
			ticked = true
		}
	}
}

// led tells whether a lone caller is still at work.
func (s *sharedConn) inlineActive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reading == readerCaller
}

// readFrames reads replies until none is awaited, then gives up the turn. With
// none awaited to begin with it watches for the peer's close.
func (s *sharedConn) readFrames() {
	s.mu.Lock()
	watching := s.queue.len() == 0
	if s.left > 0 {
		s.arm()
	}
	s.mu.Unlock()
	for done := false; !done; {
		var frame []byte
		var err error
		if watching {
			err = s.frames.Wait()
		} else {
			frame, err = s.frames.Next()
		}
		switch {
		case err == nil && watching:
			s.mu.Lock()
			expecting := s.expecting()
			s.mu.Unlock()
			watching = false
			if !expecting {
				s.fail(ErrUnsolicited)
				return
			}
		case err == nil:
			done = s.deliver(frame)
		case errors.Is(err, os.ErrDeadlineExceeded):
			if s.stalled() {
				s.fail(ErrStalled)
				return
			}
		default:
			s.fail(err)
			return
		}
	}
}

// deliver settles the oldest call with its reply. It returns true if there is
// nothing to read for any more: no other call is queued, and the read turn is
// given up, or the peer is not to be trusted, and the link has ended.
func (s *sharedConn) deliver(frame []byte) (done bool) {
	s.mu.Lock()
	if !s.expecting() {
		s.mu.Unlock()
		s.fail(ErrUnsolicited)
		return true
	}
	c := s.queue.pop()
	s.load.Store(int32(s.queue.len()))
	if c.abandoned {
		s.left--
		s.count.late++
	} else {
		s.count.replies++
	}
	first := s.count.replies+s.count.late == 1
	last := s.queue.len() == 0
	s.mu.Unlock()
	if first {
		s.p.replied()
	}
	if c.abandoned {
		s.p.permits.release()
		s.p.calls.put(c)
	} else {
		c.reply = append(c.dst, frame...)
		c.finish()
	}
	return last && s.yield()
}

// yield gives up the read turn if no call is left to read for.
func (s *sharedConn) yield() bool {
	s.mu.Lock()
	if s.queue.len() > 0 {
		s.mu.Unlock()
		return false
	}
	_ = s.frames.Release() // what is left in the buffer now, nobody asked for
	unsolicited := s.nc.Buffered() > 0
	s.disarm()
	s.reading = nobody
	awaited := s.parked || s.err != nil
	s.mu.Unlock()
	if unsolicited {
		s.fail(ErrUnsolicited)
	} else if awaited {
		wake(s.reads)
	}
	return true
}

// expecting tells whether a request has been written and not been answered.
// Called under mu.
func (s *sharedConn) expecting() bool {
	if s.queue.len() == 0 {
		return false
	}
	c := s.queue.first
	return c.start+uint64(c.size) <= s.handed
}

// arm sets the deadline that notices a stall. Called under mu, while the link
// itself reads and an abandoned call is queued.
func (s *sharedConn) arm() {
	if s.armed || s.p.cfg.StallTimeout < 0 {
		return
	}
	s.armed, s.armedAt = true, s.nc.BytesRead()
	_ = s.nc.SetReadDeadline(time.Now().Add(s.p.cfg.StallTimeout))
}

// disarm takes the deadline back. Called under mu.
func (s *sharedConn) disarm() {
	if s.armed {
		s.armed = false
		_ = s.nc.SetReadDeadline(time.Time{})
	}
}

// stalled tells, when the deadline has passed, whether the peer has stopped
// answering; if not it sets the next deadline, where one is needed.
func (s *sharedConn) stalled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.armed && s.queue.len() > 0 && s.queue.first.abandoned && s.nc.BytesRead() == s.armedAt {
		return true
	}
	s.disarm()
	if s.left > 0 {
		s.arm()
	}
	return false
}
