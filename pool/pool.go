package pool

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// Pool lends connections to one address. All its methods may be called from
// several goroutines.
type Pool struct {
	cfg          Config
	backend      backend.Backend[*Member]
	hooks        hooks
	probeAfter   int64 // ns; negative is never
	checkReturns bool  // look for unread bytes when a connection comes back
	stamps       bool  // note when one comes back, for something depends on it

	epoch      time.Time // where the pool's clock begins
	generation atomic.Uint64
	closed     atomic.Bool
	ending     context.Context // ends when Close begins
	end        context.CancelFunc

	gate    gate
	sweeper sweeper
	keeper  keeper
	tasks   tasks
	roster  roster

	evicted             [reasons]atomic.Uint64
	dials, dialErrors   atomic.Uint64
	dialTime            atomic.Int64
	timeouts, cancelled atomic.Uint64
	failed              atomic.Uint64
}

// New makes a pool. It dials nothing itself; if Config.MinIdle asks for
// connections they are made in the background. It fails with a
// [*ConfigError], or with the error of a backend that cannot do what is asked.
func New(c Config) (*Pool, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	p := &Pool{cfg: c, hooks: newHooks(c.Hook), epoch: time.Now()}
	p.probeAfter = int64(c.ProbeAfter)
	switch {
	case c.BorrowerAsks:
		p.probeAfter = -1
	case c.ProbeAfter == 0:
		p.probeAfter = defaultProbeAfter
	}
	p.checkReturns = p.probeAfter != 0 && !c.BorrowerAsks
	p.stamps = p.probeAfter > 0 || c.MaxIdleTime > 0
	p.gate = gate{limit: c.MaxDialing, backoff: c.DialBackoff, now: p.now}
	p.sweeper.init(p)
	p.ending, p.end = context.WithCancel(context.Background())
	b, err := c.Backend(
		backend.Factory[*Member]{New: p.newMember, Close: (*Member).close},
		backend.Limits{Max: c.MaxConns, MaxWaiters: c.MaxWaiters, DialTimeout: c.DialTimeout})
	if err != nil {
		return nil, err
	}
	p.backend = b
	if c.MinIdle > 0 {
		p.keeper.start(p)
	}
	return p, nil
}

// now reads the pool's clock: nanoseconds since it was made, plus one so that
// no time is zero.
func (p *Pool) now() int64 { return int64(time.Since(p.epoch)) + 1 }

// time translates a time of the pool's clock.
func (p *Pool) time(at int64) time.Time { return p.epoch.Add(time.Duration(at - 1)) }

// Get lends a connection: young enough, alive and clean. If none is idle it
// dials one, and if that is not allowed it waits in turn. End the loan with
// [Conn.Close].
//
// The error is an [*Error]: its cause is ctx's, a dial's, ErrClosed,
// ErrTooManyWaiters or a [*BackoffError]. A dial that ctx ended before its
// time goes on, and its connection is kept for others.
func (p *Pool) Get(ctx context.Context) (*Conn, error) {
	if p.cfg.GetTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.cfg.GetTimeout)
		defer cancel()
	}
	if p.hooks.get != nil {
		return p.getObserved(ctx)
	}
	return p.take(ctx)
}

const (
	// maxStale is how many connections past use a Get takes out before it
	// stops looking for a better one and dials in place of the last.
	maxStale = 16
	// justNow is how long a connection that nobody has had counts as one
	// that was dialed for whoever gets it.
	justNow = 100 * time.Millisecond
)

// take is Get without what is around it.
func (p *Pool) take(ctx context.Context) (*Conn, error) {
	for stale := 1; ; stale++ {
		lease, err := p.backend.Acquire(ctx)
		if err != nil {
			return nil, p.getFailed(err)
		}
		m := lease.Value
		reused := m.loans > 1 || p.now()-m.life.ready > int64(justNow)
		if reused {
			why := p.examine(ctx, m, lease)
			if why != kept && stale < maxStale {
				m.evictAs(why)
				_ = p.backend.Return(lease, backend.Discard)
				continue
			}
			if why != kept {
				m.loans-- // its handle goes unused
				if _, err := p.redial(ctx, m, lease, why); err != nil {
					return nil, p.getFailed(err)
				}
				reused = false
			}
		}
		c := m.handle.Load()
		if reused && !c.Reused() { // it has idled since its dial
			c.state.Or(loanReused)
		}
		p.beginLoan(m, lease)
		p.keeper.poke()
		return c, nil
	}
}

