package pool

import (
	"cmp"
	"iter"
	"net"
	"slices"
	"time"
)

// ConnStat is a snapshot of one connection of a pool.
type ConnStat struct {
	// ID is the number of the connection, the same in all events.
	ID uint64
	// LocalAddr is the address on this side.
	LocalAddr net.Addr
	// RemoteAddr is the address of the peer.
	RemoteAddr net.Addr
	// InUse reports whether the connection is checked out.
	InUse bool
	// Since is when the connection was checked out or, if it is idle, when
	// it became idle. In a pool without a setting that depends on the idle
	// time, Since of an idle connection can be the start of its last
	// checkout.
	Since time.Time
	// CreatedAt is when its dial began.
	CreatedAt time.Time
	// ExpiresAt is when its lifetime ends. It is zero if nothing bounds that.
	ExpiresAt time.Time
	// Uses counts its checkouts, one in progress included.
	Uses uint64
	// BytesRead counts the bytes received over its life.
	BytesRead uint64
	// BytesWritten counts the bytes sent over its life.
	BytesWritten uint64
}

// Conns returns the connections of the pool, in the order of their numbers. The
// pool is not locked during the iteration, so the snapshots are not all from
// the same moment.
func (p *Pool) Conns() iter.Seq[ConnStat] {
	return func(yield func(ConnStat) bool) {
		all := p.roster.members()
		stats := make([]ConnStat, len(all))
		for i, m := range all {
			stats[i] = m.stat()
		}
		slices.SortFunc(stats, func(a, b ConnStat) int { return cmp.Compare(a.ID, b.ID) })
		for _, s := range stats {
			if !yield(s) {
				return
			}
		}
	}
}

func (m *Member) stat() ConnStat {
	h, c, l := m.live()
	clock := &m.pool.clock
	s := ConnStat{
		ID: l.id, LocalAddr: c.LocalAddr(), RemoteAddr: c.RemoteAddr(),
		CreatedAt: clock.time(l.born), Uses: h.usesEnded() - l.uses,
		BytesRead: c.BytesRead(), BytesWritten: c.BytesWritten(),
	}
	since := m.since.Load()
	if since < 0 {
		s.InUse, since = true, -since
		if !h.ended() {
			s.Uses++
		}
	}
	s.Since = clock.time(since)
	if l.expires != never {
		s.ExpiresAt = clock.time(l.expires)
	}
	return s
}
