// Package custompool is a pool backend of your own: round robin.
//
// The backends that come with the module use as few connections as the load
// allows, so that the rest grow idle and are closed. This one picks the
// connection that has been idle longest, so that all are used alike: for
// servers that forget quiet clients, or a balancer behind which each
// connection leads to another machine.
//
// The engine does what every backend must do. What is left is a [engine.Store]:
// here a queue. To use it, set Open as the Backend of a pool's Config. Look at
// Put and Claim, which choose the connection, and at the test, which proves
// the backend in one line.
//
//	go test ./examples/custompool
package custompool

import (
	"slices"
	"sync"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
	"github.com/seed-99d6a01a/gtcp/pool/engine"
)

// Open is a [backend.OpenFunc].
func Open[T any](f backend.Factory[T], l backend.Limits) (backend.Backend[T], error) {
	return engine.Open(f, l, &queue[T]{})
}

// queue holds what is idle, the longest first.
type queue[T any] struct {
	mu   sync.Mutex // guards idle
	idle []*engine.Entry[T]
}

// Add has nothing to do: an entry is known to the queue only while it is idle.
func (q *queue[T]) Add(*engine.Entry[T]) {}

// Remove has nothing to do either.
func (q *queue[T]) Remove(*engine.Entry[T]) {}

// Claim takes the entry that has been idle longest, nil if none is.
func (q *queue[T]) Claim() *engine.Entry[T] {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.idle) == 0 {
		return nil
	}
	e := q.idle[0]
	// Moving a few pointers is quicker than anything cleverer.
	q.idle = slices.Delete(q.idle, 0, 1)
	return e
}

// Put makes an entry idle.
func (q *queue[T]) Put(e *engine.Entry[T]) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.idle = append(q.idle, e)
}

// Sweep claims each idle entry once and shows it to visit, which puts it back
// or ends it. No lock is held meanwhile, so others go on.
func (q *queue[T]) Sweep(visit func(*engine.Entry[T])) {
	seen := make(map[*engine.Entry[T]]bool)
	for range q.Idle() {
		e := q.unseen(seen)
		if e == nil {
			return
		}
		seen[e] = true
		visit(e)
	}
}

// unseen takes the first entry that is not in seen. What is in seen is passed
// over where it is: a caller must find it meanwhile.
func (q *queue[T]) unseen(seen map[*engine.Entry[T]]bool) *engine.Entry[T] {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, e := range q.idle {
		if !seen[e] {
			q.idle = slices.Delete(q.idle, i, i+1)
			return e
		}
	}
	return nil
}

// Idle is the number of idle entries.
func (q *queue[T]) Idle() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.idle)
}
