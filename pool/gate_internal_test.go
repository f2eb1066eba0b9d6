package pool

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestGateGivenUpTurn gives turns to dials that give up at the same moment:
// none is lost. Only here can the moment be met often enough.
func TestGateGivenUpTurn(t *testing.T) {
	g := &gate{limit: 1, now: func() int64 { return 1 }}
	for range 2000 {
		first, err := g.enter(t.Context())
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if p, err := g.enter(ctx); err == nil {
				g.leave(p, nil)
			}
		})
		wg.Go(cancel)
		wg.Go(func() { g.leave(first, nil) })
		wg.Wait()
		require.Zero(t, g.active)
		require.Zero(t, g.queue.Len())
	}
}
