package slotpool_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
	"github.com/seed-99d6a01a/gtcp/pool/slotpool"
)

// counted makes resources that count up from 1.
func counted() backend.Factory[int64] {
	var made atomic.Int64 // New may be called by several goroutines at once
	return backend.Factory[int64]{
		New:   func(context.Context) (int64, error) { return made.Add(1), nil },
		Close: func(int64) {},
	}
}

// A backend can be used bare, for resources of any kind. One caller after the
// other gets the same resource, so no second one is made.
func Example() {
	ctx := context.Background()
	b, err := slotpool.Open(counted(), backend.Limits{Max: 4})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Close(ctx)

	for range 2 {
		lease, err := b.Acquire(ctx)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(lease.Value)
		if err := b.Return(lease, backend.Keep); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(b.Stat().Idle, "idle of", b.Stat().Max)
	// Output:
	// 1
	// 1
	// 1 idle of 4
}

// The maximum can be changed while the backend is in use.
func ExampleOpen() {
	ctx := context.Background()
	b, err := slotpool.Open(counted(), backend.Limits{Max: 1, MaxWaiters: -1})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Close(ctx)

	first, err := b.Acquire(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = b.Acquire(ctx)
	fmt.Println("refused:", errors.Is(err, backend.ErrTooManyWaiters))

	if err := b.(backend.Resizer).Resize(2); err != nil {
		fmt.Println(err)
		return
	}
	second, err := b.Acquire(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(first.Value, second.Value)
	for _, lease := range []backend.Lease[int64]{first, second} {
		if err := b.Return(lease, backend.Keep); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// refused: true
	// 1 2
}
