package promgtcp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/pool/promgtcp"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
	"github.com/seed-99d6a01a/gtcp/retry"
	"github.com/seed-99d6a01a/gtcp/server"
)

// serve starts a server of frames that echoes.
func serve(t *testing.T) (addr string, srv *server.Server) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv = &server.Server{Handler: server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) { return req, nil })}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		_ = srv.Close()
		<-served
	})
	return l.Addr().String(), srv
}

// registered returns a collector and a registry that has it.
func registered(t *testing.T) (*promgtcp.Collector, *prometheus.Registry) {
	c, r := promgtcp.New(), prometheus.NewPedanticRegistry()
	require.NoError(t, r.Register(c))
	return c, r
}

// scrape is what Prometheus would read.
func scrape(t *testing.T, r *prometheus.Registry) string {
	w := httptest.NewRecorder()
	promhttp.HandlerFor(r, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}).
		ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	require.Equal(t, 200, w.Code, w.Body)
	return w.Body.String()
}

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

func TestCollector(t *testing.T) {
	c, r := registered(t)
	addr, srv := serve(t)
	exclusive := gtcp.NewClient(addr, gtcp.ClientConfig{})
	shared := gtcp.NewClient(addr, gtcp.ClientConfig{Shared: true})
	service := gtcp.NewClient("", gtcp.ClientConfig{Resolver: resolve.Addrs(addr)})
	lost := gtcp.NewClient("127.0.0.1:1", gtcp.ClientConfig{Retry: retry.Policy{MaxAttempts: 2, Backoff: retry.Constant(0)}})
	for name, client := range map[string]*gtcp.Client{
		"exclusive": exclusive, "shared": shared, "service": service, "lost": lost, "busy": overloaded(addr),
	} {
		defer client.Close()
		c.AddClient(name, client)
		_, err := client.Call(t.Context(), []byte("x"))
		require.Equal(t, name == "lost" || name == "busy", err != nil)
	}
	p, err := pool.New(conn.Target{Address: addr}, pool.Config{})
	require.NoError(t, err)
	defer p.Close()
	c.AddPool("sessions", p)
	pipe, err := pipeline.New(conn.Target{Address: addr}, framing.Format{}, pipeline.Config{})
	require.NoError(t, err)
	defer pipe.Close()
	c.AddPipeline("bare", pipe)
	c.AddServer("api", srv)

	text := scrape(t, r)
	for _, line := range []string{
		`gtcp_client_calls_total{name="exclusive"} 1`,
		`gtcp_client_calls_total{name="shared"} 1`,
		`gtcp_client_errors_total{kind="refused",name="lost"} 1`,
		`gtcp_client_retries_total{name="lost"} 1`,
		`gtcp_client_endpoints_refused_total{name="busy"} 2`,
		`gtcp_client_endpoints_refused_total{name="service"} 0`,
		`gtcp_connections{name="exclusive",state="idle"} 1`,
		`gtcp_connections{name="service",state="idle"} 1`,
		`gtcp_connections_acquired_total{name="exclusive"} 1`,
		`gtcp_connections_dials_total{name="lost"} 2`,
		`gtcp_connections_limit{name="sessions"} 64`,
		`gtcp_connections_received_bytes_total{name="exclusive"} 3`,
		`gtcp_pipeline_replies_total{name="shared"} 1`,
		`gtcp_pipeline_replies_total{name="bare"} 0`,
		`gtcp_server_accepted_total{name="api"} 3`,
		`gtcp_server_requests_total{name="api"} 3`,
	} {
		require.Contains(t, text, line+"\n")
	}
	require.NotContains(t, text, "127.0.0.1", "no address is a label")

	problems, err := testutil.GatherAndLint(r)
	require.NoError(t, err)
	require.Empty(t, problems)
}

