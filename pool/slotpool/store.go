package slotpool

import (
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/seed-99d6a01a/gtcp/pool/engine"
)

// chunkSize is the number of slots that share a word.
const chunkSize = 64

// store keeps idle entries as bits.
type store[T any] struct {
	// chunks is replaced, with mu held, when it grows. It never shrinks, so
	// whoever has an older copy misses only what came later.
	chunks atomic.Pointer[[]*chunk[T]]

	mu sync.Mutex // guards the free bits and the growth
}

// chunk is 64 slots.
type chunk[T any] struct {
	idle  atomic.Uint64 // bit i: slot i has an idle entry
	_     [56]byte      // the word changes all the time, the slots hardly
	slots [chunkSize]atomic.Pointer[engine.Entry[T]]
	free  uint64 // bit i: slot i has no entry; guarded by store.mu
}

// slot is what Entry.Ref is. The entry in a slot changes, its place does not.
type slot[T any] struct {
	chunk *chunk[T]
	bit   int
}

func newStore[T any]() *store[T] {
	s := &store[T]{}
	s.chunks.Store(new([]*chunk[T]))
	return s
}

// Add implements engine.Store: the entry gets the lowest free slot.
func (s *store[T]) Add(e *engine.Entry[T]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	chunks := *s.chunks.Load()
	for _, c := range chunks {
		if c.free != 0 {
			c.take(e)
			return
		}
	}
	c := &chunk[T]{free: ^uint64(0)}
	c.take(e)
	grown := append(slices.Clip(chunks), c)
	s.chunks.Store(&grown)
}

// take puts e into the lowest free slot. store.mu is held.
func (c *chunk[T]) take(e *engine.Entry[T]) {
	i := bits.TrailingZeros64(c.free)
	c.free &^= 1 << i
	e.Ref = &slot[T]{chunk: c, bit: i}
	c.slots[i].Store(e)
}

// Remove implements engine.Store.
func (s *store[T]) Remove(e *engine.Entry[T]) {
	at := e.Ref.(*slot[T])
	s.mu.Lock()
	defer s.mu.Unlock()
	at.chunk.slots[at.bit].Store(nil)
	at.chunk.free |= 1 << at.bit
}

// Put implements engine.Store.
func (s *store[T]) Put(e *engine.Entry[T]) {
	at := e.Ref.(*slot[T])
	at.chunk.idle.Or(1 << at.bit)
}

// Claim implements engine.Store: the lowest idle slot is lent first.
func (s *store[T]) Claim() *engine.Entry[T] {
	for _, c := range *s.chunks.Load() {
		if e := c.claim(^uint64(0)); e != nil {
			return e
		}
	}
	return nil
}

// claim takes the lowest idle entry among those in mask. Its bit cleared, the
// slot is the caller's alone, so there is no entry but the one it held.
func (c *chunk[T]) claim(mask uint64) *engine.Entry[T] {
	for {
		idle := c.idle.Load()
		lowest := idle & mask & -(idle & mask)
		if lowest == 0 {
			return nil
		}
		if c.idle.CompareAndSwap(idle, idle&^lowest) {
			return c.slots[bits.TrailingZeros64(lowest)].Load()
		}
	}
}

// Sweep implements engine.Store. Sweeps do not wait for each other.
func (s *store[T]) Sweep(visit func(*engine.Entry[T])) {
	for _, c := range *s.chunks.Load() {
		for todo := c.idle.Load(); todo != 0; {
			lowest := todo & -todo
			todo &^= lowest
			if e := c.claim(lowest); e != nil {
				visit(e)
			}
		}
	}
}

// Idle implements engine.Store.
func (s *store[T]) Idle() int {
	n := 0
	for _, c := range *s.chunks.Load() {
		n += bits.OnesCount64(c.idle.Load())
	}
	return n
}
