package pool

import (
	"context"
	"net"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// The tests in this file are inside the package because they are about moments
// that cannot be met from outside but by great luck.

// TestGateGivenUpTurn gives turns to dials that have given up just before: the
// turn goes on to the next.
func TestGateGivenUpTurn(t *testing.T) {
	g := &gate{limit: 1, now: func() int64 { return 1 }}
	for range 200 {
		first, err := g.enter(t.Context())
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			if p, err := g.enter(ctx); err == nil {
				g.leave(p, nil)
			}
		}()
		for queued := 0; queued == 0; runtime.Gosched() {
			g.mu.Lock()
			queued = g.queue.Len()
			g.mu.Unlock()
		}
		cancel()
		g.leave(first, nil)
		<-done
		require.Zero(t, g.active)
		require.Zero(t, g.queue.Len())
	}
}

// TestCloseBetweenHandoffAndReturn loses patience with a borrower who has just
// handed his connection on and not yet given it back: he closes it himself.
func TestCloseBetweenHandoffAndReturn(t *testing.T) {
	near, far := net.Pipe()
	defer func() { _ = far.Close() }()
	p, err := New(Config{Dial: func(context.Context) (net.Conn, error) { return near, nil }})
	require.NoError(t, err)
	c, err := p.Get(t.Context())
	require.NoError(t, err)
	m := c.life.member
	next := m.newHandle(0)
	require.NoError(t, c.Conn.Handoff(&next.Conn))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, p.Close(ctx), context.Canceled)
	require.NoError(t, next.Err(), "the handle that Close knew was of no use to it")
	m.handle.Store(next)
	p.keep(m, next, m.lease)
	require.ErrorIs(t, next.Err(), net.ErrClosed)
}
