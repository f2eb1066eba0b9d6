package pool_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
)

var errOops = errors.New("oops")

// A probe that panics on the pool's own goroutine has found a dead connection.
func TestProbeThatPanicsInKeepAlive(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		log := &evictLog{}
		var probes atomic.Int32
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, KeepAlive: time.Second, Hooks: []any{log},
			Probe: pool.Probe{Mode: pool.ProbeNever, Func: func(context.Context, *conn.Conn) error {
				probes.Add(1)
				panic(errOops)
			}}})
		require.NoError(t, get(t, p).Close())
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.EqualValues(t, 1, probes.Load())
		require.Len(t, log.events, 1)
		require.Equal(t, pool.Dead, log.events[0].Reason)
		require.ErrorIs(t, log.events[0].Err, errOops)
		require.ErrorContains(t, log.events[0].Err, "panic in Config.Probe.Func")
		require.Zero(t, s.open())
		require.NoError(t, get(t, p).Close(), "the pool goes on")
		closePool(t, p)
	})
}

// panicEvict panics when a connection ends.
type panicEvict struct{ n atomic.Int32 }

func (h *panicEvict) AfterEvict(pool.EvictEvent) {
	h.n.Add(1)
	panic(errOops)
}

// A hook that panics when the pool itself closes connections keeps none open.
func TestEvictHookThatPanicsInTheBackground(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		h := &panicEvict{}
		p, err := pool.New(conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxIdleTime: time.Second, Hooks: []any{h}})
		require.NoError(t, err)
		a, b := get(t, p), get(t, p)
		require.NoError(t, a.Close())
		require.NoError(t, b.Close())
		time.Sleep(3 * time.Second)
		synctest.Wait()
		require.EqualValues(t, 2, h.n.Load())
		require.Zero(t, s.open())
		require.Zero(t, p.Stat().Open)
		c := get(t, p)
		require.NoError(t, c.Close())
		require.ErrorIs(t, p.Shutdown(t.Context()), errOops)
		synctest.Wait()
		require.Zero(t, s.open())
	})
}

// A leak report that panics is logged.
func TestLeakReportThatPanics(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		var reports atomic.Int32
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, LeakAfter: time.Second, LeakReport: func(pool.Leak) {
			reports.Add(1)
			panic(errOops)
		}})
		c := get(t, p)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.EqualValues(t, 1, reports.Load())
		require.NoError(t, c.Close())
		closePool(t, p)
	})
}

// blocker blocks at the end of a connection.
type blocker struct{ release chan struct{} }

func (h *blocker) AfterEvict(pool.EvictEvent) { <-h.release }

// A hook that blocks in the background delays nobody but Close.
func TestEvictHookThatBlocks(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		h := &blocker{make(chan struct{})}
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxConns: 1, MaxIdleTime: time.Second, Hooks: []any{h}})
		require.NoError(t, get(t, p).Close())
		time.Sleep(3 * time.Second)
		synctest.Wait()
		c := get(t, p) // its place is free, though the hook has not returned
		require.EqualValues(t, 2, c.ID())
		require.Equal(t, 1, p.Stat().Used)
		require.NoError(t, c.Close())
		close(h.release)
		closePool(t, p)
	})
}
