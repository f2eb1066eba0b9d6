package pool

import (
	"context"
	"errors"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

const (
	// maxStale is how many connections past use a Get takes out before it
	// stops looking for a better one and dials in place of the last.
	maxStale = 16
	// justNow is how long a connection that nobody has had counts as one that
	// was dialed for the caller that gets it.
	justNow = 100 * time.Millisecond
)

// Get acquires a connection that is young enough, alive and clean. It takes an
// idle one, or dials one if none is idle. If MaxConns is reached, it waits in
// the queue. Release it with [Conn.Close].
//
// The error is an [*Error]. Its cause is ctx's error, a dial's, ErrClosed,
// ErrTooManyWaiters, ErrOverloaded or a [*conn.BackoffError]. If ctx ends while
// a dial is in progress, the dial goes on, and its connection is kept for other
// callers.
func (p *Pool) Get(ctx context.Context) (*Conn, error) {
	if p.cfg.GetTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.cfg.GetTimeout)
		defer cancel()
	}
	if p.hooks.gets != nil {
		return p.getObserved(ctx)
	}
	c, _, err := p.acquire(ctx)
	return c, err
}

// acquire is Get without what is around it. It also returns how long the
// connection was idle.
func (p *Pool) acquire(ctx context.Context) (*Conn, time.Duration, error) {
	for stale := 1; ; stale++ {
		lease, err := p.backend.Acquire(ctx)
		if err != nil {
			return nil, 0, p.getFailed(err)
		}
		m := lease.Value
		now := p.clock.now()
		idle := now - m.since.Load()
		reused := m.uses > 1 || now-m.life.ready > int64(justNow)
		if reused {
			why, cause := p.examine(ctx, m, lease, now)
			if why != kept && stale < maxStale {
				m.evictAs(why, cause)
				_ = p.backend.Return(lease, backend.Discard)
				continue
			}
			if why != kept {
				m.uses-- // its handle goes unused, and stays what Stat sees meanwhile
				if err := p.redial(ctx, m, lease, why, cause, nil); err != nil {
					return nil, 0, p.getFailed(err)
				}
				reused, now = false, p.clock.now()
			} else if p.cfg.Probe.Func != nil {
				now = p.clock.now() // it may have taken its time
			}
		}
		c := m.handle.Load()
		if reused && !c.Reused() { // it has idled since its dial
			c.state.Or(connReused)
		}
		p.beginCheckout(ctx, m, lease, now)
		p.minIdle.poke()
		return c, time.Duration(idle), nil
	}
}

// errDistrusted is why a connection is Suspect.
var errDistrusted = errors.New("pool: another connection, in use at the time, timed out or was reset")

// examine says why a connection that was idle cannot be checked out, if so.
func (p *Pool) examine(ctx context.Context, m *Member, lease backend.Lease[*Member], now int64) (Reason, error) {
	if why := m.overdue(max(now, p.reaper.horizon.Load())); why != kept {
		return why, nil
	}
	since := m.trusted()
	if since <= p.distrusted.Load() {
		if p.cfg.Probe.Func == nil {
			return Suspect, errDistrusted
		}
		return p.check(ctx, m, lease)
	}
	if p.cfg.Probe.Mode != ProbeOnGet || now-since < int64(p.cfg.Probe.After) {
		return kept, nil
	}
	return p.check(ctx, m, lease)
}

// Do acquires a connection, calls f with it, and releases it when f returns. A
// healthy connection is kept, any other is closed. If f panics, the connection
// is closed. ctx limits the wait for the connection and all I/O of f on it, as
// [conn.Conn.Do] does. f must not call conn.Conn.Do. If f calls [Conn.Replace],
// the new connection is closed when ctx ends. The error is Get's or f's.
func (p *Pool) Do(ctx context.Context, f func(*Conn) error) error {
	c, err := p.Get(ctx)
	if err != nil {
		return err
	}
	defer c.Evict() // if f panics; else the checkout has ended by then
	d := &doing{ctx: ctx}
	c.life.member.doing = d
	err = c.Conn.Do(ctx, func() error { return f(c) })
	if d.stop != nil && !d.stop() && err != nil {
		err = &conn.Error{Op: "do", Addr: c.RemoteAddr(), Err: contextError(ctx, err)}
	}
	if err != nil && c.Reusable() != nil {
		c.EvictFor(err)
	} else {
		_ = c.Close()
	}
	return err
}

// doing is a Do in progress.
type doing struct {
	ctx  context.Context
	stop func() bool // of the bound of a connection that Replace made
}

// bound closes c when the Do's context ends.
func (d *doing) bound(p *Pool, c conn.Conn) {
	if d.stop != nil {
		d.stop()
	}
	d.stop = context.AfterFunc(d.ctx, func() { p.closeConn(&c) })
}
