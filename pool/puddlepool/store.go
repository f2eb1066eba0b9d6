package puddlepool

import (
	"context"
	"math"
	"slices"
	"sync"

	"github.com/jackc/puddle/v2"

	"github.com/seed-99d6a01a/gtcp/pool/engine"
)

// store keeps idle entries in a puddle. Each entry is a resource of the puddle
// from Add to Remove: acquired there while somebody has it, idle there while
// nobody does.
//
// The puddle is only ever asked for what it has, under mu, so it never waits,
// dials or destroys: a resource enters by CreateResource, with a constructor
// that just hands it over, and leaves by Hijack. That is how its traps are
// avoided; see the package comment.
type store[T any] struct {
	// sweeping has room for one: sweeps take turns. A channel, for a
	// callback may wait long, and synctest sees who waits for a channel.
	sweeping chan struct{} // made by the first

	mu      sync.Mutex // guards what follows and the making of sweeping; never held during a callback
	puddle  *puddle.Pool[*engine.Entry[T]]
	newborn *engine.Entry[T]   // what the constructor hands over
	idle    int                // idle in the puddle or set aside
	sweep   uint64             // number of the last sweep
	active  bool               // whether it is in progress
	aside   []*engine.Entry[T] // idle and seen by it, the first seen first
}

// resource is what Entry.Ref is.
type resource[T any] struct {
	res  *puddle.Resource[*engine.Entry[T]]
	seen uint64 // the last sweep to see it, or to pass it over
}

func newStore[T any]() *store[T] {
	s := &store[T]{}
	p, err := puddle.NewPool(&puddle.Config[*engine.Entry[T]]{
		Constructor: func(context.Context) (*engine.Entry[T], error) { return s.newborn, nil },
		Destructor:  nil,           // not called: see Remove
		MaxSize:     math.MaxInt32, // the engine holds the maximum
	})
	must(err)
	s.puddle = p
	return s
}

// must panics with an error that puddle cannot return.
func must(err error) {
	if err != nil {
		panic("bug: a puddle that is never closed, empty or full says: " + err.Error())
	}
}

// Add implements engine.Store.
func (s *store[T]) Add(e *engine.Entry[T]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.newborn = e
	must(s.puddle.CreateResource(context.Background()))
	s.newborn = nil
	r := &resource[T]{res: s.take()} // the last in is the first out
	if s.active {
		r.seen = s.sweep // which looks only at what was there before: so it ends
	}
	e.Ref = r
}

// Remove implements engine.Store.
func (s *store[T]) Remove(e *engine.Entry[T]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.Ref.(*resource[T]).res.Hijack()
}

// Claim implements engine.Store: the last to be put is the first to be acquired,
// so what is not needed grows old.
func (s *store[T]) Claim() *engine.Entry[T] {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.idle == 0 {
		return nil
	}
	s.idle--
	if len(s.aside) > 0 {
		e := s.aside[0]
		s.aside = s.aside[1:]
		return e
	}
	return s.take().Value()
}

// take acquires from the puddle what is known to be idle there. mu is held.
// TryAcquire does what Acquire would, and reads no clock.
func (s *store[T]) take() *puddle.Resource[*engine.Entry[T]] {
	res, err := s.puddle.TryAcquire(context.Background())
	must(err)
	return res
}

// Put implements engine.Store.
func (s *store[T]) Put(e *engine.Entry[T]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle++
	r := e.Ref.(*resource[T])
	if s.active && r.seen == s.sweep {
		s.aside = append(s.aside, e)
		return
	}
	r.res.ReleaseUnused() // Release reads the clock, which costs a fifth of all
}

// Sweep implements engine.Store. A puddle gives out only the last in, so what
// has been seen is set aside, where Claim finds it, until all has been.
func (s *store[T]) Sweep(visit func(*engine.Entry[T])) {
	turns := s.turns()
	turns <- struct{}{}
	defer func() { <-turns }()
	s.mu.Lock()
	s.sweep++
	s.active = true
	s.mu.Unlock()
	defer s.endSweep()
	for e := s.unseen(); e != nil; e = s.unseen() {
		visit(e)
	}
}

// turns returns the channel in which sweeps take turns.
func (s *store[T]) turns() chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sweeping == nil {
		s.sweeping = make(chan struct{}, 1)
	}
	return s.sweeping
}

// unseen claims an entry that the sweep in progress has not seen.
func (s *store[T]) unseen() *engine.Entry[T] {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.idle == len(s.aside) {
		return nil
	}
	s.idle--
	e := s.take().Value() // unseen, or it would be aside
	e.Ref.(*resource[T]).seen = s.sweep
	return e
}

// endSweep puts back what was set aside, in the order it had.
func (s *store[T]) endSweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range slices.Backward(s.aside) {
		e.Ref.(*resource[T]).res.ReleaseUnused()
	}
	s.aside, s.active = nil, false
}

// Idle implements engine.Store.
func (s *store[T]) Idle() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.idle
}
