package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/internal/faultproxy"
)

// config has Prometheus scrape both pages, as jobs of their own: a program
// usually has one of them.
const config = `
global: {scrape_interval: 1s}
scrape_configs:
  - {job_name: promgtcp, static_configs: [{targets: [%[1]q]}]}
  - {job_name: otelgtcp, metrics_path: /otel/metrics, static_configs: [{targets: [%[1]q]}]}
`

// A real Prometheus scrapes the program, and answers what the dashboards ask.
func TestPrometheus(t *testing.T) {
	for _, program := range []string{"prometheus", "promtool"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(program + " is not installed (Debian's package prometheus)")
		}
	}
	_, pages := start(t)
	for _, page := range []string{"/metrics", "/otel/metrics"} {
		check := exec.CommandContext(t.Context(), "promtool", "check", "metrics")
		check.Stdin = strings.NewReader(get(t, pages+page))
		out, err := check.CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Empty(t, string(out), page)
	}
	prometheus := startPrometheus(t, strings.TrimPrefix(pages, "http://"))

	for job, of := range map[string]struct{ path, calls string }{
		"promgtcp": {"../../pool/promgtcp/dashboard.json", `rate(gtcp_client_calls_total{job="promgtcp",name="orders"}[30s]) > 0`},
		"otelgtcp": {"../../pool/otelgtcp/dashboard.json",
			`sum(rate(rpc_client_call_duration_seconds_count{job="otelgtcp",gtcp_name="orders"}[30s])) > 0`},
	} {
		require.Eventually(t, func() bool { n, err := query(prometheus, of.calls); return err == nil && n == 1 },
			time.Minute, 500*time.Millisecond, "%s: %s", job, of.calls)
		some := 0
		for _, expr := range expressions(t, of.path) {
			expr = strings.NewReplacer("$name", ".*", "$__rate_interval", "30s").Replace(expr)
			n, err := query(prometheus, expr)
			require.NoError(t, err, expr)
			if n > 0 {
				some++
			}
		}
		require.Greater(t, some, 15, "most queries of the dashboard have a result")
	}
	for _, expr := range documented(t) {
		_, err := query(prometheus, expr)
		require.NoError(t, err, expr)
	}
}

// documented are the expressions of docs/metrics.md and docs/observe.md.
func documented(t *testing.T) (all []string) {
	for path, pattern := range map[string]string{
		"../../docs/metrics.md": "(?m)\\? \\| `([^`]+)`", "../../docs/observe.md": "(?m)^ +expr: (.*)$",
	} {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		found := regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1)
		require.NotEmpty(t, found, path)
		for _, match := range found {
			all = append(all, match[1])
		}
	}
	return all
}

// startPrometheus starts one that scrapes target, and returns its address.
func startPrometheus(t *testing.T, target string) (addr string) {
	addr, release, err := faultproxy.HeldAddr()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, release()) })
	dir := t.TempDir()
	file := filepath.Join(dir, "prometheus.yml")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, config, target), 0o600))
	var log bytes.Buffer
	cmd := exec.Command("prometheus", "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+addr, "--log.level=warn")
	cmd.Stdout, cmd.Stderr = &log, &log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return addr
}

// query returns how many series are the result of an expression.
func query(addr, expr string) (int, error) {
	reply, err := http.Get("http://" + addr + "/api/v1/query?query=" + url.QueryEscape(expr))
	if err != nil {
		return 0, err
	}
	defer reply.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct{ Result []json.RawMessage }
	}
	if err := json.NewDecoder(reply.Body).Decode(&answer); err != nil {
		return 0, err
	}
	if answer.Status != "success" {
		return 0, fmt.Errorf("%s: %s", expr, answer.Error)
	}
	return len(answer.Data.Result), nil
}
