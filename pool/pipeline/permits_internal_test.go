package pipeline

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// A permit that comes free after a caller has seen none, and before anybody can
// see the caller wait, is not lost.
func TestPermitFreedBeforeItsWaiterIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls callPool
		calls.New = makeCall
		g := permits{limit: 1, calls: &calls, closing: make(chan struct{}), idle: make(chan struct{}, 1)}
		require.NoError(t, g.wait(nil, nil)) // enter has seen no permit; all are free by now
		require.Equal(t, int64(1), g.taken())
		done := make(chan struct{})
		waited := make(chan error, 1)
		go func() { waited <- g.wait(done, nil) }()
		synctest.Wait()
		require.Equal(t, int64(1), g.waiting.Load())
		g.release()
		require.NoError(t, <-waited)
		require.Zero(t, g.waiting.Load())

		// One that gives up leaves no trace, and one that is granted a permit at
		// the same moment gives it back.
		go func() { waited <- g.wait(done, nil) }()
		synctest.Wait()
		close(done)
		require.Equal(t, errGaveUp, <-waited)
		require.Equal(t, int64(1), g.taken())
		g.release()
		require.Zero(t, g.taken())
		require.NoError(t, g.drain(context.Background()))
	})
}
