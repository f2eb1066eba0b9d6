package slotpool_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
	"github.com/seed-99d6a01a/gtcp/pool/pooltest"
	"github.com/seed-99d6a01a/gtcp/pool/slotpool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	pooltest.Run(t, slotpool.Open[*pooltest.Resource])
}

func TestAllocations(t *testing.T) {
	for _, n := range []int{4, 600} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			b, err := slotpool.Open(backend.Factory[*int]{
				New:   func(context.Context) (*int, error) { return new(int), nil },
				Close: func(*int) {},
			}, backend.Limits{Max: n})
			require.NoError(t, err)
			defer func() { require.NoError(t, b.Close(context.Background())) }()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			require.NoError(t, b.Warm(ctx, n))
			allocs := testing.AllocsPerRun(1000, func() {
				l, err := b.Acquire(ctx)
				if err != nil || b.Return(l, backend.Keep) != nil {
					t.Fatal("cannot acquire or return")
				}
			})
			require.Zero(t, allocs)
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	_, err := slotpool.Open(backend.Factory[int]{}, backend.Limits{})
	require.ErrorContains(t, err, "New")
}

func BenchmarkAcquireReturn(b *testing.B) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	p, err := slotpool.Open(backend.Factory[*int]{
		New:   func(context.Context) (*int, error) { return new(int), nil },
		Close: func(*int) {},
	}, backend.Limits{Max: 64})
	require.NoError(b, err)
	defer func() { require.NoError(b, p.Close(context.Background())) }()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			l, err := p.Acquire(ctx)
			if err != nil {
				b.Error(err)
				return
			}
			if err := p.Return(l, backend.Keep); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
