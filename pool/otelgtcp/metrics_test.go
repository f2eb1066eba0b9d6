package otelgtcp_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/otelgtcp"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
	"github.com/seed-99d6a01a/gtcp/retry"
	"github.com/seed-99d6a01a/gtcp/server"
)

func TestCallMetrics(t *testing.T) {
	for _, shared := range []bool{false, true} {
		t.Run(fmt.Sprintf("shared=%v", shared), func(t *testing.T) {
			r := record(t, trace.NeverSample(), otelgtcp.Config{})
			srv := &server.Server{Handler: echo(), Hooks: []any{r.ServerHook("api")}}
			addr := serve(t, srv)
			_, port, _ := net.SplitHostPort(addr)
			client := gtcp.NewClient(addr, r.ClientConfig("orders", gtcp.ClientConfig{Shared: shared}))
			defer client.Close()
			for range 3 {
				_, err := client.Call(t.Context(), []byte("x"))
				require.NoError(t, err)
			}
			lost := gtcp.NewClient("127.0.0.1:1", r.ClientConfig("lost", gtcp.ClientConfig{Shared: shared, Retry: retry.Policy{MaxAttempts: 1}}))
			defer lost.Close()
			_, err := lost.Call(t.Context(), []byte("x"))
			require.Error(t, err)
			require.NoError(t, srv.Shutdown(t.Context())) // AfterRequest has returned

			got := r.metrics(t)
			calls := got["rpc.client.call.duration"]
			require.Equal(t, "s", calls.Unit)
			require.ElementsMatch(t, []point{
				{"gtcp.name=orders,rpc.system.name=gtcp,server.address=127.0.0.1,server.port=" + port, 3},
				{"error.type=refused,gtcp.name=lost,rpc.system.name=gtcp,server.address=127.0.0.1,server.port=1", 1},
			}, points(calls))
			require.Equal(t, []point{{"gtcp.name=api,rpc.system.name=gtcp", 3}}, points(got["rpc.server.call.duration"]))
			require.ElementsMatch(t, []point{{"gtcp.name=orders", 1}, {"error.type=refused,gtcp.name=lost", 1}},
				points(got["gtcp.client.connection.create_time"]))
			if !shared {
				waits := points(got["gtcp.client.connection.wait_time"])
				require.Contains(t, waits, point{"error.type=refused,gtcp.name=lost", 1})
				require.Len(t, waits, 2, "the first call waited; on a busy machine, others may have")
			}
			require.Empty(t, r.spans.GetSpans(), "no call is sampled")
		})
	}
}

func TestPoolMetrics(t *testing.T) {
	r := record(t, trace.NeverSample(), otelgtcp.Config{})
	p, err := pool.New(conn.Target{Address: serve(t, &server.Server{Handler: echo()})}, r.PoolConfig("sessions", pool.Config{}))
	require.NoError(t, err)
	defer p.Close()
	for range 3 {
		c, err := p.Get(t.Context())
		require.NoError(t, err)
		require.NoError(t, c.Close())
	}
	got := r.metrics(t)
	require.Equal(t, []point{{"gtcp.name=sessions", 1}}, points(got["gtcp.client.connection.create_time"]))
	require.Len(t, points(got["gtcp.client.connection.wait_time"]), 1)
	require.Equal(t, []point{{"gtcp.name=sessions", 3}}, points(got["gtcp.client.connection.use_time"]))
}

// A caller that waits for a connection to be released has waited too.
func TestWaitForARelease(t *testing.T) {
	r := record(t, trace.AlwaysSample(), otelgtcp.Config{})
	p, err := pool.New(conn.Target{Address: serve(t, &server.Server{Handler: echo()})}, r.PoolConfig("sessions", pool.Config{MaxConns: 1}))
	require.NoError(t, err)
	defer p.Close()
	held, err := p.Get(t.Context())
	require.NoError(t, err)
	got := make(chan error, 1)
	go func() {
		c, err := p.Get(context.Background())
		if err == nil {
			err = c.Close()
		}
		got <- err
	}()
	require.Eventually(t, func() bool { return p.Stat().OldestWait > time.Millisecond }, 10*time.Second, time.Millisecond)
	require.NoError(t, held.Close())
	require.NoError(t, <-got)
	require.Equal(t, []point{{"gtcp.name=sessions", 2}}, points(r.metrics(t)["gtcp.client.connection.wait_time"]), "and so has one that dials")
}

