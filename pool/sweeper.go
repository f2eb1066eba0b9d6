package pool

import (
	"sync"
	"sync/atomic"
	"time"
)

// sweepGap is the least time between two sweeps: what lies closer together is
// swept together, that much late at most.
const sweepGap = int64(250 * time.Millisecond)

// sweeper closes idle connections on time. It has one timer, set for the
// earliest deadline of those idle: nothing ticks while nothing is due.
//
// Whoever makes a connection idle calls arm afterwards. A firing timer is
// disarmed before the sweep, so a connection that becomes idle meanwhile is
// either seen by the sweep or arms the timer again.
type sweeper struct {
	now   func() int64
	sweep func(now int64) (next int64)
	tasks *tasks

	armed atomic.Int64 // when the timer fires, 0 if it does not; written with mu held

	mu      sync.Mutex
	timer   *time.Timer // nil until first armed
	last    int64       // when the last sweep began
	stopped bool        // or never begun: nothing is ever due
}

// arm sees to it that a sweep begins at the given time or before, save for
// sweepGap.
func (s *sweeper) arm(at int64) {
	if armed := s.armed.Load(); at == never || armed != 0 && armed <= at {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at = max(at, s.last+sweepGap)
	if armed := s.armed.Load(); s.stopped || armed != 0 && armed <= at {
		return
	}
	s.armed.Store(at)
	wait := time.Duration(at - s.now())
	if s.timer == nil {
		s.timer = time.AfterFunc(wait, s.fire)
	} else {
		s.timer.Reset(wait)
	}
}

// look arms a sweep soon, because something may have become idle unseen.
func (s *sweeper) look() { s.arm(s.now() + sweepGap) }

// fire is what the timer calls.
func (s *sweeper) fire() {
	if !s.tasks.begin() {
		return
	}
	defer s.tasks.end()
	s.mu.Lock()
	s.last = s.now()
	s.armed.Store(0)
	now := s.last
	s.mu.Unlock()
	s.arm(s.sweep(now))
}

// stop disarms for good. A sweep in progress is waited for by tasks.
func (s *sweeper) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	if s.timer != nil {
		s.timer.Stop()
	}
}

// sweep closes what is overdue and returns when the next will be.
func (p *Pool) sweep(now int64) (next int64) {
	next = never
	p.backend.Sweep(func(m *Member) bool {
		if why := m.overdue(now); why != kept {
			m.evictAs(why)
			return false
		}
		next = min(next, m.deadline)
		return true
	})
	return next
}

// tasks counts the functions that timers run, so that Close waits for them.
type tasks struct {
	mu      sync.Mutex
	wg      sync.WaitGroup // Add only with mu held and stopped false
	stopped bool
}

// begin reports whether a task may run; if so end must follow.
func (t *tasks) begin() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.stopped {
		t.wg.Add(1)
	}
	return !t.stopped
}

func (t *tasks) end() { t.wg.Done() }

// stop lets no further task begin and waits for those in progress.
func (t *tasks) stop() {
	t.mu.Lock()
	t.stopped = true
	t.mu.Unlock()
	t.wg.Wait()
}
