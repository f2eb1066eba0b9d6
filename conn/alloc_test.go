package conn_test

import (
	"context"
	"io"
	"math"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/stretchr/testify/require"
)

// allocs counts what f allocates in the steady state.
func allocs(t *testing.T, f func() error) float64 {
	t.Helper()
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	require.NoError(t, f())
	least := math.Inf(1)
	for range 5 { // what others allocate meanwhile is counted too
		least = min(least, testing.AllocsPerRun(200, func() {
			if err := f(); err != nil {
				t.Error(err)
			}
		}))
	}
	return least
}

func TestHotPathsDoNotAllocate(t *testing.T) {
	c, peer := tcpPair(t)
	go func() { _, _ = io.Copy(peer, peer) }()
	ping := []byte("ping\n")
	in, line := make([]byte, len(ping)), make([]byte, 0, 64)
	bufs := [][]byte{ping[:2], ping[2:]}
	vec := [][]byte{make([]byte, 10_000), make([]byte, 10_000)}
	vecIn := make([]byte, 20_000)
	a, b := c, new(conn.Conn)
	write := func() { _, _ = c.Write(ping) }
	paths := map[string]func() error{
		"Read":     func() error { write(); _, err := c.Read(in); return err },
		"ReadFull": func() error { write(); _, err := c.ReadFull(in); return err },
		"ReadUntil": func() (err error) {
			write()
			line, err = c.ReadUntil(line[:0], ping[4:], 0)
			return err
		},
		"ReadAvailable": func() (err error) { write(); line, err = c.ReadAvailable(line[:0], 99, 0); return err },
		"Peek and Discard": func() error {
			write()
			if _, err := c.Peek(len(ping)); err != nil {
				return err
			}
			_, err := c.Discard(len(ping))
			return err
		},
		"WriteBuffers": func() error {
			if _, err := c.WriteBuffers(bufs); err != nil {
				return err
			}
			_, err := c.ReadFull(in)
			return err
		},
		"vectored WriteBuffers": func() error {
			if _, err := c.WriteBuffers(vec); err != nil {
				return err
			}
			_, err := c.ReadFull(vecIn)
			return err
		},
		"Check":       func() error { return c.Check() },
		"Reusable":    func() error { return c.Reusable() },
		"Err":         func() error { return c.Err() },
		"SetDeadline": func() error { return c.SetDeadline(time.Time{}) },
		"Do":          func() error { return c.Do(context.Background(), c.Reusable) },
		"Handoff":     func() error { a, b = b, a; return b.Handoff(a) },
	}
	for name, path := range paths {
		if name == "Handoff" {
			continue // it ends c
		}
		t.Run(name, func(t *testing.T) { require.Zero(t, allocs(t, path)) })
	}
	t.Run("Handoff", func(t *testing.T) { require.Zero(t, allocs(t, paths["Handoff"])) })
}

func TestDoAllocations(t *testing.T) {
	c, _ := tcpPair(t)
	nothing := func() error { return nil }
	cancellable, cancel := context.WithCancel(t.Context())
	defer cancel()
	timed, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	for _, ctx := range []context.Context{cancellable, timed} {
		require.LessOrEqual(t, allocs(t, func() error { return c.Do(ctx, nothing) }), 2.0)
	}
}

// An idle connection holds no read buffer, even with a reader waiting on it.
func TestIdleConnectionHoldsNoBuffer(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector adds to each allocation")
	}
	const n = 500
	heap := func() uint64 {
		runtime.GC()
		runtime.GC() // the first leaves what sync.Pools held
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var parked [n]*conn.Conn
	done := make(chan error, n)
	before := heap()
	for i := range parked {
		c, peer := tcpPair(t)
		parked[i] = c
		_, err := peer.Write(make([]byte, 20_000)) // more than the small buffer
		require.NoError(t, err)
		_, err = c.ReadFull(make([]byte, 20_000))
		require.NoError(t, err)
		go func() { _, err := c.Peek(1); done <- err }()
		eventually(t, conn.ErrBusy, c.Check)
	}
	perConn := (heap() - before) / n
	// Two sockets of package net, a Conn, test clean-ups; far from 4 KiB.
	require.Less(t, perConn, uint64(3000))
	for _, c := range parked {
		require.NoError(t, c.Close())
	}
	for range parked {
		require.Error(t, <-done)
	}
}

// A goroutine that has echoed a message and waits for the next still has the
// stack it started with. It is compared with goroutines that do nothing, for
// the runtime chooses the size at the start: where a goroutine comes in the place of
// one that has ended, by what stacks the last collection found.
func TestParkedReaderKeepsItsFirstStack(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector needs stack of its own")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	const n = 256
	stacks := func() int64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.StackInuse)
	}
	var running sync.WaitGroup
	start := func(stop chan struct{}) {
		for range n {
			running.Go(func() { <-stop })
		}
	}
	ended := make(chan struct{})
	start(ended)
	close(ended)
	running.Wait()
	runtime.GC() // it frees the stacks of those that have ended

	stop := make(chan struct{})
	var before, idle int64
	for range 8 { // first in the place of those, at last there are no more
		before = stacks()
		start(stop)
		idle = max(idle, stacks()-before)
	}

	conns, reply := make([]*conn.Conn, n), make([]byte, 4)
	for i := range conns {
		c, peer := tcpPair(t)
		conns[i] = c
		send(t, peer, "ping")
		if i == 0 {
			before = stacks() // this goroutine's own has grown by now
		}
		running.Go(func() { echoMessages(c) })
		_, err := io.ReadFull(peer, reply)
		require.NoError(t, err)
		eventually(t, conn.ErrBusy, c.Reusable)
	}
	parked := stacks() - before
	require.Less(t, float64(parked), 1.5*float64(max(idle, n*2048)))

	close(stop)
	for _, c := range conns {
		require.NoError(t, c.Close())
	}
	running.Wait()
}

// echoMessages is a frame loop in miniature, for messages of four bytes.
func echoMessages(c *conn.Conn) {
	for {
		p, err := c.Peek(4)
		if err != nil {
			return
		}
		if _, err := c.Write(p); err != nil {
			return
		}
		if _, err := c.Discard(4); err != nil {
			return
		}
	}
}
