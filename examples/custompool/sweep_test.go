package custompool

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/pool/engine"
)

// What a sweep passes over, because it has seen it, stays idle: a caller that
// found nothing at that moment would wait for a wakeup that does not come.
func TestSweepHidesNothing(t *testing.T) {
	const n = 20_000
	q := &queue[int]{}
	for range n {
		q.Put(&engine.Entry[int]{})
	}
	visited, swept := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(swept)
		q.Sweep(func(e *engine.Entry[int]) {
			q.mu.Lock()
			q.idle = nil // others have them
			q.mu.Unlock()
			q.Put(e)
			close(visited)
		})
	}()
	<-visited
	hidden := 0
	for range n {
		if e := q.Claim(); e == nil {
			hidden++
		} else {
			q.Put(e)
		}
	}
	<-swept
	require.Zero(t, hidden)
}
