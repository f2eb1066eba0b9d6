package outage_test

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/faultproxy"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/pool/promgtcp"
	"github.com/seed-99d6a01a/gtcp/server"
	"github.com/seed-99d6a01a/gtcp/server/debugpage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a program with metrics and a page, in which an outage happens.
type world struct {
	*testing.T
	page     *debugpage.Page
	metrics  *promgtcp.Collector
	registry *prometheus.Registry
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, page: &debugpage.Page{}, metrics: promgtcp.New(), registry: prometheus.NewRegistry()}
	w.registry.MustRegister(w.metrics)
	return w
}

// serve starts a server, without an address at one that stays free when it is killed.
// stop kills it, and may be called more than once.
func (w *world) serve(name, addr string, srv *server.Server) (at string, stop func()) {
	if addr == "" {
		held, release, err := faultproxy.HeldAddr()
		require.NoError(w, err)
		w.Cleanup(func() { _ = release() })
		addr = held
	}
	l, err := net.Listen("tcp", addr)
	require.NoError(w, err)
	if srv.Handler == nil {
		srv.Handler = echoAfter(0)
	}
	srv.Logger, srv.Hooks = slog.New(slog.DiscardHandler), w.page.Hooks(name)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	removePage, removeMetrics := w.page.AddServer(name, srv), w.metrics.AddServer(name, srv)
	var once sync.Once
	stop = func() {
		once.Do(func() {
			_ = srv.Close()
			<-served
			_ = srv.Shutdown(context.Background())
			removePage()
			removeMetrics()
		})
	}
	w.Cleanup(stop)
	return l.Addr().String(), stop
}

// echoAfter replies with the request after a while.
func echoAfter(d time.Duration) *server.FrameHandler {
	return server.Frames(framing.Format{}, func(ctx context.Context, req []byte) ([]byte, error) {
		if d > 0 {
			select {
			case <-time.After(d):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		return req, nil
	})
}

// proxy puts a network in front of a server.
func (w *world) proxy(addr string) *faultproxy.Proxy {
	p, err := faultproxy.New(addr, nil)
	require.NoError(w, err)
	w.Cleanup(func() { _ = p.Close() })
	return p
}

// client makes a client that is observed.
func (w *world) client(addr string, config gtcp.ClientConfig) *gtcp.Client {
	hooks := w.page.Hooks("orders")
	config.Hooks, config.Pool.Hooks, config.Pipeline.Hooks = hooks, hooks, hooks
	c := gtcp.NewClient(addr, config)
	w.page.AddClient("orders", c)
	w.metrics.AddClient("orders", c)
	w.Cleanup(func() { _ = c.Close() })
	return c
}

// load calls from many callers until the test ends. Each call may take limit.
func (w *world) load(c *gtcp.Client, callers int, limit time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	w.Cleanup(func() {
		cancel()
		all.Wait()
	})
	for range callers {
		all.Go(func() {
			for ctx.Err() == nil {
				one, end := context.WithTimeout(ctx, limit)
				_, _ = c.Call(one, []byte("request"))
				end()
				select {
				case <-ctx.Done():
				case <-time.After(5 * time.Millisecond):
				}
			}
		})
	}
}

// works waits until calls succeed.
func (w *world) works(c *gtcp.Client) {
	require.Eventually(w, func() bool {
		_, err := c.Call(w.Context(), []byte("request"))
		return err == nil
	}, 30*time.Second, time.Millisecond)
}

// small is a pool of few connections.
func small(n int) gtcp.ClientConfig {
	return gtcp.ClientConfig{Pool: pool.Config{MaxConns: n}, Pipeline: pipeline.Config{MaxConns: n}}
}
