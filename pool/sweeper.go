package pool

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// never is a time that does not come, on the pool's clock.
const never = math.MaxInt64

// maxLead is the most by which a connection is retired before its time.
const maxLead = 250 * time.Millisecond

// sweeper retires connections on time. It has one timer, set for the first to
// become due, lent ones included: nothing ticks while nothing is due.
//
// What it tells the rest of the pool is the horizon: whatever is due by then
// is retired. So Get and Close read no clock, they compare with the horizon.
// The horizon is a little ahead of time, the lead; and sweeps are at least
// that far apart, so that what becomes due together is swept together and yet
// nothing is late.
//
// Whoever makes a connection idle looks at the horizon, and arms the timer,
// afterwards. A firing timer is disarmed and the horizon moved before the
// sweep, so a connection that becomes idle meanwhile is either seen by the
// sweep or has it repeated.
type sweeper struct {
	pool *Pool
	lead int64

	horizon atomic.Int64
	armed   atomic.Int64 // when the timer fires, 0 if it does not; written with mu held

	mu      sync.Mutex
	timer   *time.Timer // nil until first armed
	last    int64       // when the last sweep began
	stopped bool        // or never begun: nothing is ever due
}

func (s *sweeper) init(p *Pool) {
	s.pool = p
	lead := maxLead
	for _, d := range []time.Duration{p.cfg.MaxLifetime, p.cfg.MaxIdleTime} {
		if d > 0 {
			lead = min(lead, max(d/64, 1))
		}
	}
	s.lead = int64(lead)
	s.stopped = p.cfg.MaxLifetime == 0 && p.cfg.MaxIdleTime == 0
}

// arm sees to it that what is due at the given time is retired by then.
func (s *sweeper) arm(due int64) {
	at := due - s.lead
	if armed := s.armed.Load(); due == never || armed != 0 && armed <= at {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at = max(at, s.last+s.lead, 1)
	if armed := s.armed.Load(); s.stopped || armed != 0 && armed <= at {
		return
	}
	s.armed.Store(at)
	wait := time.Duration(at - s.pool.now())
	if s.timer == nil {
		s.timer = time.AfterFunc(wait, s.fire)
	} else {
		s.timer.Reset(wait)
	}
}

// look arms a sweep soon, because something may have become idle unseen.
func (s *sweeper) look() { s.arm(s.pool.now() + 2*s.lead) }

// fire is what the timer calls.
func (s *sweeper) fire() {
	p := s.pool
	if !p.tasks.begin() {
		return
	}
	defer p.tasks.end()
	s.mu.Lock()
	s.last = p.now()
	horizon := s.last + s.lead
	s.horizon.Store(horizon)
	s.armed.Store(0)
	s.mu.Unlock()

	next := p.roster.next(horizon)
	p.backend.Sweep(func(m *Member) bool {
		if why := m.overdue(horizon); why != kept {
			m.evictAs(why)
			return false
		}
		next = min(next, m.deadline)
		return true
	})
	s.arm(next)
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