// Each outcome of a request has its error.type.
func TestServerErrorTypes(t *testing.T) {
	r := record(t, trace.NeverSample(), otelgtcp.Config{})
	handler := server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) {
		switch string(req) {
		case "silent":
			return nil, server.ErrNoReply
		case "late":
			return nil, context.DeadlineExceeded
		case "odd":
			return nil, strange{}
		case "panic":
			panic("for the test")
		}
		return req, nil
	})
	handler.ErrorReply = func(context.Context, error) []byte { return []byte("no") }
	srv := &server.Server{Logger: slog.New(slog.DiscardHandler), Handler: handler, Hooks: []any{r.ServerHook("api")}}
	addr := serve(t, srv)
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer c.Close()
	format := framing.Format{}
	for _, request := range []string{"fine", "silent", "late", "odd", "panic"} {
		frame, err := format.Append(nil, []byte(request))
		require.NoError(t, err)
		_, err = c.Write(frame)
		require.NoError(t, err)
	}
	_, err = c.Read(make([]byte, 100))
	for err == nil {
		_, err = c.Read(make([]byte, 100))
	}
	require.NoError(t, srv.Shutdown(t.Context()))
	const common = "gtcp.name=api,rpc.system.name=gtcp"
	require.ElementsMatch(t, []point{
		{common, 2}, {"error.type=timeout," + common, 1}, {"error.type=_OTHER," + common, 1}, {"error.type=panic," + common, 1},
	}, points(r.metrics(t)["rpc.server.call.duration"]))
}

// strange is an error with a kind of its own: it must not become a label.
type strange struct{}

func (strange) Error() string { return "strange" }
func (strange) Kind() string  { return "user-4711" }

// busy is the error of a server that has replied that it has too much to do.
type busy struct{}

func (busy) Error() string    { return "too much to do" }
func (busy) Kind() string     { return conn.KindOverloaded }
func (busy) Overloaded() bool { return true }

// overloaded is a client of a server that has too much to do.
func overloaded(addr string) *gtcp.Client {
	return gtcp.NewClient("", gtcp.ClientConfig{
		Resolver: resolve.Addrs(addr), Retry: retry.Policy{MaxAttempts: 2, Idempotent: true, Backoff: retry.Constant(0)},
		InterceptAttempt: func(gtcp.Invoker) gtcp.Invoker {
			return func(context.Context, []byte, []byte) ([]byte, error) { return nil, busy{} }
		},
	})
}

func TestStatMetrics(t *testing.T) {
	r := record(t, trace.NeverSample(), otelgtcp.Config{})
	srv := &server.Server{Handler: echo()}
	addr := serve(t, srv)
	exclusive := gtcp.NewClient(addr, gtcp.ClientConfig{})
	shared := gtcp.NewClient(addr, gtcp.ClientConfig{Shared: true})
	service := gtcp.NewClient("", gtcp.ClientConfig{Resolver: resolve.Addrs(addr)})
	lost := gtcp.NewClient("127.0.0.1:1", gtcp.ClientConfig{Retry: retry.Policy{MaxAttempts: 2, Backoff: retry.Constant(0)}})
	for name, client := range map[string]*gtcp.Client{
		"exclusive": exclusive, "shared": shared, "service": service, "lost": lost, "busy": overloaded(addr),
	} {
		defer client.Close()
		r.AddClient(name, client)
		_, err := client.Call(t.Context(), []byte("x"))
		require.Equal(t, name == "lost" || name == "busy", err != nil)
	}
	p, err := pool.New(conn.Target{Address: addr}, pool.Config{MinIdle: 1})
	require.NoError(t, err)
	defer p.Close()
	r.AddPool("sessions", p)
	pipe, err := pipeline.New(conn.Target{Address: addr}, framing.Format{}, pipeline.Config{})
	require.NoError(t, err)
	defer pipe.Close()
	r.AddPipeline("bare", pipe)
	r.AddServer("api", srv)

	got := r.metrics(t)
	for _, c := range []struct {
		metric, attributes string
		value              int64
	}{
		{"gtcp.client.calls", "gtcp.name=shared", 1},
		{"gtcp.client.errors", "error.type=refused,gtcp.name=lost", 1},
		{"gtcp.client.retries", "gtcp.name=lost", 1},
		{"gtcp.client.connections", "gtcp.name=exclusive,gtcp.state=idle", 1},
		{"gtcp.client.connections", "gtcp.name=shared,gtcp.state=used", 1},
		{"gtcp.client.connections", "gtcp.name=service,gtcp.state=idle", 1},
		{"gtcp.client.endpoints", "gtcp.name=service,gtcp.state=ready", 1},
		{"gtcp.client.endpoint.refused", "gtcp.name=busy", 2},
		{"gtcp.client.endpoint.refused", "gtcp.name=service", 0},
		{"gtcp.client.connection.dial_errors", "gtcp.name=lost", 2},
		{"gtcp.client.connection.max", "gtcp.name=sessions", 64},
		{"gtcp.client.connection.idle.min", "gtcp.name=sessions", 1},
		{"gtcp.client.connection.io", "gtcp.name=exclusive,network.io.direction=receive", 3},
		{"gtcp.client.connection.io", "gtcp.name=exclusive,network.io.direction=transmit", 3},
		{"gtcp.client.endpoints", "gtcp.name=service,gtcp.state=ejected", 0},
		{"gtcp.client.pipeline.replies", "gtcp.name=shared", 1},
		{"gtcp.client.pipeline.in_flight", "gtcp.name=bare", 0},
		{"gtcp.client.pipeline.writes", "gtcp.name=shared", 1},
		{"gtcp.server.requests", "gtcp.name=api", 3},
	} {
		require.Contains(t, points(got[c.metric]), point{c.attributes, c.value}, c.metric)
	}
	for name, m := range got {
		for _, p := range points(m) {
			require.NotContains(t, p.attributes, "127.0.0.1", "%s: no address", name)
		}
	}
}

