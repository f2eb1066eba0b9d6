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

// scanned is the most chunks that are looked at one by one. Where there are
// more, their marks say which are worth a look.
const scanned = 8

// store keeps idle entries as bits.
//
// A chunk is marked by whoever finds it unmarked after setting a bit in it. It
// is unmarked only with mu held, and marked again if a bit is set then. So with
// mu held, each chunk with an entry whose Put has returned is marked; without
// it, a mark may be missing for a moment, or be there in vain.
type store[T any] struct {
	// chunks is replaced, with mu held, when it grows. It never shrinks, so
	// whoever has an older copy misses only what came later.
	chunks atomic.Pointer[[]*chunk[T]]

	mu sync.Mutex // guards the free bits, the growth and the unmarking
}

// chunk is 64 slots.
type chunk[T any] struct {
	idle  atomic.Uint64  // bit i: slot i has an idle entry
	marks *atomic.Uint64 // shared by 64 chunks
	mark  uint64         // the bit in marks that is this chunk's
	_     [40]byte       // idle changes all the time, the slots hardly
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
	n := len(chunks)
	c := &chunk[T]{free: ^uint64(0), marks: new(atomic.Uint64), mark: 1 << (n % chunkSize)}
	if n%chunkSize != 0 {
		c.marks = chunks[n-1].marks
	}
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
	c := at.chunk
	c.idle.Or(1 << at.bit)
	if c.marks.Load()&c.mark == 0 {
		c.marks.Or(c.mark)
	}
}

// Claim implements engine.Store: the lowest idle slot is taken first.
func (s *store[T]) Claim() *engine.Entry[T] {
	chunks := *s.chunks.Load()
	if len(chunks) > scanned {
		return s.claimMarked(chunks)
	}
	for _, c := range chunks {
		if e := c.claim(^uint64(0)); e != nil {
			return e
		}
	}
	return nil
}

// claimMarked is Claim where the marks save looking at most chunks. What it
// finds nothing in it unmarks, unless another is at it.
func (s *store[T]) claimMarked(chunks []*chunk[T]) *engine.Entry[T] {
	for i := marked(chunks, 0); i < len(chunks); i = marked(chunks, i+1) {
		if e := chunks[i].claim(^uint64(0)); e != nil {
			return e
		}
		if s.mu.TryLock() {
			chunks[i].unmark()
			s.mu.Unlock()
		}
	}
	// To say that there is nothing, look while no mark can be missing.
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := marked(chunks, 0); i < len(chunks); i = marked(chunks, i+1) {
		if e := chunks[i].claim(^uint64(0)); e != nil {
			return e
		}
		chunks[i].unmark()
	}
	return nil
}

// marked returns the first of chunks from i on that is marked, or, if none is,
// a number beyond them.
func marked[T any](chunks []*chunk[T], i int) int {
	for i < len(chunks) {
		if m := chunks[i].marks.Load() >> (i % chunkSize); m != 0 {
			return i + bits.TrailingZeros64(m)
		}
		i += chunkSize - i%chunkSize
	}
	return i
}

// unmark says that nothing is idle in c, if that is so. store.mu is held.
func (c *chunk[T]) unmark() {
	c.marks.And(^c.mark)
	if c.idle.Load() != 0 {
		c.marks.Or(c.mark)
	}
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