func TestCollectorRemoves(t *testing.T) {
	c, r := registered(t)
	require.Empty(t, scrape(t, r))
	addr, srv := serve(t)
	client := gtcp.NewClient(addr, gtcp.ClientConfig{})
	defer client.Close()
	remove := c.AddClient("a", client)
	c.AddServer("a", srv)
	require.Panics(t, func() { c.AddClient("a", client) })
	require.Panics(t, func() { c.AddPool("a", nil) })
	require.Contains(t, scrape(t, r), "gtcp_client_calls_total")
	remove()
	remove()
	require.NotContains(t, scrape(t, r), "gtcp_client_calls_total")
	c.AddClient("a", client)
	c.AddClient("\xff", client)
	require.Panics(t, func() { c.AddClient("\xfe", client) }, "both are the same label")
	require.Contains(t, scrape(t, r), "{name=\"\uFFFD\"}")

	var twice prometheus.AlreadyRegisteredError
	require.ErrorAs(t, r.Register(promgtcp.New()), &twice, "a second collector is refused")
}

// Ten thousand servers are as many series as one.
func TestCollectorOfManyServers(t *testing.T) {
	c, r := registered(t)
	set := make(resolve.Static, 10_000)
	for i := range set {
		set[i].Addr = net.JoinHostPort(net.IPv4(10, 0, byte(i>>8), byte(i)).String(), "1")
	}
	client := gtcp.NewClient("", gtcp.ClientConfig{Resolver: set})
	defer client.Close()
	c.AddClient("fleet", client)
	require.Eventually(t, func() bool { return client.Stat().Balance.Endpoints == len(set) }, 1e10, 1e7)
	require.Less(t, strings.Count(scrape(t, r), "\n"), 200)
}

// The pools of a GoFrame program are one, whatever their number.
func TestCollectorOfNewPoolConn(t *testing.T) {
	c, r := registered(t)
	c.AddNewPoolConn("facade")
	for range 3 {
		addr, _ := serve(t)
		p, err := gtcp.NewPoolConn(addr)
		require.NoError(t, err)
		require.NoError(t, p.Close())
	}
	require.GreaterOrEqual(t, gtcp.PoolsStat().Dials, uint64(3))
	text := scrape(t, r)
	require.Contains(t, text, fmt.Sprintf("gtcp_connections_dials_total{name=\"facade\"} %d\n", gtcp.PoolsStat().Dials))
	require.NotContains(t, text, "127.0.0.1")
}

// The dashboard asks for metrics that exist.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("dashboard.json")
	require.NoError(t, err)
	require.True(t, json.Valid(text))
	known := map[string]bool{}
	descs := make(chan *prometheus.Desc, 200)
	promgtcp.New().Describe(descs)
	close(descs)
	for d := range descs {
		known[regexp.MustCompile(`fqName: "([^"]+)"`).FindStringSubmatch(d.String())[1]] = true
	}
	names := regexp.MustCompile(`gtcp_[a-z_]+`).FindAllString(string(text), -1)
	require.NotEmpty(t, names)
	for _, name := range names {
		require.True(t, known[name], name)
	}
}

func Example() {
	metrics := promgtcp.New()
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics)

	client := gtcp.NewClient("127.0.0.1:8999", gtcp.ClientConfig{})
	defer client.Close()
	metrics.AddClient("orders", client)

	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "gtcp_client_calls_total") {
			_, _ = io.WriteString(os.Stdout, line)
		}
	}
	// Output: gtcp_client_calls_total{name="orders"} 0
}

// What a program has: a port of its own for Prometheus.
func ExampleNew() {
	client := gtcp.NewClient("127.0.0.1:8999", gtcp.ClientConfig{})
	srv := &server.Server{}

	metrics := promgtcp.New()
	prometheus.MustRegister(metrics)
	metrics.AddClient("orders", client)
	metrics.AddServer("api", srv)

	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.Handler())
	operators := &http.Server{Addr: "127.0.0.1:6060", Handler: mux}

	_ = operators // go operators.ListenAndServe()
	_ = client.Close()
	// Output:
}
