package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs the program and its pages until the test ends.
func start(t *testing.T) (p *program, url string) {
	p, err := newProgram()
	require.NoError(t, err)
	pages := httptest.NewServer(p.pages())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.run(ctx, time.Millisecond) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
		pages.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return p, pages.URL
}

func get(t require.TestingT, url string) string {
	reply, err := http.Get(url)
	require.NoError(t, err)
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	require.NoError(t, err)
	require.Equal(t, 200, reply.StatusCode, url)
	return string(body)
}

func TestRun(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var out bytes.Buffer
	require.NoError(t, run(ctx, "127.0.0.1:0", time.Millisecond, &out))
	for _, page := range pageList {
		require.Contains(t, out.String(), page[0]+"  "+page[1])
	}
	require.Error(t, run(t.Context(), "256.0.0.1:http", time.Millisecond, &out))
}

func TestPages(t *testing.T) {
	p, url := start(t)
	require.Eventually(t, func() bool { return p.orders.Stat().Calls > 200 }, time.Minute, 10*time.Millisecond)

	index := get(t, url+"/")
	for _, page := range pageList {
		require.Contains(t, index, page[1])
	}
	metrics := get(t, url+"/metrics")
	for _, name := range []string{"orders", "prices", "catalog", "sessions", "bare", "api"} {
		require.Contains(t, metrics, `name="`+name+`"`)
	}
	require.Contains(t, get(t, url+"/otel/metrics"), `rpc_client_call_duration_seconds_count{gtcp_name="orders",`)
	require.Contains(t, get(t, url+"/debug/gtcp/"), "catalog")
	traces := get(t, url+"/traces")
	require.Contains(t, traces, "gtcp.call")
	require.Regexp(t, `(?m)^  gtcp\.attempt .*\n    gtcp\.request `, traces, "one tree, the server's side included")
	require.Regexp(t, `(?m)^session .*\n  gtcp\.request `, traces)

	for name, r := range map[string]*prometheus.Registry{"promgtcp": p.prometheus, "otelgtcp": p.otel} {
		problems, err := testutil.GatherAndLint(r) // what promtool check metrics does
		require.NoError(t, err, name)
		require.Empty(t, problems, name)
	}
}

// The dashboards ask for metrics that exist, and for labels that these have.
func TestDashboards(t *testing.T) {
	p, _ := start(t)
	for path, r := range map[string]*prometheus.Registry{
		"../../pool/promgtcp/dashboard.json": p.prometheus, "../../pool/otelgtcp/dashboard.json": p.otel,
	} {
		exprs := expressions(t, path)
		require.Greater(t, len(exprs), 20)
		// What is counted for a kind of error is there from the first error of it.
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			assert.Empty(c, unknown(r, exprs))
		}, time.Minute, 50*time.Millisecond, path)
	}
}

// unknown is the names in expressions that r does not export.
func unknown(r *prometheus.Registry, exprs []string) (names []string) {
	families, err := r.Gather()
	if err != nil {
		return []string{err.Error()}
	}
	known := map[string]bool{"gtcp_name": true}
	for _, f := range families {
		known[f.GetName()] = true
		for _, ending := range []string{"_bucket", "_sum", "_count"} {
			known[f.GetName()+ending] = f.GetType().String() == "HISTOGRAM"
		}
	}
	for _, expr := range exprs {
		for _, name := range regexp.MustCompile(`\b(gtcp|rpc)_[a-z_]+`).FindAllString(expr, -1) {
			rare := strings.HasSuffix(name, "_closed_total") // no connection has ended yet
			if !known[name] && !rare {
				names = append(names, name)
			}
		}
	}
	return names
}

// expressions are the queries of a dashboard.
func expressions(t *testing.T, path string) (all []string) {
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var dashboard struct {
		Title  string
		Panels []struct {
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
	}
	d := json.NewDecoder(bytes.NewReader(text))
	require.NoError(t, d.Decode(&dashboard), path)
	require.NotEmpty(t, dashboard.Title)
	for _, panel := range dashboard.Panels {
		require.NotEmpty(t, panel.Title)
		for _, target := range panel.Targets {
			require.NotEmpty(t, target.LegendFormat)
			all = append(all, target.Expr)
		}
	}
	return all
}
