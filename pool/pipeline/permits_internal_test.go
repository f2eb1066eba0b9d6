package pipeline

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

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

// A caller that comes while others wait does not take the permit that is theirs.
func TestNewcomersWaitBehindTheOthers(t *testing.T) {
	var calls callPool
	calls.New = makeCall
	g := permits{limit: 1, calls: &calls, closing: make(chan struct{})}
	first := calls.get(nil)
	g.queue.push(first) // the permit was given back, but is not granted yet
	g.waiting.Store(1)
	gone := make(chan struct{})
	close(gone)
	due := dueNever
	require.Equal(t, errGaveUp, g.enter(gone, &due))
	require.Len(t, first.done, 1)
	require.Equal(t, int64(1), g.taken())
	require.Zero(t, g.callers())
	require.Zero(t, g.waiting.Load())
}

// Callers and permits are counted apart, and both are there again when all have left.
func TestCallersAndPermits(t *testing.T) {
	var calls callPool
	calls.New = makeCall
	g := permits{limit: 2, calls: &calls, closing: make(chan struct{})}
	gone := make(chan struct{})
	close(gone)
	due := dueNever
	for n := range int64(2) {
		require.NoError(t, g.enter(gone, &due))
		require.Equal(t, n+1, g.callers())
		require.Equal(t, n+1, g.taken())
	}
	for range 2 {
		require.Equal(t, errGaveUp, g.enter(gone, &due))
		require.Equal(t, int64(2), g.callers())
		require.Equal(t, int64(2), g.taken())
		require.Zero(t, g.waiting.Load())
	}
	g.leave(true)
	g.leave(false) // an abandoned call keeps the permit
	require.Zero(t, g.callers())
	require.Equal(t, int64(1), g.taken())
	g.release()
	require.Zero(t, g.taken())
}

// lastLooks has something happen when it is asked for its channel: after a loop has looked
// at its condition, and before it waits.
type lastLooks struct {
	context.Context
	happens func()
}

func (l lastLooks) Done() <-chan struct{} {
	l.happens()
	return l.Context.Done()
}

// The last caller may leave between the look of who drains and its wait.
func TestLastCallerLeavesBeforeTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := permits{limit: 1, closing: make(chan struct{})}
		due := dueNever
		require.NoError(t, g.enter(nil, &due))
		g.close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		leave := sync.OnceFunc(func() { g.leave(true) })
		require.NoError(t, g.drain(lastLooks{ctx, leave}))
	})
}
