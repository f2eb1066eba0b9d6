package pipeline

import (
	"context"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// ErrCallTimeout is the cause of a call that Config.CallTimeout ended. It is a
// [context.DeadlineExceeded].
var ErrCallTimeout error = &fault{"pipeline: no reply within CallTimeout", conn.KindTimeout, context.DeadlineExceeded}

// due is when Config.CallTimeout ends a call, on the monotonic clock of stamps.
//
// A call reads no clock and has no timer, which would be a tenth of its cost.
// Its connection's tend looks at all calls in flight now and then: at the first
// look a call gets its due, and at the first one after that it is ended. A call
// that has to wait for something else before, a permit or a dial, takes its due
// then.
type due time.Duration

const (
	dueNever due = 0
	dueUnset due = -1 // it counts from the first look
)

// limitShare of CallTimeout passes between two looks at the calls.
const limitShare = 16

// dueOf is the due of a call that begins.
func (p *Pipeline) dueOf(ctx context.Context, done <-chan struct{}) due {
	if p.cfg.CallTimeout <= 0 {
		return dueNever
	}
	if done != nil {
		if _, ok := deadlineOf(ctx); ok {
			return dueNever
		}
	}
	return dueUnset
}

// left returns how much time is left until d. ok is false if there is no limit.
func (d due) left(limit time.Duration) (left time.Duration, ok bool) {
	switch d {
	case dueNever:
		return 0, false
	case dueUnset:
		return limit, true
	}
	return time.Duration(d) - time.Since(epoch), true
}

// timer starts a timer for a wait of a call, and sets its due if that is unset. c is
// nil if there is no limit.
func (d *due) timer(limit time.Duration) (c <-chan time.Time, stop func() bool) {
	left, ok := d.left(limit)
	if !ok {
		return nil, func() bool { return false }
	}
	if *d == dueUnset {
		*d = due(time.Since(epoch) + limit)
	}
	t := time.NewTimer(left)
	return t.C, t.Stop
}

// expire ends the calls whose due has passed, and returns in how long there may
// be more of them.
func (s *sharedConn) expire(now stamp) time.Duration {
	limit := s.p.cfg.CallTimeout
	var over []*call
	next := farAway
	s.mu.Lock()
	for c := s.queue.first; c != nil; {
		this := c
		c = c.next
		switch {
		case this.due == dueNever || this.abandoned:
			continue
		case this.due == dueUnset:
			this.due = due(now.mono + limit)
		case time.Duration(this.due) <= now.mono && this.lone:
			s.cutLoneLocked() // again at once, until its caller has noticed
		case time.Duration(this.due) <= now.mono:
			s.expireLocked(this)
			over = append(over, this)
			continue
		}
		next = min(next, time.Duration(this.due)-now.mono)
	}
	s.mu.Unlock()
	for _, c := range over {
		c.finish()
	}
	return next
}

// expireLocked ends a call. If it may have been written, another takes its place
// in the queue, abandoned, because c goes back to its caller.
func (s *sharedConn) expireLocked(c *call) {
	c.left = c.start < s.handed
	c.err = &Error{Op: "call", Addr: s.addr, Written: c.left, Err: ErrCallTimeout}
	s.count.cancelled++
	if !c.left {
		s.withdrawLocked(c)
		return
	}
	rest := s.p.calls.get(nil)
	rest.watched = c.watched
	s.queue.replace(c, rest)
	if c.number != 0 {
		s.numbers.replace(c, rest)
	}
	s.abandonLocked(rest)
}

// cutLoneLocked ends the read, and the write if that is not over, of a lone
// caller, which then waits as the others do, or not at all.
func (s *sharedConn) cutLoneLocked() {
	s.late = true
	s.interruptLocked()
}

// uncutLocked takes back what cutLoneLocked did to the read.
func (s *sharedConn) uncutLocked() {
	if s.late {
		s.late = false
		s.clearReadDeadlineLocked()
	}
}