// examine says why a connection that was idle cannot be lent, if so.
func (p *Pool) examine(ctx context.Context, m *Member, lease backend.Lease[*Member]) Reason {
	if why := m.overdue(p.sweeper.horizon.Load()); why != kept {
		return why
	}
	if p.probeAfter < 0 || p.probeAfter > 0 && p.now()-m.idleSince < p.probeAfter {
		return kept
	}
	return p.probe(ctx, m, lease)
}

// Do lends a connection to f and ends the loan when f returns: it is kept or
// closed as health decides, and closed if f panics. ctx bounds the wait for
// the connection and all I/O of f on it, as [conn.Conn.Do] does; f must not
// call that itself. The error is Get's or f's.
func (p *Pool) Do(ctx context.Context, f func(*Conn) error) error {
	c, err := p.Get(ctx)
	if err != nil {
		return err
	}
	defer c.Evict() // if f panics; else the loan has ended by then
	err = c.Conn.Do(ctx, func() error { return f(c) })
	_ = c.Close()
	return err
}

// Clear closes the connections that are idle, and those lent when they come
// back: for when all are known to be of no more use. Dials in progress are given
// up and their contexts cancelled. Callers that wait get new ones.
func (p *Pool) Clear() {
	p.generation.Add(1)
	p.backend.Clear()
}

// Resize changes Config.MaxConns, with its meaning but for zero, which is invalid.
// What is open beyond a smaller max is closed, lent connections when they come
// back; dials beyond it are given up, the newest first, and their callers wait
// on. It fails with an error that is [errors.ErrUnsupported] if the backend
// cannot, or if Config.MinIdle is more.
func (p *Pool) Resize(max int) error {
	r, ok := p.backend.(backend.Resizer)
	switch {
	case max == 0:
		return &ConfigError{"MaxConns", "cannot be resized to zero", nil}
	case max > 0 && p.cfg.MinIdle > max:
		return &ConfigError{"MinIdle", "is larger than MaxConns", nil}
	case !ok:
		return p.fail("resize", errors.ErrUnsupported)
	}
	if err := r.Resize(max); err != nil {
		return p.fail("resize", err)
	}
	p.keeper.poke() // there may be room now
	return nil
}

// Close ends the pool. Callers that wait get ErrClosed at once, idle
// connections are closed, and those lent are closed when they come back, for
// which Close waits. When ctx ends it closes those too, under their borrowers'
// hands, and returns an [*Error] that is ctx's. When it returns no connection
// is open and no goroutine of the pool is left. A second Close waits as well.
//
// It must not be called from a hook.
func (p *Pool) Close(ctx context.Context) error {
	p.closed.Store(true)
	p.end()
	p.sweeper.stop()
	p.keeper.stop()
	err := p.backend.Close(ctx)
	p.tasks.stop()
	if err != nil {
		return p.fail("close", err)
	}
	return nil
}

// getFailed counts a failed Get and makes its error.
func (p *Pool) getFailed(err error) error {
	// A connection that was meant for a caller who gave up has become idle
	// unseen: a sweep a little later finds it and keeps its times.
	p.sweeper.look()
	p.keeper.poke() // a dial that failed has left room
	e := p.fail("get", err)
	switch {
	case errors.Is(err, ErrTooManyWaiters): // the backend counts these
	case errors.Is(err, context.Canceled):
		p.cancelled.Add(1)
	case e.Timeout():
		p.timeouts.Add(1)
	default:
		p.failed.Add(1)
	}
	return e
}

// fail makes an error that shows the pool's state.
func (p *Pool) fail(op string, err error) *Error {
	s := p.backend.Stat()
	return &Error{
		Op: op, Addr: p.cfg.Address, Err: err, LastDialError: p.gate.lastFailure(),
		MaxConns: s.Max, Open: s.Open(), Idle: s.Idle, Dialing: s.Dialing, Waiting: s.Waiting,
	}
}
