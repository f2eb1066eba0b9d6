package otelgtcp_test

import (
	"context"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/otelgtcp"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
	"github.com/seed-99d6a01a/gtcp/retry"
	"github.com/seed-99d6a01a/gtcp/server"
)

// documented is a row of docs/metrics.md.
type documented struct{ name, unit, attributes, meaning string }

// everything makes each metric occur, with each attribute.
func everything(t *testing.T) (rows []documented) {
	r := record(t, trace.NeverSample(), otelgtcp.Config{
		Method: func(context.Context) string { return "get" }, Methods: []string{"get"},
	})
	handler := server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) {
		if string(req) == "bad" {
			return nil, context.DeadlineExceeded
		}
		return req, nil
	})
	handler.ErrorReply = func(context.Context, error) []byte { return nil }
	srv := &server.Server{Logger: slog.New(slog.DiscardHandler), Handler: handler, Hooks: []any{r.ServerHook("api")}}
	r.AddServer("api", srv)
	addr := serve(t, srv)
	once := retry.Policy{MaxAttempts: 1}
	for name, config := range map[string]gtcp.ClientConfig{
		"exclusive": {}, "shared": {Shared: true}, "service": {Resolver: resolve.Addrs(addr)}, "lost": {Retry: once},
	} {
		to := map[string]string{"service": "", "lost": "127.0.0.1:1"}[name]
		if name == "exclusive" || name == "shared" {
			to = addr
		}
		client := gtcp.NewClient(to, r.ClientConfig(name, config))
		defer client.Close()
		r.AddClient(name, client)
		_, err := client.Call(t.Context(), []byte("x"))
		require.Equal(t, name == "lost", err != nil)
		_, err = client.Call(t.Context(), []byte("bad"))
		require.Error(t, err)
	}
	p, err := pool.New(conn.Target{Address: addr}, r.PoolConfig("sessions", pool.Config{}))
	require.NoError(t, err)
	defer p.Close()
	r.AddPool("sessions", p)
	c, err := p.Get(t.Context())
	require.NoError(t, err)
	c.EvictFor(context.DeadlineExceeded)
	require.NoError(t, c.Close())
	require.NoError(t, srv.Shutdown(t.Context()))

	for _, m := range r.metrics(t) {
		keys := map[string]bool{}
		for _, set := range attributeSets(m) {
			for _, a := range set.ToSlice() {
				keys["`"+string(a.Key)+"`"] = true
			}
		}
		names := make([]string, 0, len(keys))
		for k := range keys {
			names = append(names, k)
		}
		slices.Sort(names)
		rows = append(rows, documented{m.Name, m.Unit, strings.Join(names, ", "), m.Description})
	}
	slices.SortFunc(rows, func(a, b documented) int { return strings.Compare(a.name, b.name) })
	return rows
}

func attributeSets(m metricdata.Metrics) (all []attribute.Set) {
	switch data := m.Data.(type) {
	case metricdata.Histogram[float64]:
		for _, p := range data.DataPoints {
			all = append(all, p.Attributes)
		}
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			all = append(all, p.Attributes)
		}
	case metricdata.Gauge[int64]:
		for _, p := range data.DataPoints {
			all = append(all, p.Attributes)
		}
	case metricdata.Gauge[float64]:
		for _, p := range data.DataPoints {
			all = append(all, p.Attributes)
		}
	}
	return all
}

// TestDocument holds docs/metrics.md against what is exported: the same metrics,
// units, attributes and meanings.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/metrics.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(text), "\n## OpenTelemetry\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	var rows []documented
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_.]+)` \\| ([^|]*) \\| ([^|]*) \\| ([^|]*) \\|$").FindAllStringSubmatch(section, -1) {
		rows = append(rows, documented{row[1], row[2], row[3], row[4]})
	}
	slices.SortFunc(rows, func(a, b documented) int { return strings.Compare(a.name, b.name) })
	require.Equal(t, everything(t), rows)
}
