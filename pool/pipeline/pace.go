package pipeline

import (
	"context"
	"sync/atomic"
	"time"
)

// pace is how fast replies come on a connection, from which a call can tell
// whether its reply will come in time.
//
// A request that was written is handled even if its caller gives up. With more
// calls than the server can handle, and deadlines, the server would soon handle
// only requests whose callers have gone: with 1.5 times the load it did a tenth
// of the good work it can do. So a call that would come too late is not sent.
type pace struct {
	each atomic.Int64  // nanoseconds from one reply to the next, lately
	late atomic.Int64  // how many calls that were sent have had no reply in time, lately: see margin
	calm int           // replies since late was last lowered; of the holder of the read turn
	last time.Duration // when a reply last came with more awaited, else 0; likewise
}

const (
	// crowd is how many calls must be in flight for a call to be refused. So
	// the pace is always that of replies that still come: it cannot get stuck
	// at what it once was.
	crowd = 8

	// paceLeast is the shortest wait that matters: up to it no call pays for a
	// look at its deadline.
	paceLeast = time.Millisecond

	// mostLate is the most late calls that count, and calmAfter how many replies
	// make one of them forgotten.
	mostLate, calmAfter = 16, 64
)

// margin is how much longer than expected a reply may take to come in time, in
// eighths: a quarter, and up to the double after calls have had no reply in time. A
// server that stands still for a moment makes all calls late that have been sent, and
// with a small margin it never catches up.
func (p *pace) margin() time.Duration { return time.Duration(2 + p.late.Load()*14/mostLate) }

// behind is how long the reply to a call behind load others is expected to take.
func (p *pace) behind(load int32) time.Duration {
	return time.Duration(p.each.Load()) * time.Duration(load+1)
}

// tooLong tells whether such a reply would take longer than left, with the margin.
func (p *pace) tooLong(load int32, left time.Duration) bool {
	wait := p.behind(load)
	return load >= crowd && left < wait+wait*p.margin()/8
}

// missed notes that a call that was sent has had no reply in time.
func (p *pace) missed() {
	if n := p.late.Load(); n < mostLate {
		p.late.Store(n + 1) // one that is lost to a race does not matter
	}
}

// replied notes that n replies have come together, and whether more are awaited.
func (p *pace) replied(n int, now time.Duration, more bool) {
	if p.last > 0 && n > 0 {
		each, x := p.each.Load(), int64(now-p.last)/int64(n)
		p.each.Store(each + (x-each)*int64(min(n, 4))/8)
	}
	if p.calm += n; p.calm >= calmAfter {
		p.calm = 0
		if late := p.late.Load(); late > 0 {
			p.late.Store(late - 1)
		}
	}
	p.last = 0
	if more {
		p.last = max(now, 1)
	}
}

// tooLate reports whether the reply to one more call would come after ctx's
// deadline, at the pace of the replies lately and with a margin.
func (s *sharedConn) tooLate(ctx context.Context, due due) bool {
	load := s.load.Load()
	if load < crowd || s.pace.behind(load) < paceLeast {
		return false
	}
	left, ok := due.left(s.p.cfg.CallTimeout)
	if deadline, set := deadlineOf(ctx); set {
		left, ok = time.Until(deadline), true
	}
	return ok && s.pace.tooLong(load, left) && s.pace.tooLong(load-s.outOfTurn(), left)
}

// outOfTurn counts the calls without a reply although a later one has had its own.
// With Match, nobody waits for them: they take long, or never get a reply.
func (s *sharedConn) outOfTurn() (n int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := s.queue.first; c != nil && c.start < s.overtaken; c = c.next {
		n++
	}
	return n
}

// deadlineOf is ctx.Deadline, for any context: one of a user's that panics here,
// in the middle of a call, counts as one without a deadline.
func deadlineOf(ctx context.Context) (at time.Time, ok bool) {
	defer func() { _ = recover() }()
	return ctx.Deadline()
}
