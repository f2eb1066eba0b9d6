package gtcp_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/server"
)

// TestRestartsWithGoodbyeFailNoCall restarts a server again and again under callers
// who never pause. The next server accepts on the same socket before the one before
// it drains, as a new process would that has inherited it. With a goodbye that both
// sides know, no call fails and none is handled twice.
func TestRestartsWithGoodbyeFailNoCall(t *testing.T) {
	restarts := 5
	if os.Getenv("GTCP_LONG") != "" {
		restarts = 100
	}
	for _, shared := range []bool{false, true} {
		for _, concurrency := range []int{0, 16} {
			for _, callers := range []int{20, 256} {
				name := fmt.Sprintf("shared %v/concurrency %d/%d callers", shared, concurrency, callers)
				t.Run(name, func(t *testing.T) {
					restartUnderLoad(t, shared, concurrency, callers, restarts)
				})
			}
		}
	}
}

func restartUnderLoad(t *testing.T, shared bool, concurrency, callers, restarts int) {
	goodbye := []byte("goodbye")
	var handled, good atomic.Int64
	serve := func(l net.Listener) (*server.Server, chan error) {
		h := server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) {
			handled.Add(1)
			return req, nil
		})
		h.Concurrency, h.Goodbye = concurrency, goodbye
		s := &server.Server{Handler: h, Logger: slog.New(slog.DiscardHandler)}
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		return s, served
	}
	first, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := first.Addr().String()
	inherited, err := first.(*net.TCPListener).File()
	require.NoError(t, err)
	defer inherited.Close()
	srv, served := serve(first)

	c := gtcp.NewClient("", gtcp.ClientConfig{
		Target: conn.Target{Address: addr}, Shared: shared, Goodbye: goodbye,
		Pool: pool.Config{MaxConns: 2}, Pipeline: pipeline.Config{MaxConns: 2},
	})
	ctx, cancel := context.WithCancel(context.Background())
	failures := make(chan error, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			req := fmt.Append(nil, "caller ", i)
			for ctx.Err() == nil {
				reply, err := c.Call(context.Background(), req)
				if err == nil && !bytes.Equal(reply, req) {
					err = fmt.Errorf("reply %q to %q", reply, req)
				}
				if err != nil {
					failures <- err
					return
				}
				good.Add(1)
			}
		})
	}
	for range restarts {
		before := good.Load()
		require.Eventually(t, func() bool { return good.Load() > before+20 || len(failures) > 0 }, 20*time.Second, time.Millisecond)
		l, err := net.FileListener(inherited)
		require.NoError(t, err)
		next, nextServed := serve(l)
		timeout, stop := context.WithTimeout(context.Background(), 20*time.Second)
		require.NoError(t, srv.Shutdown(timeout))
		stop()
		require.ErrorIs(t, <-served, server.ErrServerClosed)
		srv, served = next, nextServed
	}
	cancel()
	wg.Wait()
	close(failures)
	for err := range failures {
		require.NoError(t, err)
	}
	require.Equal(t, handled.Load(), good.Load())
	require.NoError(t, c.Shutdown(context.Background()))
	require.NoError(t, srv.Close())
	require.ErrorIs(t, <-served, server.ErrServerClosed)
	require.NoError(t, srv.Shutdown(context.Background()))
}
