package pool

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// Member is a connection as the backend of a pool sees it: an opaque value. It
// is exported because the type of Config.Backend needs it.
type Member struct {
	pool       *Pool
	generation uint64 // Pool.generation when its dial began, as the backend has it

	// The live handle: of the caller that has it, or while idle of the next
	// caller. Written by the owner; a Close that does not wait reads it.
	handle atomic.Pointer[Conn]
	// Since when it is idle, or negative, since when it is checked out, on the
	// pool's clock. Written by the owner.
	since atomic.Int64
	// What evictAs noted; nil while the member goes on.
	end atomic.Pointer[eviction]
	// The number that EvictConn was given, to end the connection of that number.
	unwanted atomic.Uint64

	mu sync.Mutex // guards Conn and life of the live handle while Replace changes them

	// All below belongs to the owner: who has acquired it from the backend. Times are those of the
	// pool's clock.
	lease    backend.Lease[*Member]
	life     *life
	handles  []Conn // allocated last; see newHandle
	made     int    // how many of them are in use, or were
	uses     uint64 // how many handles were made before the live one
	deadline int64  // until when it may be idle
	moved    uint64 // bytes read and written when it was last released
	read     uint64 // bytes read when it was last checked out
	answered bool   // the peer has sent something on this connection
	probed   int64  // when KeepAlive last looked, 0 if it has not
	watch    *watch // nil unless somebody observes checkouts
	doing    *doing // nil unless Pool.Do has it

	// Guarded by roster.mu.
	place   int   // in the roster, counted from 1; 0: not there
	expires int64 // when it expires
}

// end is why a member ends.
type eviction struct {
	why Reason
	err error // the error behind it, or nil
}

// life is what never changes about one connection. A member has a new one when
// a dial replaces its connection.
type life struct {
	member  *Member
	id      uint64
	born    int64  // when its dial began
	ready   int64  // when it was ready to be checked out
	expires int64  // when it may be checked out no longer
	uses    uint64 // of the member before it
	session any
}

// newLife returns the life of a connection whose dial begins now. Its lifetime
// is decided here.
func (m *Member) newLife() *life {
	p := m.pool
	l := &life{member: m, id: p.ids.Add(1), born: p.clock.now(), expires: never}
	if lifetime := p.cfg.MaxLifetime; lifetime > 0 {
		if jitter := p.cfg.LifetimeJitter; jitter > 0 {
			lifetime -= rand.N(jitter + 1)
		}
		l.expires = later(l.born, lifetime)
	}
	return l
}

// maxChunk is how many handles are allocated at a time, once a connection has
// been used that often.
const maxChunk = 64

// newHandle returns a handle that was never used. Handles come from chunks,
// each twice as large as the one before, and are never used again: a caller
// that keeps one after Close has something that is nobody else's.
func (m *Member) newHandle(marks uint64) *Conn {
	if m.made == len(m.handles) {
		m.handles = make([]Conn, min(max(2*m.made, 1), maxChunk))
		m.made = 0
	}
	h := &m.handles[m.made]
	m.made++
	h.life = m.life
	h.state.Store(m.uses*connUse | marks)
	m.uses++
	return h
}

// install makes c the member's connection: of a new handle, or of into, a
// handle whose own connection has been closed. c is closed if that fails.
func (m *Member) install(c *conn.Conn, l *life, into *Conn) error {
	l.uses = m.uses
	if into != nil {
		l.uses-- // the checkout goes on
	}
	m.life, m.moved, m.answered = l, 0, false
	h := into
	if h == nil {
		h = m.newHandle(0)
	}
	m.mu.Lock()
	h.life = l
	err := c.Handoff(&h.Conn)
	m.mu.Unlock()
	if err != nil {
		_ = c.Close()
		return err
	}
	m.handle.Store(h)
	return nil
}

// live returns the live handle, and copies of what Replace may change in it.
func (m *Member) live() (h *Conn, c conn.Conn, l *life) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h = m.handle.Load()
	return h, h.Conn, h.life
}

// rest notes that the member is idle from now on.
func (m *Member) rest(now int64) {
	m.since.Store(now)
	m.deadline = m.life.expires
	if idle := m.pool.cfg.MaxIdleTime; idle > 0 {
		m.deadline = min(m.deadline, later(now, idle))
	}
}

// trusted is since when nobody knows whether an idle member is alive.
func (m *Member) trusted() int64 { return max(m.since.Load(), m.probed) }

// overdue says why an idle member may not be kept, if so.
func (m *Member) overdue(now int64) Reason {
	switch {
	case m.deadline > now:
		return kept
	case m.life.expires <= now:
		return Expired
	}
	return IdleTooLong
}

// evictAs notes and counts why the member ends, unless that is known.
func (m *Member) evictAs(why Reason, err error) {
	if m.end.CompareAndSwap(nil, &eviction{why, err}) {
		m.pool.countEvicted(why)
	}
}

// close ends the connection. It is the backend's Factory.Close.
func (m *Member) close() {
	p := m.pool
	h, c, l := m.closeLive()
	switch { // if the pool has not asked for it, the backend had its reasons
	case p.closed.Load():
		m.evictAs(PoolClosed, nil)
	case m.generation != p.generation.Load():
		m.evictAs(Cleared, nil)
	default:
		m.evictAs(Surplus, nil)
	}
	p.roster.remove(m, h.usesEnded(), &c)
	p.minIdle.poke()
	p.suspended.Send()
	p.hasEnded(l, &c, h.usesEnded()-l.uses, *m.end.Load())
}

// closeLive closes the connection through its live handle. Where a Close of the
// pool does not wait for callers, one may be releasing the connection at this
// moment: then the handle changes, and the new one is the one to close.
func (m *Member) closeLive() (*Conn, conn.Conn, *life) {
	for {
		h, c, l := m.live()
		_ = c.Close()
		for h.releasing() && m.handle.Load() == h {
			runtime.Gosched() // between two atomic steps of the caller
		}
		if m.handle.Load() == h {
			return h, c, l
		}
	}
}

// hasEnded tells the hooks of the end of a connection.
func (p *Pool) hasEnded(l *life, c *conn.Conn, uses uint64, e eviction) {
	if len(p.hooks.evict) == 0 {
		return
	}
	event := EvictEvent{
		Addr: p.target.Address, ID: l.id, Peer: c.RemoteAddr(), Reason: e.why, Err: e.err,
		Age: time.Duration(p.clock.now() - l.born), Uses: uses, BytesRead: c.BytesRead(), BytesWritten: c.BytesWritten(),
	}
	for _, hook := range p.hooks.evict {
		hook.AfterEvict(event)
	}
}
