package engine_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// The price of a caller does not depend on how many wait for a dial of their
// own: the ns/op of all sizes are alike.
func BenchmarkCrowd(b *testing.B) {
	for _, n := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for done := 0; done < b.N; done += n {
				crowd(b, n)
			}
		})
	}
}

// crowd has n callers dial at once.
func crowd(tb testing.TB, n int) {
	var dials sync.WaitGroup
	dials.Add(n)
	p, err := open(backend.Factory[int]{
		New:   func(context.Context) (int, error) { dials.Done(); dials.Wait(); return 1, nil },
		Close: func(int) {},
	}, backend.Limits{})
	require.NoError(tb, err)
	var callers sync.WaitGroup
	for range n {
		callers.Go(func() {
			if _, err := p.Acquire(tb.Context()); err != nil {
				tb.Error(err)
			}
		})
	}
	callers.Wait()
	require.Equal(tb, n, p.Stat().Used)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(tb, p.Close(ended), context.Canceled)
}

func TestCrowd(t *testing.T) { crowd(t, 500) }
