package pooltest

import (
	"slices"
	"strconv"
	"testing/synctest"
)

// open is the number of resources that are open.
func (m *model) open() int { return len(m.idle) + len(m.out) }

// live returns the dials in progress that have not been given up.
func (m *model) live() []*gate {
	return slices.DeleteFunc(m.dialing(), (*gate).void)
}

// resizeSome changes the maximum. What is open is kept up to the new one, in use
// resources longer; of the dials no more are given up than are too many.
func (m *model) resizeSome() {
	n := 1 + m.rnd.IntN(4)
	m.note("resize to " + strconv.Itoa(n))
	dials := m.live()
	m.resize(m.resizer, n)
	synctest.Wait()
	m.max = n

	kept := min(len(m.idle), max(n-len(m.out), 0))
	m.idle = slices.DeleteFunc(m.idle, func(r *Resource) bool { return r.closed.Load() == 1 })
	if len(m.idle) != kept {
		m.wrong("resized to %d: %d idle resources are kept, %d in use", n, len(m.idle), len(m.out))
	}
	kept = min(len(dials), max(n-m.open(), 0))
	if left := len(slices.DeleteFunc(dials, (*gate).void)); left != kept {
		m.wrong("resized to %d: %d dials go on, %d are open", n, left, m.open())
	}
}
