package pipeline

import "time"

// wait waits for the end of a call that was submitted, or of its context.
// left is true if c stays with the connection, its caller having given up.
func (s *sharedConn) wait(done <-chan struct{}, c *call, event *CallEvent) (left bool, err error) {
	if done == nil {
		<-c.done
		return false, c.err
	}
	select {
	case <-c.done:
	case <-done:
		if gone, written := s.abandon(c, event); gone {
			return written, &Error{Op: "call", Addr: s.addr, Written: written, Err: errGaveUp}
		}
		<-c.done // settled at the same moment
	}
	return false, c.err
}

// abandon ends the caller's interest in c. gone is false if c was settled
// already. Otherwise, if c was not written it leaves no trace; if it may have
// been, its place and its permit stay taken until its reply comes.
func (s *sharedConn) abandon(c *call, event *CallEvent) (gone, written bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.queued {
		return false, false
	}
	if event != nil {
		event.timed(s, c)
	}
	s.count.cancelled++
	if c.start >= s.handed {
		s.withdrawLocked(c)
		return true, false
	}
	s.abandonLocked(c)
	return true, true
}

// abandonLocked leaves a call that may have been written to the connection.
func (s *sharedConn) abandonLocked(c *call) {
	c.abandoned, c.dst, c.leftAt = true, nil, time.Now()
	s.left++
	if s.queue.len() >= crowd {
		s.pace.missed()
	}
	if s.left == 1 || s.leaving != nil {
		s.lookLocked() // tend waits for its reply
	}
}
