package pool

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// Conn is a connection on loan: a [conn.Conn] that Close gives back. Its
// methods may be called from several goroutines.
//
// A Conn is good for one loan and is never used again. After Close each of its
// methods fails with an error that is net.ErrClosed, or does nothing: however
// long a stale Conn is kept, it cannot touch the next borrower's connection.
type Conn struct {
	*conn.Conn

	handle  conn.Conn // what the embedded pointer points to
	member  *Member
	session any
	born    int64
	reused  bool
	ended   atomic.Bool
}

// Close ends the loan. A healthy connection goes back to the pool; one on
// which an operation has failed, timed out or is in progress, or that has
// unread bytes, a half-done message, a deadline set or too high an age, is
// closed. Close always returns nil, and does nothing if the loan has ended.
func (c *Conn) Close() error {
	c.settle(kept)
	return nil
}

// Evict ends the loan and closes the connection, whatever its health: for the
// borrower who knows better. It does nothing if the loan has ended.
//
// (It is not named Discard because [conn.Conn.Discard] skips bytes.)
func (c *Conn) Evict() { c.settle(Discarded) }

// Session returns what Config.AfterConnect returned for this connection, nil
// if there is none or the loan has ended.
func (c *Conn) Session() any {
	if c.ended.Load() {
		return nil
	}
	return c.session
}

// Reused reports whether the connection was idle or another's before, and not
// dialed for this loan.
func (c *Conn) Reused() bool { return c.reused }

// CreatedAt returns when the dial of the connection began, the zero time if
// the loan has ended.
func (c *Conn) CreatedAt() time.Time {
	if c.ended.Load() {
		return time.Time{}
	}
	return c.member.pool.time(c.born)
}

// Replace closes the connection and dials another in its place, past those
// idle in the pool: for the borrower who finds a pooled connection dead on its
// first use. The loan's place in the pool goes over to the Conn returned, so
// it works when all connections are lent. c has ended, and if Replace fails
// the loan with it.
//
// ctx and Config.DialTimeout bound the dial, which keeps to Config.MaxDialing
// and Config.DialBackoff as all do.
func (c *Conn) Replace(ctx context.Context) (*Conn, error) {
	if !c.ended.CompareAndSwap(false, true) {
		return nil, c.member.pool.fail("replace", errHandleClosed)
	}
	m, p := c.member, c.member.pool
	lease := m.lease
	now := p.now()
	m.endLoan(now)
	h, err := p.redial(ctx, m, p.judge(c, now))
	if err != nil {
		m.evictAs(Broken)
		m.giveBack(lease, backend.Discard)
		return nil, p.fail("replace", err)
	}
	m.beginLoan(lease, p.now())
	return h, nil
}

// settle ends the loan, for the reason given or as health decides.
func (c *Conn) settle(why Reason) {
	if !c.ended.CompareAndSwap(false, true) {
		return
	}
	m := c.member // ours until it is given back
	p := m.pool
	lease := m.lease
	now := p.now()
	m.endLoan(now)
	if why == kept {
		why = p.judge(c, now)
	}
	if why == kept {
		next := m.newHandle()
		if err := c.Conn.Handoff(&next.handle); err == nil {
			p.keep(m, next, lease, now)
			return
		}
		why = Unfit
	}
	lent := now - m.lentAt
	m.evictAs(why)
	m.giveBack(lease, backend.Discard)
	_ = c.Conn.Close() // now, beside the backend's own, so that c is of no more use
	p.released(lent, why)
}

// keep gives a healthy member back, its next handle in place.
func (p *Pool) keep(m *Member, next *Conn, lease backend.Lease[*Member], now int64) {
	m.rest(now)
	m.handle.Store(next)
	deadline, lent := m.deadline, now-m.lentAt
	if !m.giveBack(lease, backend.Keep) {
		_ = next.Conn.Close() // the pool has lost patience meanwhile
		return
	}
	p.sweeper.arm(deadline) // only now: a sweep before would not have seen it
	p.released(lent, kept)
}

// giveBack returns the lease. It reports false if the backend had ended it.
func (m *Member) giveBack(lease backend.Lease[*Member], v backend.Verdict) bool {
	return m.pool.backend.Return(lease, v) == nil
}

// judge says why a connection that comes back cannot be kept, if so.
func (p *Pool) judge(c *Conn, now int64) Reason {
	m := c.member
	if err := c.Conn.Reusable(); err != nil {
		switch {
		case errors.Is(err, conn.ErrUnread):
			return Dirty
		case c.Conn.Err() != nil:
			return Broken
		}
		return Unfit
	}
	if now >= m.expires {
		return Expired
	}
	if p.checkReturns {
		return p.inspect(c)
	}
	return kept
}

// inspect asks the kernel for bytes nobody has read, where the loan has moved
// any at all.
func (p *Pool) inspect(c *Conn) Reason {
	m := c.member
	moved := c.Conn.BytesRead() + c.Conn.BytesWritten()
	if moved == m.moved {
		return kept
	}
	m.moved = moved
	switch err := c.Conn.Check(); {
	case err == nil:
		return kept
	case errors.Is(err, conn.ErrUnread):
		return Dirty
	case p.cfg.ProbeAfter < 0:
		return kept // who wants no probe is lent what its peer has closed
	}
	return Dead
}

// beginLoan notes that m is lent from now on.
func (m *Member) beginLoan(lease backend.Lease[*Member], now int64) {
	m.lease, m.lentAt = lease, now
	m.uses.Add(1)
	if m.pool.cfg.LeakReport != nil {
		m.leak = m.pool.watch(now)
	}
}

// endLoan notes that m is lent no longer.
func (m *Member) endLoan(now int64) {
	m.used.Add(now - m.lentAt)
	if m.leak != nil {
		m.leak.stop()
		m.leak = nil
	}
}
