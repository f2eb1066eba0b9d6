package gtcp_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/retry"
	"github.com/seed-99d6a01a/gtcp/server"
)

// TestClientFleet has 1,000 endpoints, of which one is replaced ten times a
// second, and 64 callers. It runs for a second, or for as long as GTCP_SOAK says;
// then, with -v, it prints what happened. The endpoints are addresses of the
// loopback network, behind one listener.
func TestClientFleet(t *testing.T) {
	d := time.Second
	if long := os.Getenv("GTCP_SOAK"); long != "" {
		var err error
		d, err = time.ParseDuration(long)
		require.NoError(t, err)
	}
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	require.NoError(t, err)
	srv := &server.Server{Handler: server.Frames(framing.Format{}, echoed)}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close(); <-served })
	port, next := l.Addr().(*net.TCPAddr).Port, 0
	fresh := func() string {
		next++
		return fmt.Sprintf("127.1.%d.%d:%d", next/250%250, next%250+1, port)
	}
	var set []string
	for range 1000 {
		set = append(set, fresh())
	}
	r := newRegistry(set...)
	c := client(t, "", gtcp.ClientConfig{
		Resolver: r, Retry: retry.Policy{Idempotent: true}, Pool: pool.Config{MaxConns: 8},
	})
	var calls, failures atomic.Int64
	var callers sync.WaitGroup
	ctx, stop := context.WithTimeout(t.Context(), d)
	defer stop()
	for range 64 {
		callers.Go(func() {
			for ctx.Err() == nil {
				calls.Add(1)
				if _, err := c.Call(context.Background(), []byte("x")); err != nil {
					failures.Add(1)
					t.Log(err)
				}
			}
		})
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ctx.Err() == nil; i++ {
		<-tick.C
		set[i%1000] = fresh()
		r.set(slices.Clone(set)...)
		if i%100 == 99 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			s := c.Stat()
			t.Logf("%d calls, %d KB of heap, %d goroutines, %d connections, %d draining", calls.Load(), m.HeapAlloc>>10,
				runtime.NumGoroutine(), s.Pool.Idle+s.Pool.Used, s.Balance.Draining)
		}
	}
	callers.Wait()
	require.Zero(t, failures.Load())
	require.NotZero(t, calls.Load())
	require.Equal(t, 1000, c.Stat().Balance.Endpoints)
}
