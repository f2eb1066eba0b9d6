package pool

import (
	"slices"
	"sync"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// roster is the list of all connections and when they expire. It changes when
// one is made or ends, not when one is checked out.
type roster struct {
	mu            sync.Mutex // guards what follows
	all           []*Member
	uses          uint64 // checkouts of those that have ended
	read, written uint64 // bytes of those that have ended
}

func (r *roster) add(m *Member, expires int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, m)
	m.place, m.expires = len(r.all), expires
}

// remove forgets m, whose connection was c.
func (r *roster) remove(m *Member, uses uint64, c *conn.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.place > 0 {
		last := r.all[len(r.all)-1]
		r.all[m.place-1], last.place = last, m.place
		r.all[len(r.all)-1] = nil
		r.all = r.all[:len(r.all)-1]
		m.place = 0
	}
	r.uses += uses
	r.read += c.BytesRead()
	r.written += c.BytesWritten()
}

// replaced notes that m has another connection than old.
func (r *roster) replaced(m *Member, expires int64, old *conn.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.read += old.BytesRead()
	r.written += old.BytesWritten()
	m.expires = expires
}

// next returns the first time after now when one expires.
func (r *roster) next(now int64) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := int64(never)
	for _, m := range r.all {
		if m.expires > now {
			next = min(next, m.expires)
		}
	}
	return next
}

// totals returns how many checkouts have ended, and the bytes moved so far.
func (r *roster) totals() (uses, read, written uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	uses, read, written = r.uses, r.read, r.written
	for _, m := range r.all {
		h, c, _ := m.live()
		uses += h.usesEnded()
		read += c.BytesRead()
		written += c.BytesWritten()
	}
	return uses, read, written
}

// members returns those there are.
func (r *roster) members() []*Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}
