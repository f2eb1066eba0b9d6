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
	// Conn is the loan's own handle on the connection.
	conn.Conn

	life  *life
	state atomic.Uint64 // how many loans of the same member came before, and the marks below
}

// A pool makes a Conn for each loan, so it is kept as small as can be.
const (
	loanEnded  uint64 = 1 << iota
	loanReused        // as Reused
	loanOne           // the first loan; each is a multiple of it
)

// ended reports whether the loan has ended.
func (c *Conn) ended() bool { return c.state.Load()&loanEnded != 0 }

// end ends the loan, and reports whether it had not ended before.
func (c *Conn) end() bool { return c.state.Or(loanEnded)&loanEnded == 0 }

// Close ends the loan. A healthy connection goes back to the pool; one on
// which an operation has failed, timed out or is in progress, or that has
// unread bytes, a half-done message, a deadline set or too high an age, is
// closed. Close always returns nil, and does nothing if the loan has ended.
//
// What has not arrived cannot be seen: who does not wait for the answer to
// what he has written must [Conn.Evict] the connection, lest the next borrower
// gets it.
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
	if c.ended() {
		return nil
	}
	return c.life.session
}

// Reused reports whether the connection has been another's before, or has been
// idle, and was not dialed just now.
func (c *Conn) Reused() bool { return c.state.Load()&loanReused != 0 }

// CreatedAt returns when the dial of the connection began.
func (c *Conn) CreatedAt() time.Time { return c.life.member.pool.time(c.life.born) }

// loansEnded is the number of loans of the member that have ended, if this is
// its live handle.
func (c *Conn) loansEnded() uint64 {
	state := c.state.Load()
	return state/loanOne + state&loanEnded
}

// Replace closes the connection and dials another in its place, past those
// idle in the pool: for the borrower who finds a pooled connection dead on its
// first use. The loan's place in the pool goes over to the Conn returned, so
// it works when all connections are lent. c has ended, and if Replace fails
// the loan with it.
//
// ctx, Config.GetTimeout and Config.DialTimeout bound the dial, which keeps to
// Config.MaxDialing and Config.DialBackoff as all do.
func (c *Conn) Replace(ctx context.Context) (*Conn, error) {
	m := c.life.member
	p := m.pool
	if p.cfg.GetTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.cfg.GetTimeout)
		defer cancel()
	}
	if !c.end() {
		return nil, p.fail("replace", errHandleClosed)
	}
	why := Dead // it may look well, but its borrower knows better
	if err := c.Reusable(); err != nil {
		why = c.unfit(err)
	}
	lease := m.lease
	used := p.endLoan(m)
	h, err := p.redial(ctx, m, lease, why)
	if err == nil {
		p.beginLoan(m, lease)
	}
	p.released(used, why)
	if err != nil {
		return nil, p.fail("replace", err)
	}
	return h, nil
}

// settle ends the loan, for the reason given or as health decides.
func (c *Conn) settle(why Reason) {
	if !c.end() {
		return
	}
	m := c.life.member // ours until it is given back
	p := m.pool
	last := c // the live handle
	if why == kept {
		next := m.newHandle(loanReused)
		if err := c.Handoff(&next.Conn); err != nil {
			why = c.unfit(err)
		} else {
			last = next
			m.handle.Store(next)
			why = p.judge(next)
		}
	}
	lease := m.lease
	used := p.endLoan(m)
	if why == kept {
		p.keep(m, last, lease)
	} else {
		m.evictAs(why)
		_ = p.backend.Return(lease, backend.Discard) // stale if Close has lost patience
		_ = last.Conn.Close()                        // beside the backend's own, so that c is of no more use at once
	}
	p.released(used, why)
}

// keep gives a healthy member back, its next handle in place.
func (p *Pool) keep(m *Member, next *Conn, lease backend.Lease[*Member]) {
	if p.stamps {
		m.rest(p.now())
	}
	deadline := m.deadline
	if p.backend.Return(lease, backend.Keep) != nil {
		_ = next.Conn.Close() // the pool has lost patience meanwhile
		return
	}
	// Only now: a sweep between judge and Return has not seen it.
	if deadline <= p.sweeper.horizon.Load() {
		p.sweeper.look()
	} else if p.cfg.MaxIdleTime > 0 {
		p.sweeper.arm(deadline)
	}
}

// unfit makes the reason of what Reusable or Handoff has said.
func (c *Conn) unfit(err error) Reason {
	switch {
	case errors.Is(err, conn.ErrUnread):
		return Dirty
	case c.Err() != nil:
		return Broken
	}
	return Unfit
}

// judge says why a connection that was fit to be handed on cannot be kept, if
// so.
func (p *Pool) judge(next *Conn) Reason {
	switch {
	case next.life.expires <= p.sweeper.horizon.Load():
		return Expired
	case p.closed.Load():
		return PoolClosed
	case next.life.member.generation != p.generation.Load():
		return Cleared
	}
	if p.checkReturns {
		return p.inspect(next)
	}
	return kept
}

// inspect asks the kernel for bytes nobody has read, where the loan has moved
// any at all.
func (p *Pool) inspect(c *Conn) Reason {
	m := c.life.member
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

// beginLoan notes that m is lent from now on, for those who want to know.
func (p *Pool) beginLoan(m *Member, lease backend.Lease[*Member]) {
	m.lease = lease
	if p.hooks.release != nil {
		m.lentAt = p.now()
	}
	if p.cfg.LeakReport != nil {
		m.leak = p.watch()
	}
}

// endLoan notes that m is lent no longer. It belongs to the caller still. If
// the hook wants to know, it returns how long the loan was.
func (p *Pool) endLoan(m *Member) (used time.Duration) {
	if m.leak != nil {
		m.leak.timer.Stop()
		m.leak = nil
	}
	if p.hooks.release != nil {
		used = time.Duration(p.now() - m.lentAt)
	}
	return used
}
