package gtcp_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
	"github.com/seed-99d6a01a/gtcp/server"
)

// A thousand endpoints of which ten a second leave and come: no call fails, and
// what belonged to those that left is gone. It runs for a second, or for as long
// as GTCP_CHURN says; then, with -v, it prints what happened.
func TestClientChurnOfAThousand(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs all of 127.0.0.0/8")
	}
	d := time.Second
	if long := os.Getenv("GTCP_CHURN"); long != "" {
		var err error
		d, err = time.ParseDuration(long)
		require.NoError(t, err)
	}
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	require.NoError(t, err)
	srv := &server.Server{Handler: server.Frames(framing.Format{}, echoed), Logger: slog.New(slog.DiscardHandler)}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	defer func() {
		_ = srv.Close()
		<-served
	}()
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	endpoint := func(i int) resolve.Endpoint {
		return resolve.Endpoint{Addr: net.JoinHostPort(net.IPv4(127, byte(1+i>>16), byte(i>>8), byte(i)).String(), port)}
	}
	set := make([]resolve.Endpoint, 1000)
	for i := range set {
		set[i] = endpoint(i)
	}
	r := &registry{make(chan []resolve.Endpoint, 1)}
	r.sets <- append([]resolve.Endpoint(nil), set...)
	c := client(t, "", gtcp.ClientConfig{Resolver: r, Pool: pool.Config{MaxConns: 4}})

	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	var calls atomic.Int64
	var callers sync.WaitGroup
	for range 64 {
		callers.Go(func() {
			for ctx.Err() == nil {
				if _, err := c.CallWith(context.Background(), nil, []byte("x"), gtcp.CallOptions{Idempotent: true}); err != nil {
					t.Error(err)
					return
				}
				calls.Add(1)
			}
		})
	}
	half, goroutines := time.Now().Add(d/2), 0
	for next := len(set); ctx.Err() == nil; next++ {
		set[rand.N(len(set))] = endpoint(next)
		r.sets <- append([]resolve.Endpoint(nil), set...)
		if goroutines == 0 && time.Now().After(half) {
			goroutines = runtime.NumGoroutine()
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	callers.Wait()
	require.Eventually(t, func() bool { return c.Stat().Balance.Draining == 0 }, 30*time.Second, 10*time.Millisecond)
	s := c.Stat()
	require.Equal(t, 1000, s.Balance.Endpoints)
	t.Logf("%d calls, %d retries, %d connections open, goroutines at half time and now: %d, %d",
		calls.Load(), s.Retries, s.Pool.Open, goroutines, runtime.NumGoroutine())
}
