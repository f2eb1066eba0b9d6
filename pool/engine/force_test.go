package engine_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// A lease that was on its way to a caller when Close did not wait has ended
// too.
func TestCloseEndsLeasesOnTheirWay(t *testing.T) {
	bubble(t, backend.Limits{Max: 1}, func(t *testing.T, b backend.Backend[int], s *script) {
		first := acquire(b)
		s.dials[0] <- nil
		l := (<-first).l
		second := acquire(b)
		impatient, cancel := context.WithCancel(context.Background())
		cancel()
		require.NoError(t, b.Return(l, backend.Keep)) // to the second, which does not run yet
		require.ErrorIs(t, b.Close(impatient), context.Canceled)
		synctest.Wait()
		if g := <-second; g.err == nil {
			require.ErrorIs(t, b.Return(g.l, backend.Keep), backend.ErrStale)
		}
	})
}
