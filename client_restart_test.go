package gtcp_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
	"github.com/seed-99d6a01a/gtcp/retry"
	"github.com/seed-99d6a01a/gtcp/server"
)

// restartable is a server at one address that can be replaced by a new one, as
// a rolling restart does: the new one accepts before the old one drains.
type restartable struct {
	t        testing.TB
	goodbye  []byte
	executed *atomic.Int64
	workers  int // its FrameHandler.Concurrency
	listener *net.TCPListener
	current  *server.Server
	served   chan error
}

func newRestartable(t testing.TB, goodbye []byte, executed *atomic.Int64, workers int) *restartable {
	if runtime.GOOS == "windows" {
		t.Skip("package net cannot hand on a listening socket on Windows")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &restartable{t: t, goodbye: goodbye, executed: executed, workers: workers}
	r.start(l)
	t.Cleanup(func() {
		_ = r.current.Close()
		<-r.served
	})
	return r
}

func (r *restartable) addr() string { return r.listener.Addr().String() }

func (r *restartable) start(l net.Listener) {
	r.listener = l.(*net.TCPListener)
	r.current = &server.Server{
		Logger: slog.New(slog.DiscardHandler),
		Handler: &server.FrameHandler{Goodbye: r.goodbye, Concurrency: r.workers, Append: func(_ context.Context, dst, req []byte) ([]byte, error) {
			r.executed.Add(1)
			return append(dst, req...), nil
		}},
	}
	served, srv := make(chan error, 1), r.current
	r.served = served
	go func() { served <- srv.Serve(l) }()
}

// restart starts a new server on the same socket and drains the old one.
func (r *restartable) restart() {
	file, err := r.listener.File()
	require.NoError(r.t, err)
	next, err := net.FileListener(file)
	require.NoError(r.t, err)
	require.NoError(r.t, file.Close())
	old, served := r.current, r.served
	r.start(next)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	require.NoError(r.t, old.Shutdown(ctx))
	require.ErrorIs(r.t, <-served, server.ErrServerClosed)
}

// restarts is how often a server is restarted: 5 times, or GTCP_RESTARTS.
func restarts(t testing.TB) int {
	n := 5
	if s := os.Getenv("GTCP_RESTARTS"); s != "" {
		var err error
		n, err = strconv.Atoi(s)
		require.NoError(t, err)
	}
	return n
}

// patient makes more attempts than usual: here one restart follows the other
// within milliseconds, and a call may meet several.
var patient = retry.Policy{MaxAttempts: 10}

// load calls from many goroutines until stop is called, which returns how many
// calls were made. Each must succeed, and none is declared idempotent.
func load(t testing.TB, c *gtcp.Client, callers int) (stop func() int64) {
	var calls atomic.Int64
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	for i := range callers {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				want := strconv.Itoa(i) + "/" + strconv.Itoa(n)
				reply, err := c.Call(context.Background(), []byte(want))
				if err != nil || string(reply) != want {
					t.Errorf("asked %s, got %q, %v", want, reply, err)
					return
				}
				calls.Add(1)
			}
		})
	}
	return func() int64 {
		cancel()
		wg.Wait()
		return calls.Load()
	}
}

// A server that is restarted under load, the next one on the same socket before it
// drains, loses no call and executes none twice: goodbye tells the client what the
// old server did not handle.
func TestClientRestartUnderLoad(t *testing.T) {
	for _, workers := range []int{0, 16} {
		for _, callers := range []int{20, 256} {
			t.Run(fmt.Sprintf("concurrency %d/%d callers", workers, callers), func(t *testing.T) {
				eachMode(t, func(t *testing.T, shared bool) { restartUnderLoad(t, shared, workers, callers) })
			})
		}
	}
}

func restartUnderLoad(t *testing.T, shared bool, workers, callers int) {
	goodbye := []byte("\x00goodbye")
	var executed atomic.Int64
	r := newRestartable(t, goodbye, &executed, workers)
	c := client(t, r.addr(), gtcp.ClientConfig{
		Shared: shared, Goodbye: goodbye, Pool: pool.Config{MaxConns: 2}, Pipeline: pipeline.Config{MaxConns: 2},
	})
	stop := load(t, c, callers)
	for range restarts(t) {
		before := executed.Load()
		require.Eventually(t, func() bool { return executed.Load() > before+20 || t.Failed() }, 10*time.Second, time.Millisecond)
		r.restart()
	}
	require.Equal(t, stop(), executed.Load(), "no request was executed twice")
}

// All servers of a service are restarted, one after the other.
func TestClientRollingRestart(t *testing.T) {
	goodbye := []byte("\x00goodbye")
	eachMode(t, func(t *testing.T, shared bool) {
		var executed atomic.Int64
		var all []*restartable
		var set resolve.Static
		for range 5 {
			r := newRestartable(t, goodbye, &executed, 0)
			all = append(all, r)
			set = append(set, resolve.Endpoint{Addr: r.addr()})
		}
		c := client(t, "", gtcp.ClientConfig{Shared: shared, Goodbye: goodbye, Resolver: set, Retry: patient})
		stop := load(t, c, 64)
		for range max(restarts(t)/5, 1) {
			for _, r := range all {
				r.restart()
			}
		}
		require.Equal(t, stop(), executed.Load(), "no request was executed twice")
	})
}
