package pool

import (
	"sync"
	"sync/atomic"
	"time"
)

// maxLead is the most by which a connection is closed before its time.
const maxLead = 250 * time.Millisecond

// reaper closes idle connections when they are due. It has one timer, set for
// the first connection to become due, those in use included: nothing ticks
// while nothing is due.
//
// The horizon is the time up to which all that is due has been closed, or is
// being closed. It is a little ahead of the clock, by lead; sweeps are at least
// that far apart, so that connections due together are closed together and yet
// none is late.
//
// Whoever makes a connection idle looks at the horizon, and arms the timer,
// afterwards. A firing timer is disarmed and the horizon moved before the
// sweep, so a connection that becomes idle meanwhile is either seen by the
// sweep or causes another.
type reaper struct {
	pool *Pool
	lead int64

	horizon atomic.Int64
	armed   atomic.Int64 // when the timer fires, 0 if it does not; written with mu held

	mu      sync.Mutex  // guards what follows
	timer   *time.Timer // nil until first armed
	last    int64       // when the last sweep began
	stopped bool
}

func (s *reaper) init(p *Pool) {
	s.pool = p
	lead := maxLead
	for _, d := range []time.Duration{p.cfg.MaxLifetime, p.cfg.MaxIdleTime} {
		if d > 0 {
			lead = min(lead, max(d/64, 1))
		}
	}
	s.lead = int64(lead)
}

// arm sees to it that what is due at the given time is closed by then.
func (s *reaper) arm(due int64) {
	at := due - s.lead
	if armed := s.armed.Load(); due == never || armed != 0 && armed <= at {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at = max(at, s.last+s.lead) // which is not zero
	if armed := s.armed.Load(); s.stopped || armed != 0 && armed <= at {
		return
	}
	s.armed.Store(at)
	wait := time.Duration(at - s.pool.clock.now())
	if s.timer == nil {
		s.timer = time.AfterFunc(wait, s.fire)
	} else {
		s.timer.Reset(wait)
	}
}

// look arms a sweep soon, because something may have become idle unseen.
func (s *reaper) look() { s.arm(s.pool.clock.now() + 2*s.lead) }

// fire is what the timer calls.
func (s *reaper) fire() {
	p := s.pool
	if !p.tasks.begin() {
		return
	}
	defer p.tasks.end()
	s.mu.Lock()
	s.last = p.clock.now()
	horizon := s.last + s.lead
	s.horizon.Store(horizon)
	s.armed.Store(0)
	s.mu.Unlock()

	next := p.roster.next(horizon)
	p.backend.Sweep(func(m *Member) bool {
		if why := m.overdue(horizon); why != kept {
			m.evictAs(why, nil)
			return false
		}
		if m.trusted() <= p.distrusted.Load() && p.cfg.Probe.Func == nil {
			m.evictAs(Suspect, errDistrusted)
			return false
		}
		next = min(next, m.deadline)
		return true
	})
	s.arm(next)
}

// stop disarms for good. A sweep in progress is waited for by tasks.
func (s *reaper) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	if s.timer != nil {
		s.timer.Stop()
	}
}
