package pipeline_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/stretchr/testify/require"
)

// endPanic panics when a connection ends.
type endPanic struct{}

func (endPanic) AfterEnd(pipeline.EndEvent) { panic("oops") }

// A hook that panics when a connection ends keeps the other hooks from nothing,
// nor the next calls.
func TestEndHookThatPanics(t *testing.T) {
	r := &recorder{}
	inBubble(t, pipeline.Config{Hooks: []any{endPanic{}, r}}, func(b *bubble) {
		for range 2 {
			p := b.exchange()
			quiet()
			require.NoError(b, p.Close())
			synctest.Wait()
		}
		require.Len(b, r.ends, 2)
	})
	require.Len(t, r.ends, 2)
}

// endBlock blocks when a connection ends.
type endBlock struct{ release chan struct{} }

func (h *endBlock) AfterEnd(pipeline.EndEvent) { <-h.release }

// A hook that blocks when a connection ends delays nobody but Close.
func TestEndHookThatBlocks(t *testing.T) {
	h := &endBlock{}
	inBubble(t, pipeline.Config{Hooks: []any{h}}, func(b *bubble) {
		h.release = make(chan struct{})
		p := b.exchange()
		quiet()
		require.NoError(b, p.Close())
		synctest.Wait() // else the next call may still be written to it
		b.exchange()
		time.AfterFunc(time.Second, func() { close(h.release) })
	})
}
