package promgtcp_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/balance"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/pool/promgtcp"
)

// section returns a part of docs/metrics.md.
func section(t *testing.T, title string) string {
	text, err := os.ReadFile("../../docs/metrics.md")
	require.NoError(t, err)
	_, part, found := strings.Cut(string(text), "\n## "+title+"\n")
	require.True(t, found, title)
	part, _, _ = strings.Cut(part, "\n## ")
	return part
}

// TestDocument holds docs/metrics.md against the collector: the same metrics,
// labels and meanings.
func TestDocument(t *testing.T) {
	var rows, want []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([^|]*) \\| ([^|]*) \\|$").FindAllStringSubmatch(section(t, "Prometheus"), -1) {
		rows = append(rows, strings.Join(row[1:], " | "))
	}
	descs := make(chan *prometheus.Desc, 200)
	promgtcp.New().Describe(descs)
	close(descs)
	parts := regexp.MustCompile(`fqName: "([^"]+)", help: "([^"]+)".* variableLabels: {name,?([a-z,]*)}`)
	for d := range descs {
		of := parts.FindStringSubmatch(d.String())
		label := of[3]
		if label != "" {
			label = "`" + label + "`"
		}
		want = append(want, strings.Join([]string{of[1], label, of[2]}, " | "))
	}
	require.ElementsMatch(t, want, rows)
}

// TestDocumentOfLabels looks for each value that a label can have.
func TestDocumentOfLabels(t *testing.T) {
	text := section(t, "Values of labels")
	values := []string{
		conn.KindRefused, conn.KindTimeout, conn.KindCanceled, conn.KindPeerClosed, conn.KindReset, conn.KindOverloaded,
		conn.KindDial, conn.KindProtocol, conn.KindApplication, conn.KindClosed, conn.KindOther, "resolve",
		"too_many_waiters", "max_conns", "max_conns_per_ip", "oversize", "idle", "used", "active", "new", "draining",
	}
	for r := range (pool.Evictions{}) {
		values = append(values, pool.Reason(r).String())
	}
	for r := range (pipeline.Ends{}) {
		values = append(values, pipeline.Reason(r).String())
	}
	for s := balance.Ready; s < balance.Removed; s++ {
		values = append(values, s.String())
	}
	values = slices.DeleteFunc(values, func(v string) bool { return v == "kept" || v == "none" })
	for _, v := range values {
		require.Contains(t, text, "`"+strings.ReplaceAll(v, " ", "_")+"`")
	}
}
