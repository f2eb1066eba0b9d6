package pool

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// settle ends the checkout: for the reason given, or as health decides.
func (c *Conn) settle(why Reason, cause error) {
	if c.state.Or(connEnded)&(connEnded|connReplacing) != 0 {
		return
	}
	m := c.life.member // the caller's until it is returned
	p := m.pool
	now, exact := p.releaseTime(m)
	last := c // the live handle
	if why != kept {
		why, cause = c.reason(cause, nil)
	} else {
		next := m.newHandle(connReused)
		if err := c.Handoff(&next.Conn); err != nil {
			why, cause = c.reason(nil, err)
		} else {
			last = next
			m.handle.Store(next)
			why, cause = p.judge(next, now)
		}
	}
	lease := m.lease
	if why == kept && !exact && (m.answered || last.Conn.BytesRead() == 0) { // nothing to learn, nobody to tell
		p.keep(m, last, lease, now)
		return
	}
	info := releaseInfo{now: now, why: why, err: cause, reused: c.Reused(), conn: &last.Conn}
	p.learn(m, info)
	event := p.release(m, info)
	if why == kept {
		p.keep(m, last, lease, now)
	} else {
		if last == c {
			c.state.Or(connSettled)
		}
		m.evictAs(why, cause)
		p.discard(lease, &last.Conn)
	}
	event.tell()
}

// releaseTime is when a checkout ends. Where nothing depends on the exact time,
// it is when it began, for to read the clock costs a fifth of a Get and Close.
// The pool learns from the exact ones, one in eight at least.
func (p *Pool) releaseTime(m *Member) (now int64, exact bool) {
	begun := -m.since.Load()
	if p.stamps || m.watch != nil || m.made&7 == 0 || begun <= p.distrusted.Load() || p.admission.seen.Load() < knownFrom {
		return p.clock.now(), true
	}
	return begun, false
}

// keep returns a healthy member, whose next handle is in place.
func (p *Pool) keep(m *Member, next *Conn, lease backend.Lease[*Member], now int64) {
	m.rest(now)
	deadline, id := m.deadline, next.life.id
	if p.backend.Return(lease, backend.Keep) != nil {
		return // a Close did not wait, and has closed it
	}
	if p.unwanted.Load() && m.unwanted.Load() == id { // since judge
		p.sweepUnwanted()
	}
	// Only now: a sweep between judge and Return has not seen it.
	if deadline <= p.reaper.horizon.Load() {
		p.reaper.look()
	} else if p.cfg.MaxIdleTime > 0 {
		p.reaper.arm(deadline)
	}
}

// discard ends a checkout and its connection. The backend closes that too, on a
// goroutine; here it is closed at once, so that its handle is of no more use.
func (p *Pool) discard(lease backend.Lease[*Member], c *conn.Conn) {
	_ = p.backend.Return(lease, backend.Discard) // stale if a Close does not wait
	p.closeConn(c)                               // after: to close may take long, and the place is free
}

// closeConn closes a connection, and lets a Close of the pool wait for that: to
// whoever comes second it would look closed before it is. If that Close is past
// waiting, it has closed the connection itself.
func (p *Pool) closeConn(c *conn.Conn) {
	if p.tasks.begin() {
		defer p.tasks.end()
		_ = c.Close()
	}
}

// reason says what is wrong with the connection of a checkout that ends, where
// the caller's error may be more than the connection knows. unfit is why it
// could not be handed on, nil if nobody has tried.
func (c *Conn) reason(cause, unfit error) (Reason, error) {
	fatal := c.Err()
	switch {
	case fatal != nil:
		unfit = nil // for the same reason
	case unfit == nil:
		unfit = c.Reusable()
	}
	err := cause
	for _, known := range []error{fatal, unfit} {
		if err == nil {
			err = known
		}
	}
	switch {
	case fatal == nil && conn.KindOf(cause) == conn.KindTimeout:
		return TimedOut, err
	case errors.Is(fatal, conn.ErrUnread), errors.Is(unfit, conn.ErrUnread):
		return Dirty, err
	case conn.KindOf(unfit) == conn.KindTimeout:
		return TimedOut, err
	case errors.Is(fatal, io.EOF):
		return PeerClosed, err
	case fatal != nil:
		return Broken, err
	case unfit != nil:
		return Unfit, err
	}
	return Discarded, err
}