// The pools of a GoFrame program are one, whatever their number.
func TestNewPoolConnMetrics(t *testing.T) {
	r := record(t, trace.NeverSample(), otelgtcp.Config{})
	r.AddNewPoolConn("facade")
	for range 3 {
		p, err := gtcp.NewPoolConn(serve(t, &server.Server{Handler: echo()}))
		require.NoError(t, err)
		require.NoError(t, p.Close())
	}
	require.GreaterOrEqual(t, gtcp.PoolsStat().Idle, 3)
	require.Contains(t, points(r.metrics(t)["gtcp.client.connections"]), point{"gtcp.name=facade,gtcp.state=idle", int64(gtcp.PoolsStat().Idle)})
}

func TestAddAndRemove(t *testing.T) {
	r := record(t, trace.NeverSample(), otelgtcp.Config{})
	require.Empty(t, r.metrics(t))
	client := gtcp.NewClient("127.0.0.1:1", gtcp.ClientConfig{})
	defer client.Close()
	remove := r.AddClient("a", client)
	r.AddServer("a", &server.Server{})
	require.Panics(t, func() { r.AddClient("a", client) })
	require.Panics(t, func() { r.AddPool("a", nil) })
	require.Contains(t, r.metrics(t), "gtcp.client.retries")
	remove()
	again := r.AddClient("a", client)
	remove() // does not remove its successor
	require.NotEmpty(t, points(r.metrics(t)["gtcp.client.retries"]))
	again()
	require.Empty(t, points(r.metrics(t)["gtcp.client.retries"]))
	require.NoError(t, r.Close())
	require.Empty(t, points(r.metrics(t)["gtcp.server.requests"]))
}

// A service of ten thousand servers has as many time series as one of one.
func TestSeriesOfManyServers(t *testing.T) {
	r := record(t, trace.NeverSample(), otelgtcp.Config{})
	set := make(resolve.Static, 10_000)
	for i := range set {
		set[i].Addr = net.JoinHostPort(net.IPv4(127, 0, byte(i>>8), byte(i)).String(), "1")
	}
	client := gtcp.NewClient("", r.ClientConfig("fleet", gtcp.ClientConfig{Resolver: set, Retry: retry.Policy{MaxAttempts: 1}}))
	defer client.Close()
	r.AddClient("fleet", client)
	require.Eventually(t, func() bool { return client.Stat().Balance.Endpoints == len(set) }, 10*time.Second, 10*time.Millisecond)
	for range 500 {
		_, err := client.Call(t.Context(), []byte("x"))
		require.Error(t, err)
	}
	require.Less(t, r.series(t), 200)
}

