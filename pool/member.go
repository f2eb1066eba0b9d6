package pool

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// Member is a connection as the pool's backend sees it: an opaque value. It is
// exported to be named where a backend is chosen, as in
// slotpool.Open[*pool.Member].
type Member struct {
	pool       *Pool
	generation uint64 // Pool.generation when it began, as the backend has it

	// The live handle: the borrower's, or while idle the next borrower's.
	// Written by the owner; a Close that has lost patience reads it.
	handle atomic.Pointer[Conn]
	// Why it ends, a Reason; the first to say so is right.
	reason atomic.Uint32

	// All below belongs to the owner of the lease. Times are nanoseconds on
	// the pool's clock.
	lease     backend.Lease[*Member]
	life      *life
	handles   []Conn // allocated last; see newHandle
	made      int    // how many of them are in use, or were
	loans     uint64 // how many handles were made before the live one
	idleSince int64  // when it was dialed or last came back; if Pool.stamps
	deadline  int64  // until when it may be idle
	lentAt    int64  // if Pool.hooks.release is set
	moved     uint64 // bytes read and written when it last came back
	leak      *leakWatch
}

// life is what never changes about one connection. A member has a new one when
// a dial replaces its connection.
type life struct {
	member  *Member
	born    int64  // when its dial began
	ready   int64  // when it was ready to be lent
	expires int64  // when it may be lent no longer
	loans   uint64 // of the member before it
	session any
}

// newLife returns the life of a connection whose dial begins now, its lifetime
// rolled.
func (m *Member) newLife() *life {
	p := m.pool
	l := &life{member: m, born: p.now(), expires: never}
	if lifetime := p.cfg.MaxLifetime; lifetime > 0 {
		if jitter := p.cfg.LifetimeJitter; jitter > 0 {
			lifetime -= rand.N(jitter + 1)
		}
		l.expires = later(l.born, lifetime)
	}
	return l
}

// later is d after at, or never.
func later(at int64, d time.Duration) int64 { return at + min(int64(d), never-at) }

// maxChunk is how many handles are allocated at a time, once a connection has
// proved to be used that often.
const maxChunk = 64

// newHandle returns a handle that was never used. Handles come from chunks,
// each twice as large as the one before, and are never used again: whoever
// keeps one after Close holds something that will never be anybody's.
func (m *Member) newHandle(marks uint64) *Conn {
	if m.made == len(m.handles) {
		m.handles = make([]Conn, min(max(2*m.made, 1), maxChunk))
		m.made = 0
	}
	h := &m.handles[m.made]
	m.made++
	h.life = m.life
	h.state.Store(m.loans*loanOne | marks)
	m.loans++
	return h
}

// adopt makes a new connection the member's.
func (m *Member) adopt(c *conn.Conn, l *life) error {
	l.loans = m.loans
	m.life, m.moved = l, 0
	h := m.newHandle(0)
	if err := c.Handoff(&h.Conn); err != nil {
		_ = c.Close()
		return err
	}
	m.rest(l.ready)
	m.handle.Store(h)
	return nil
}

// rest notes that the member is idle from now on.
func (m *Member) rest(now int64) {
	m.idleSince, m.deadline = now, m.life.expires
	if idle := m.pool.cfg.MaxIdleTime; idle > 0 {
		m.deadline = min(m.deadline, later(now, idle))
	}
}

// overdue says why an idle member may not be kept, if so.
func (m *Member) overdue(horizon int64) Reason {
	switch {
	case m.deadline > horizon:
		return kept
	case m.life.expires <= horizon:
		return Expired
	}
	return IdleTooLong
}

// evictAs notes and counts why the member ends, unless that is known.
func (m *Member) evictAs(r Reason) {
	if m.reason.CompareAndSwap(uint32(kept), uint32(r)) {
		m.pool.evicted[r].Add(1)
	}
}

// close ends the connection. It is the backend's Factory.Close.
func (m *Member) close() {
	p, h := m.pool, m.handle.Load()
	// The error is that of closing a socket, or that it is closed already.
	// If a borrower hands it on at this moment, in spite of a Close that has
	// lost patience, his lease is stale and he closes it himself.
	_ = h.Conn.Close()
	switch { // if the pool has not asked for it, the backend had its reasons
	case p.closed.Load():
		m.evictAs(PoolClosed)
	case m.generation != p.generation.Load():
		m.evictAs(Cleared)
	default:
		m.evictAs(Surplus)
	}
	p.roster.remove(m)
	p.keeper.poke()
	p.hasEnded(h, Reason(m.reason.Load()))
}

// hasEnded tells the hook of the end of the connection of h.
func (p *Pool) hasEnded(h *Conn, why Reason) {
	if hook := p.hooks.evict; hook != nil {
		hook.AfterEvict(EvictEvent{
			Addr: p.cfg.Address, Reason: why,
			Age: time.Duration(p.now() - h.life.born), Uses: h.loansEnded() - h.life.loans,
		})
	}
}

// roster is the list of all connections and when they expire. It changes when
// one is made or ends, not when one is lent.
type roster struct {
	mu      sync.Mutex // guards what follows
	expires map[*Member]int64
	gone    uint64 // loans of those that have ended
}

func (r *roster) add(m *Member, expires int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.expires == nil {
		r.expires = make(map[*Member]int64)
	}
	r.expires[m] = expires
}

func (r *roster) remove(m *Member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.expires, m)
	r.gone += m.handle.Load().loansEnded()
}

// replaced notes that m has another connection.
func (r *roster) replaced(m *Member, expires int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, here := r.expires[m]; here {
		r.expires[m] = expires
	}
}

// next returns the first time after now when one expires.
func (r *roster) next(now int64) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := int64(never)
	for _, at := range r.expires {
		if at > now {
			next = min(next, at)
		}
	}
	return next
}

// loans returns how many loans have ended.
func (r *roster) loans() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.gone
	for m := range r.expires {
		n += m.handle.Load().loansEnded()
	}
	return n
}
