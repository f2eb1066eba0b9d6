package conn_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// untilDeadline is a context that ends at its deadline and cannot be waited for.
type untilDeadline struct{ context.Context }

func (untilDeadline) Done() <-chan struct{} { return nil }

// A deadline alone needs no goroutine or function to end Do: the socket's does.
func TestDoOfADeadlineAloneAllocatesNothing(t *testing.T) {
	c, _ := tcpPair(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	var only context.Context = untilDeadline{ctx}
	nothing := func() error { return nil }
	require.NoError(t, c.Do(only, nothing))
	if !raceEnabled {
		require.Zero(t, testing.AllocsPerRun(100, func() { _ = c.Do(only, nothing) }))
	}

	ctx, cancel = context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	err := c.Do(untilDeadline{ctx}, readByte(c))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, conn.KindTimeout, conn.KindOf(err))
	require.NoError(t, c.Do(t.Context(), nothing), "the deadline is gone")
}
