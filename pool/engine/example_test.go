package engine_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
	"github.com/seed-99d6a01a/gtcp/pool/engine"
)

// line is a Store that picks what has been idle longest.
type line[T any] struct {
	mu   sync.Mutex // guards idle
	idle []*engine.Entry[T]
}

func (l *line[T]) Add(*engine.Entry[T])    {} // an entry is known while it is idle
func (l *line[T]) Remove(*engine.Entry[T]) {}

func (l *line[T]) Put(e *engine.Entry[T]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.idle = append(l.idle, e)
}

func (l *line[T]) Claim() *engine.Entry[T] {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.idle) == 0 {
		return nil
	}
	e := l.idle[0]
	l.idle = slices.Delete(l.idle, 0, 1)
	return e
}

// Sweep visits each entry that is idle now and still is when its turn comes.
func (l *line[T]) Sweep(visit func(*engine.Entry[T])) {
	l.mu.Lock()
	idle := slices.Clone(l.idle)
	l.mu.Unlock()
	for _, e := range idle {
		if l.take(e) {
			visit(e)
		}
	}
}

func (l *line[T]) take(e *engine.Entry[T]) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.idle, e)
	if i < 0 {
		return false // in use by now
	}
	l.idle = slices.Delete(l.idle, i, i+1)
	return true
}

func (l *line[T]) Idle() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.idle)
}

// A store says where idle resources are kept and which is acquired first. The
// engine does the rest of a backend.
func ExampleStore() {
	ctx := context.Background()
	var made atomic.Int64 // New may be called by several goroutines at once
	b, err := engine.Open(backend.Factory[int64]{
		New:   func(context.Context) (int64, error) { return made.Add(1), nil },
		Close: func(int64) {},
	}, backend.Limits{Max: 2}, &line[int64]{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Close(ctx)

	if err := b.Warm(ctx, 2); err != nil {
		fmt.Println(err)
		return
	}
	last := int64(0)
	for range 4 {
		lease, err := b.Acquire(ctx)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("another than before:", lease.Value != last)
		last = lease.Value
		if err := b.Return(lease, backend.Keep); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// another than before: true
	// another than before: true
	// another than before: true
	// another than before: true
}
