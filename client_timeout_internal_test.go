package gtcp

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Calls that begin together share a context. Each has the whole limit, and an
// eighth of it more at most.
func TestCallTimeoutIsShared(t *testing.T) {
	const limit = 8 * time.Second
	synctest.Test(t, func(t *testing.T) {
		var c callTimeout
		c.init(limit)
		contexts := map[context.Context]int{}
		for range 1000 {
			ctx, cancel := c.context(context.Background())
			cancel() // it must not end the others
			contexts[ctx]++
			deadline, ok := ctx.Deadline()
			require.True(t, ok)
			require.NoError(t, ctx.Err())
			left := time.Until(deadline)
			require.GreaterOrEqual(t, left, limit)
			require.LessOrEqual(t, left, limit+limit/8)
			time.Sleep(limit / 500)
		}
		require.Less(t, len(contexts), 40)
		time.Sleep(2 * limit)
		for ctx := range contexts {
			require.ErrorIs(t, ctx.Err(), context.DeadlineExceeded)
		}
	})
}

// A context whose time is over is not given out, however late its timer is.
func TestCallTimeoutOfALateTimer(t *testing.T) {
	var c callTimeout
	c.init(time.Minute)
	over := &sharedDeadline{at: time.Now()}
	<-over.Done()
	c.current.Store(over)
	ctx, _ := c.context(context.Background())
	require.NoError(t, ctx.Err())
	again, _ := c.context(context.Background())
	require.Same(t, ctx, again)
}
