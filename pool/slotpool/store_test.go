package slotpool

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
	"github.com/seed-99d6a01a/gtcp/pool/engine"
)

// stocked returns a store with n idle entries, in the order of their slots.
func stocked(n int) (*store[int], []*engine.Entry[int]) {
	s := newStore[int]()
	var all []*engine.Entry[int]
	for range n {
		e := &engine.Entry[int]{}
		s.Add(e)
		s.Put(e)
		all = append(all, e)
	}
	return s, all
}

// sizes are of stores whose words are looked at one by one, whose are marked,
// and whose marks take more than a word.
var sizes = []int{1, 64, 65, 512, 513, 4096, 5000}

func TestLowestFirst(t *testing.T) {
	for _, n := range sizes {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			s, all := stocked(n)
			require.Equal(t, n, s.Idle())
			for range 2 {
				for i, e := range all {
					require.Same(t, e, s.Claim(), i)
				}
				require.Nil(t, s.Claim())
				require.Zero(t, s.Idle())
				for i := range all {
					e := all[len(all)-1-i]
					s.Put(e)
					require.Same(t, e, s.Claim(), "the lowest")
					s.Put(e)
				}
			}
		})
	}
}

// A slot that is free again goes to the next entry.
func TestSlotsAreUsedAgain(t *testing.T) {
	s, _ := stocked(1000)
	for range 1000 {
		s.Remove(s.Claim())
	}
	for range 1000 {
		e := &engine.Entry[int]{}
		s.Add(e)
		s.Put(e)
	}
	require.Len(t, *s.chunks.Load(), 16)
	require.Equal(t, 1000, s.Idle())
}

// Nobody is left waiting for what is idle, however callers meet, and however
// many slots there are to look at.
func TestNobodyIsStranded(t *testing.T) {
	for _, n := range []int{64, 600, 5000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) { strand(t, n) })
	}
}

// strand has all of n in use but a few, which many callers acquire once a round.
// Were one left waiting at its end, nobody would come to wake it.
func strand(t *testing.T, n int) {
	const few, callers, rounds = 3, 8, 3000
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p, err := Open(backend.Factory[int]{
		New:   func(context.Context) (int, error) { return 0, nil },
		Close: func(int) {},
	}, backend.Limits{Max: n})
	require.NoError(t, err)
	take := func(n int) (all []backend.Lease[int]) {
		for range n {
			l, err := p.Acquire(ctx)
			require.NoError(t, err, "%+v", p.Stat())
			all = append(all, l)
		}
		return all
	}
	put := func(all []backend.Lease[int]) {
		for _, l := range all {
			require.NoError(t, p.Return(l, backend.Keep))
		}
	}
	held := take(n)
	for i := range few { // each in another chunk, if there are as many
		at := i * (len(held) - 1) / few
		require.NoError(t, p.Return(held[at], backend.Keep))
		held = append(held[:at], held[at+1:]...)
	}
	for range rounds {
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				l, err := p.Acquire(ctx)
				if err != nil {
					t.Errorf("%v: %+v", err, p.Stat())
					return
				}
				if err := p.Return(l, backend.Keep); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if t.Failed() {
			break
		}
		put(take(few)) // all can be found
	}
	put(held)
	require.NoError(t, p.Close(ctx))
}

// A Put between a failed claim and the unmarking of a chunk, which saw the mark
// and left it, is found: the chunk is marked again.
func TestUnmarkSeesWhatCameBetween(t *testing.T) {
	s, all := stocked(1000) // marks count
	for range all {
		require.NotNil(t, s.Claim())
	}
	late := all[700]
	chunk := late.Ref.(*slot[int]).chunk
	chunk.marks.Or(chunk.mark) // as it was when Put looked
	s.Put(late)
	s.mu.Lock()
	chunk.unmark()
	s.mu.Unlock()
	require.NotZero(t, chunk.marks.Load()&chunk.mark)
	require.Same(t, late, s.Claim())

	s.mu.Lock()
	chunk.unmark()
	s.mu.Unlock()
	require.Zero(t, chunk.marks.Load()&chunk.mark, "nothing is idle in it")
}

// BenchmarkClaim claims one of the few that are left.
func BenchmarkClaim(b *testing.B) {
	for _, n := range []int{64, 512, 1024, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s, _ := stocked(n)
			for range n - 10 {
				s.Claim()
			}
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if e := s.Claim(); e != nil {
						s.Put(e)
					}
				}
			})
		})
	}
}
