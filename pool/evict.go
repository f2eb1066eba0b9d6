package pool

// EvictConn closes the connection with the given number, which [Pool.Conns] and
// the hooks tell. An idle connection is closed soon, one that is checked out when
// it is released. The reason is Discarded. EvictConn reports whether the pool has
// such a connection. It does not wait for the close.
func (p *Pool) EvictConn(id uint64) bool {
	for _, m := range p.roster.members() {
		if _, _, l := m.live(); l.id != id {
			continue
		}
		m.unwanted.Store(id)
		p.unwanted.Store(true)
		p.sweepUnwanted()
		return true
	}
	return false
}

// sweepUnwanted closes the idle connections that EvictConn has named. It does so
// in the background, for a sweep may wait for another one, which probes.
func (p *Pool) sweepUnwanted() {
	if !p.tasks.begin() {
		return
	}
	go func() {
		defer p.tasks.end()
		p.backend.Sweep(func(m *Member) bool {
			if m.unwanted.Load() != m.life.id {
				return true
			}
			m.evictAs(Discarded, nil)
			return false
		})
	}()
}
