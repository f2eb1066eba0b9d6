package slotpool_test

import (
	"context"
	"fmt"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
	"github.com/seed-99d6a01a/gtcp/pool/slotpool"
)

// The maximum can be changed while the backend is in use.
func ExampleOpen() {
	ctx := context.Background()
	made := 0
	ids, err := slotpool.Open(backend.Factory[int]{
		New:   func(context.Context) (int, error) { made++; return made, nil },
		Close: func(id int) {},
	}, backend.Limits{Max: 1, MaxWaiters: -1})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer ids.Close(ctx)

	first, _ := ids.Acquire(ctx)
	_, err = ids.Acquire(ctx)
	fmt.Println(err)

	if err := ids.(backend.Resizer).Resize(2); err != nil {
		fmt.Println(err)
	}
	second, _ := ids.Acquire(ctx)
	fmt.Println(first.Value, second.Value)
	_ = ids.Return(first, backend.Keep)
	_ = ids.Return(second, backend.Keep)
	// Output:
	// backend: too many callers wait for a resource
	// 1 2
}
