//go:build !race

package server_test

import (
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/server"
)

// An idle connection that has served requests has a stack of 2 KiB: what the way
// from the handler down to the system call needs more would double its memory.
func TestIdleConnectionKeepsItsFirstStack(t *testing.T) {
	for name, serve := range map[string]func(c *client){
		"lone":      func(c *client) { c.send("one"); c.expect("one") },
		"pipelined": func(c *client) { c.send("one", "two"); c.expect("one", "two") },
		"cut": func(c *client) {
			_, _ = c.Write([]byte("\x00\x03o"))
			time.Sleep(time.Millisecond) // so that the server has seen it, most times
			_, _ = c.Write([]byte("ne"))
			c.expect("one")
		},
	} {
		t.Run(name, func(t *testing.T) {
			const n = 300
			s := &server.Server{Handler: echo()}
			addr := start(t, s)
			for range 50 { // what the first connections of a process cost
				dial(t, addr)
			}
			defer debug.SetGCPercent(debug.SetGCPercent(-1))
			begun := firstStack(t)
			before := stacks()
			for range n {
				serve(dial(t, addr))
			}
			require.Eventually(t, func() bool { return s.Stat().Idle == n+50 }, patience, time.Millisecond)
			require.Less(t, (stacks()-before)/n, begun*3/2)
		})
	}
}

// firstStack is the size of the stack that a goroutine begins with in the place of one
// that has ended: the runtime chooses it by what stacks the last collection found.
func firstStack(t *testing.T) int64 {
	const n = 256
	var running sync.WaitGroup
	start := func(stop chan struct{}) {
		for range n {
			running.Go(func() { <-stop })
		}
	}
	ended, stop := make(chan struct{}), make(chan struct{})
	start(ended)
	close(ended)
	running.Wait()
	before := stacks()
	start(stop)
	size := (stackInuse() - before) / n
	t.Cleanup(func() {
		close(stop)
		running.Wait()
	})
	return max(size, 2<<10)
}

func stacks() int64 {
	runtime.GC()
	runtime.GC()
	return stackInuse()
}

func stackInuse() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.StackInuse)
}