// Nor do ten thousand clients of one configuration have a series each.
func TestSeriesOfManyClients(t *testing.T) {
	r := record(t, trace.NeverSample(), otelgtcp.Config{})
	config := r.ClientConfig("fleet", gtcp.ClientConfig{
		CallTimeout: time.Second, Retry: retry.Policy{MaxAttempts: 1},
		Intercept: func(gtcp.Invoker) gtcp.Invoker {
			return func(context.Context, []byte, []byte) ([]byte, error) { return nil, errors.New("no network here") }
		},
	})
	for i := range 10_000 {
		client := gtcp.NewClient(fmt.Sprintf("host-%d:1", i), config)
		_, err := client.Call(t.Context(), []byte("x"))
		require.Error(t, err)
		require.NoError(t, client.Close())
	}
	require.Len(t, points(r.metrics(t)["rpc.client.call.duration"]), 101, "100 addresses, and all others as one without")
}

// What a caller or a peer calls a method becomes no series, unless it is a known
// one; the spans have it.
func TestMethods(t *testing.T) {
	r := record(t, trace.AlwaysSample(), otelgtcp.Config{Methods: []string{"get", "put"}})
	handler := echo()
	handler.Envelope = true
	srv := &server.Server{Handler: handler, Hooks: []any{r.ServerHook("api")}}
	client := gtcp.NewClient(serve(t, srv), r.ClientConfig("orders", gtcp.ClientConfig{Envelope: true}))
	defer client.Close()
	call := func(method string) {
		_, err := client.CallWith(t.Context(), nil, []byte("x"), gtcp.CallOptions{Method: method})
		require.NoError(t, err)
	}
	for i := range 1000 {
		call(fmt.Sprintf("method-%d", i))
	}
	call("get")
	call("")
	require.NoError(t, srv.Shutdown(t.Context()))
	for _, metric := range []string{"rpc.client.call.duration", "rpc.server.call.duration"} {
		got := points(r.metrics(t)[metric])
		require.Len(t, got, 3)
		for _, p := range got {
			switch {
			case strings.Contains(p.attributes, "rpc.method=get"), !strings.Contains(p.attributes, "rpc.method"):
				require.EqualValues(t, 1, p.value)
			default:
				require.Contains(t, p.attributes, "rpc.method=_OTHER")
				require.EqualValues(t, 1000, p.value)
			}
		}
	}
	named, original := map[string]int{}, map[string]bool{}
	for _, span := range r.spans.GetSpans() {
		named[span.Name]++
		original[attributes(span)["rpc.method_original"].AsString()] = true
	}
	require.Equal(t, 2, named["get"], "of the call and of the request")
	require.Equal(t, 1001, named["gtcp.call"])
	require.Equal(t, 1001, named["gtcp.request"])
	require.True(t, original["method-999"])
}

// Without known methods there is no such attribute.
func TestNoMethods(t *testing.T) {
	r := record(t, trace.AlwaysSample(), otelgtcp.Config{})
	client := gtcp.NewClient("127.0.0.1:1", r.ClientConfig("orders", gtcp.ClientConfig{Envelope: true, Retry: retry.Policy{MaxAttempts: 1}}))
	defer client.Close()
	for i := range 10 {
		_, err := client.CallWith(t.Context(), nil, nil, gtcp.CallOptions{Method: fmt.Sprint(i)})
		require.Error(t, err)
	}
	require.Len(t, points(r.metrics(t)["rpc.client.call.duration"]), 1)
	require.Equal(t, "0", attributes(find(t, r.spans.GetSpans(), "gtcp.call"))["rpc.method"].AsString())
}

func (r recorded) series(t *testing.T) (n int) {
	for _, m := range r.metrics(t) {
		n += len(points(m))
	}
	return n
}

func TestConfig(t *testing.T) {
	method := func(context.Context) string { return "" }
	for name, c := range map[string]otelgtcp.Config{
		"twice":    {Method: method, Methods: []string{"a", "a"}},
		"reserved": {Method: method, Methods: []string{"_OTHER"}},
		"empty":    {Method: method, Methods: []string{""}},
		"many":     {Method: method, Methods: strings.Split(strings.Repeat("x,", 201), ",")},
	} {
		require.ErrorContains(t, c.Validate(), "Config.Methods", name)
		_, err := otelgtcp.New(c)
		require.Error(t, err, name)
	}
	require.NoError(t, otelgtcp.Config{}.Validate())
}
