package puddlepool

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/pool/engine"
)

// entries adds n entries and makes them idle.
func entries(s *store[int], n int) (all []*engine.Entry[int]) {
	for range n {
		e := &engine.Entry[int]{}
		s.Add(e)
		s.Put(e)
		all = append(all, e)
	}
	return all
}

// A sweep leaves the order as it was, and what is acquired meanwhile is what
// would have been without it.
func TestSweepKeepsTheOrder(t *testing.T) {
	s := newStore[int]()
	all := entries(s, 5)
	seen := 0
	s.Sweep(func(e *engine.Entry[int]) {
		seen++
		s.Put(e)
		if seen == 3 {
			first := s.Claim()
			require.Same(t, all[4], first, "the last to be put")
			s.Put(first)
		}
	})
	require.Equal(t, 5, seen)
	for range 3 {
		s.Sweep(s.Put)
	}
	last := map[*engine.Entry[int]]bool{}
	for range 5 {
		last[s.Claim()] = true
	}
	require.Len(t, last, 5)
	require.Nil(t, s.Claim())

	for _, e := range all {
		s.Put(e)
	}
	s.Sweep(s.Put)
	for i := range all {
		require.Same(t, all[len(all)-1-i], s.Claim())
	}
}

// What comes back during a sweep and was seen is not seen again.
func TestSweepSeesOnce(t *testing.T) {
	s := newStore[int]()
	entries(s, 4)
	seen := map[*engine.Entry[int]]int{}
	s.Sweep(func(e *engine.Entry[int]) {
		seen[e]++
		var held []*engine.Entry[int]
		for other := s.Claim(); other != nil; other = s.Claim() {
			held = append(held, other)
		}
		s.Put(e)
		for _, other := range held {
			s.Put(other)
		}
	})
	require.Len(t, seen, 4)
	for e, n := range seen {
		require.Equal(t, 1, n, e)
	}
	require.Equal(t, 4, s.Idle())
}

// What is made during a sweep takes no turn of what was idle before, and does not
// keep the sweep from its end.
func TestSweepPassesTheNewOver(t *testing.T) {
	s := newStore[int]()
	var seen []*engine.Entry[int]
	old := entries(s, 4)
	s.Sweep(func(e *engine.Entry[int]) {
		seen = append(seen, e)
		s.Remove(e)
		entries(s, 1)
	})
	require.ElementsMatch(t, old, seen)
	require.Equal(t, 4, s.Idle())
}
