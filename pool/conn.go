package pool

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// Conn is a connection that is checked out: a [conn.Conn] whose Close releases
// it to the pool. Its methods may be called from several goroutines, except
// that nothing else may use the Conn during Replace.
//
// A Conn is valid for one checkout. After Close each of its methods fails
// with an error that is net.ErrClosed, or does nothing. It can never affect
// the connection of the next caller.
type Conn struct {
	// Conn is this checkout's own handle on the connection.
	conn.Conn

	life  *life
	state atomic.Uint64 // how many checkouts of the same member came before, and the marks below
}

// A pool makes a Conn for each checkout, so it is kept as small as can be.
const (
	connEnded     uint64 = 1 << iota // by Close or Evict
	connSettled                      // the end is settled, and no other handle follows
	connReplacing                    // Replace is in progress
	connReused                       // as Reused
	connUse                          // the first checkout; each is a multiple of it
)

func (c *Conn) ended() bool { return c.state.Load()&connEnded != 0 }

// releasing reports whether the checkout has ended, and what follows is not
// decided yet.
func (c *Conn) releasing() bool {
	return c.state.Load()&(connEnded|connSettled|connReplacing) == connEnded
}

// usesEnded is the number of checkouts of the member that have ended, if this
// is its live handle.
func (c *Conn) usesEnded() uint64 {
	state := c.state.Load()
	return state/connUse + state&connEnded
}

// Close ends the checkout. A healthy connection is kept for the next caller. It
// is closed if an operation has failed, has timed out or is in progress. It is
// also closed if it has unread bytes, an incomplete message or a deadline, or
// if it is too old. Close always returns nil. It does nothing if the checkout
// has ended.
//
// A reply still in flight cannot be detected. If you wrote a request and did
// not read its reply, call Evict; otherwise the next caller may read that
// reply.
func (c *Conn) Close() error {
	c.settle(kept, nil)
	return nil
}

// Evict ends the checkout and closes the connection, even if it is healthy.
// The Reason of the eviction says what is wrong with the connection. It is
// Discarded if nothing is wrong. It does nothing if the checkout has ended.
//
// It is not named Discard, because [conn.Conn.Discard] skips bytes.
func (c *Conn) Evict() { c.settle(Discarded, nil) }

// EvictFor is Evict for a caller that has an error. The Reason is chosen by
// the error, and hooks get the error. If err is a timeout or a reset, and the
// connection was idle before this checkout, other connections that have been
// idle for as long may be dead too. The pool then probes or closes them before
// the next caller gets them.
func (c *Conn) EvictFor(err error) { c.settle(Discarded, err) }

// Session returns what Config.AfterConnect returned for this connection. It is
// nil if there is none or the checkout has ended.
func (c *Conn) Session() any {
	if c.ended() {
		return nil
	}
	return c.life.session
}

// Reused reports whether the connection was checked out before, or was idle.
// False means that it was dialed for this Get, or by Replace.
func (c *Conn) Reused() bool { return c.state.Load()&connReused != 0 }

// ID returns the number of the connection, the same in all events of its pool.
// It is never 0.
func (c *Conn) ID() uint64 { return c.life.id }

// CreatedAt returns when the dial of the connection began.
func (c *Conn) CreatedAt() time.Time { return c.life.member.pool.clock.time(c.life.born) }

// Replace closes the connection and dials a new one in its place, without
// trying the idle ones. Use it when the first operation on a reused connection
// fails. The Conn stays checked out and has the new connection, so it works
// when all connections of the pool are in use. If Replace fails, the checkout
// has ended.
//
// ctx, Config.GetTimeout and Config.DialTimeout bound the dial. It keeps to
// Config.MaxDialing and Config.DialBackoff.
func (c *Conn) Replace(ctx context.Context) error {
	m := c.life.member
	p := m.pool
	_ = ctx.Err() // a nil ctx panics here, where nothing is lost
	if p.cfg.GetTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.cfg.GetTimeout)
		defer cancel()
	}
	if !c.beginReplace() {
		return p.fail("replace", errHandleClosed)
	}
	lease := m.lease
	why, cause := c.reason(nil, nil)
	if why == Discarded {
		why = Dead // it looks well, but its caller knows better
	}
	if err := p.replace(ctx, m, lease, why, cause, c); err != nil {
		return p.fail("replace", err)
	}
	if m.watch != nil {
		m.watch.read, m.watch.written = 0, 0
	}
	if m.doing != nil {
		m.doing.bound(p, c.Conn)
	}
	if !c.endReplace() { // closed meanwhile
		told := p.release(m, releaseInfo{now: p.clock.now(), why: Discarded, conn: &c.Conn})
		m.evictAs(Discarded, nil)
		p.discard(lease, &c.Conn)
		told.tell()
		return p.fail("replace", errHandleClosed)
	}
	return nil
}

// replace is Replace for the owner of the checkout. The hooks hear of its end if
// it fails, or if the user's code panics.
func (p *Pool) replace(ctx context.Context, m *Member, lease backend.Lease[*Member], why Reason, cause error, c *Conn) (err error) {
	done := false
	defer func() {
		if !done {
			told := p.release(m, releaseInfo{now: p.clock.now(), why: why, err: cause, conn: &c.Conn})
			told.tell()
		}
	}()
	err = p.redial(ctx, m, lease, why, cause, c)
	done = err == nil
	return err
}

// beginReplace reports whether Replace may go on. Until endReplace, Close and
// Evict leave the end of the checkout to it.
func (c *Conn) beginReplace() bool {
	for {
		state := c.state.Load()
		if state&(connEnded|connReplacing) != 0 {
			return false
		}
		if c.state.CompareAndSwap(state, state|connReplacing) {
			return true
		}
	}
}

// endReplace reports whether the checkout goes on.
func (c *Conn) endReplace() bool {
	for {
		state := c.state.Load()
		next := state &^ (connReplacing | connReused)
		if state&connEnded != 0 {
			next |= connSettled
		}
		if c.state.CompareAndSwap(state, next) {
			return state&connEnded == 0
		}
	}
}
