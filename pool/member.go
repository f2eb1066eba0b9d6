package pool

import (
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// never is a time that does not come, on the pool's clock.
const never = math.MaxInt64

// Member is a connection as the pool's backend sees it: an opaque value. It is
// exported to be named where a backend is chosen, as in
// slotpool.Open[*pool.Member].
type Member struct {
	pool *Pool

	// The live handle: the borrower's, or while idle the next borrower's.
	// Written by the owner; a Close that has lost patience reads it.
	handle atomic.Pointer[Conn]
	// Why it ends, a Reason; the first to say so is right.
	reason atomic.Uint32
	// Counters: written by the owner, read by Stat.
	uses atomic.Uint64
	used atomic.Int64 // total time lent, ns
	// Of the present connection; redial changes them.
	born       atomic.Int64 // when its dial began
	generation atomic.Uint64

	// All below belongs to the owner of the lease. Times are nanoseconds
	// on the pool's clock.
	handles   []Conn // to be lent next; see newHandle
	chunk     int
	lease     backend.Lease[*Member]
	expires   int64 // when its life ends
	idleSince int64 // when it was dialed or last came back
	deadline  int64 // when it may be idle no longer
	lentAt    int64
	moved     uint64 // bytes read and written when it last came back
	session   any
	leak      *leakWatch
}

// maxChunk is how many handles are allocated at a time, once a connection has
// proved to be used that often.
const maxChunk = 64

// newHandle returns a handle that was never used. Handles come from chunks,
// each twice as large as the one before, and are never used again: whoever
// keeps one after Close holds something that will never be anybody's.
func (m *Member) newHandle() *Conn {
	if len(m.handles) == 0 {
		m.chunk = min(max(2*m.chunk, 1), maxChunk)
		m.handles = make([]Conn, m.chunk)
	}
	h := &m.handles[0]
	m.handles = m.handles[1:]
	h.Conn, h.member, h.session, h.born = &h.handle, m, m.session, m.born.Load()
	return h
}

// adopt makes a new connection the member's.
func (m *Member) adopt(c *conn.Conn, session any, born, now int64) error {
	m.session = session
	m.born.Store(born)
	h := m.newHandle()
	if err := c.Handoff(&h.handle); err != nil {
		_ = c.Close()
		return err
	}
	cfg := &m.pool.cfg
	m.expires = never
	if cfg.MaxLifetime > 0 {
		m.expires = born + int64(cfg.MaxLifetime)
		if cfg.LifetimeJitter > 0 {
			m.expires -= int64(rand.N(cfg.LifetimeJitter + 1))
		}
	}
	m.rest(now)
	m.handle.Store(h)
	return nil
}

// rest notes that the member is idle from now on.
func (m *Member) rest(now int64) {
	m.idleSince, m.deadline = now, m.expires
	if idle := int64(m.pool.cfg.MaxIdleTime); idle > 0 {
		m.deadline = min(m.deadline, now+idle)
	}
}

// overdue says why an idle member may not be kept at time now, if so.
func (m *Member) overdue(now int64) Reason {
	switch {
	case now < m.deadline:
		return kept
	case now >= m.expires:
		return Expired
	}
	return IdleTooLong
}

// close ends the connection. It is the backend's Factory.Close.
func (m *Member) close() {
	p := m.pool
	// The error is that of closing a socket or that it is closed already.
	// If a borrower hands it on at this moment, in spite of a Close that has
	// lost patience, his lease is stale and he closes it himself.
	_ = m.handle.Load().Conn.Close()
	reason := Reason(m.reason.Load())
	switch {
	case reason != kept:
	case p.closed.Load():
		reason = PoolClosed
	case m.generation.Load() != p.generation.Load():
		reason = Cleared
	default:
		reason = Surplus
	}
	p.roster.remove(m, reason)
	p.keeper.poke()
	if h := p.hooks.evict; h != nil {
		h.AfterEvict(EvictEvent{
			Addr: p.cfg.Address, Reason: reason,
			Age: time.Duration(p.now() - m.born.Load()), Uses: m.uses.Load(),
		})
	}
}

// evictAs notes why the member ends, unless that is known.
func (m *Member) evictAs(r Reason) { m.reason.CompareAndSwap(uint32(kept), uint32(r)) }

// roster is the list of all connections, for the figures. It changes when one
// is made or ends, not when one is lent.
type roster struct {
	mu      sync.Mutex
	members map[*Member]struct{}
	gone    tally // of those that have ended
	evicted [reasons]uint64
}

// tally is what members count.
type tally struct {
	uses uint64
	used time.Duration
}

func (t *tally) add(m *Member) {
	t.uses += m.uses.Load()
	t.used += time.Duration(m.used.Load())
}

func (r *roster) add(m *Member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.members == nil {
		r.members = make(map[*Member]struct{})
	}
	r.members[m] = struct{}{}
}

func (r *roster) remove(m *Member, why Reason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.members, m)
	r.gone.add(m)
	r.evicted[why]++
}

// replaced counts a connection that ended while its member goes on.
func (r *roster) replaced(why Reason) {
	r.mu.Lock()
	r.evicted[why]++
	r.mu.Unlock()
}

// sum returns the figures of all members, past and present.
func (r *roster) sum() (t tally, evicted [reasons]uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t = r.gone
	for m := range r.members {
		t.add(m)
	}
	return t, r.evicted
}
