package backend_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
	"github.com/seed-99d6a01a/gtcp/pool/puddlepool"
)

// workers makes resources that count up from 1.
func workers() backend.Factory[int64] {
	var made atomic.Int64 // New may be called by several goroutines at once
	return backend.Factory[int64]{
		New:   func(context.Context) (int64, error) { return made.Add(1), nil },
		Close: func(n int64) { fmt.Println("closed", n) },
	}
}

// What is kept goes to the next caller, what is discarded is closed. A lease ends once: to
// return it again touches nothing.
func ExampleBackend() {
	ctx := context.Background()
	b, err := puddlepool.Open(workers(), backend.Limits{Max: 2})
	if err != nil {
		fmt.Println(err)
		return
	}

	for _, verdict := range []backend.Verdict{backend.Keep, backend.Discard} {
		lease, err := b.Acquire(ctx)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(verdict, lease.Value)
		if err := b.Return(lease, verdict); err != nil {
			fmt.Println(err)
		}
		if err := b.Return(lease, verdict); errors.Is(err, backend.ErrStale) {
			fmt.Println("stale")
		}
	}
	if err := b.Close(ctx); err != nil { // waits for what was discarded
		fmt.Println(err)
	}
	// Unordered output:
	// keep 1
	// stale
	// discard 1
	// stale
	// closed 1
}