// judge says why a connection that was fit to be handed on cannot be kept, if
// so.
func (p *Pool) judge(next *Conn, now int64) (Reason, error) {
	switch {
	case next.life.expires <= max(now, p.reaper.horizon.Load()):
		return Expired, nil
	case p.closed.Load():
		return PoolClosed, nil
	case next.life.member.generation != p.generation.Load():
		return Cleared, nil
	case p.unwanted.Load() && next.life.member.unwanted.Load() == next.life.id:
		return Discarded, nil
	}
	if p.cfg.Probe.Mode != ProbeByCaller && (p.cfg.Probe.After != 0 || p.cfg.Probe.Mode == ProbeNever) {
		return p.inspect(next)
	}
	return kept, nil
}

// inspect asks the kernel for bytes nobody has read, where the checkout has
// moved any at all.
func (p *Pool) inspect(c *Conn) (Reason, error) {
	m := c.life.member
	moved := c.Conn.BytesRead() + c.Conn.BytesWritten()
	if moved == m.moved {
		return kept, nil
	}
	m.moved = moved
	why, err := diagnose(c.Conn.Check())
	if why == Dead && p.cfg.Probe.Mode == ProbeNever {
		return kept, nil // with no probe, Get may return what its peer has closed
	}
	return why, err
}

// releaseInfo is what is known of a checkout that ends.
type releaseInfo struct {
	now    int64
	why    Reason
	err    error
	reused bool
	conn   *conn.Conn
}

// learn draws conclusions from a checkout that ends: how long a call takes,
// whether the peer replies, and whether other connections can be trusted.
func (p *Pool) learn(m *Member, info releaseInfo) {
	begun := -m.since.Load()
	if info.now > begun {
		p.admission.observe(info.now - begun)
	}
	read := info.conn.BytesRead()
	if !m.answered {
		switch {
		case read > 0:
			m.answered = true
			p.gate.Answered()
		case (info.why == PeerClosed || info.why == Broken) && !info.reused:
			p.gate.Unanswered(p.clock.time(m.life.born), info.err)
		}
	}
	if info.why == kept {
		return
	}
	silent := info.reused && read == m.read
	switch kind := conn.KindOf(info.err); {
	case info.why == Broken && (kind == conn.KindReset || kind == conn.KindTimeout):
		p.distrust(info.now)
	case silent && info.why == TimedOut:
		p.distrust(begun)
	}
}

// distrust says that a connection has failed in a way that others, idle since
// before the given time, may share.
func (p *Pool) distrust(before int64) {
	for {
		old := p.distrusted.Load()
		if before <= old {
			return
		}
		if p.distrusted.CompareAndSwap(old, before) {
			p.reaper.look()
			return
		}
	}
}

// watch is what is noted about a checkout if somebody observes it.
type watch struct {
	leak          *leakWatch
	ctx           context.Context
	read, written uint64 // when it began
}

// beginCheckout notes that m is checked out from now on.
func (p *Pool) beginCheckout(ctx context.Context, m *Member, lease backend.Lease[*Member], now int64) {
	m.lease = lease
	c := &m.handle.Load().Conn
	m.read = c.BytesRead()
	m.since.Store(-now)
	m.doing = nil
	if len(p.hooks.release) > 0 || p.cfg.LeakReport != nil {
		m.watch = &watch{ctx: ctx, read: m.read, written: c.BytesWritten()}
		if p.cfg.LeakReport != nil {
			m.watch.leak = p.watchLeak()
		}
	}
}

// releaseTold is a release that the hooks are told of, when the member has been
// returned and nothing is lost if one panics.
type releaseTold struct {
	pool  *Pool
	ctx   context.Context
	event ReleaseEvent
}

// release notes that m is checked out no longer. It belongs to the caller
// still.
func (p *Pool) release(m *Member, info releaseInfo) (told releaseTold) {
	w := m.watch
	if w == nil {
		return told
	}
	m.watch = nil
	if w.leak != nil {
		w.leak.timer.Stop()
	}
	if len(p.hooks.release) == 0 {
		return told
	}
	return releaseTold{p, w.ctx, ReleaseEvent{
		Addr: p.target.Address, ID: m.life.id, Used: time.Duration(info.now + m.since.Load()),
		BytesRead: info.conn.BytesRead() - w.read, BytesWritten: info.conn.BytesWritten() - w.written,
		Kept: info.why == kept, Reason: info.why, Err: info.err,
	}}
}

func (r releaseTold) tell() {
	if r.pool == nil {
		return
	}
	for _, h := range r.pool.hooks.release {
		h.AfterRelease(r.ctx, r.event)
	}
}
