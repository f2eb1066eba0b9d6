package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/pictures"
	"github.com/seed-99d6a01a/gtcp/internal/chart"
)

// TestChartsShowThePage holds docs/benchmarks.md and its charts together: each
// table has a chart, and each chart is what its table gives.
func TestChartsShowThePage(t *testing.T) {
	page := filepath.Join("..", "..", "..", "docs", "benchmarks.md")
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	want, err := charts(string(text))
	require.NoError(t, err)
	require.Len(t, want, strings.Count(string(text), " rounds)\n"))
	got, err := pictures.Read(page, prefix)
	require.NoError(t, err)
	require.Len(t, got, len(want))
	for name, svg := range want {
		require.Equal(t, string(svg), string(got[name]), "go run ./report -charts draws %s", name)
	}
}

func TestBarsOf(t *testing.T) {
	const table = "|  | requests/s | allocs/op | times a (range) | times b (range) |\n|---|---:|---:|---:|---:|\n"
	b, err := barsOf("title", pictures.Cells(table+
		"| a | 1,200 | 0 | 1 | 2 |\n| **b** | 600 | 0 | 0.50 (0.40 to 1,000) | 1 |\n| c | stands still |  |  |  |\n| d | 1 | 0 | ∞ (1 to ∞) | – |\n"))
	require.NoError(t, err)
	require.Equal(t, "requests/s, times that of a: median and range of the rounds. More is better.", b.Caption)
	inf, err := figure("∞")
	require.NoError(t, err)
	require.Equal(t, []chart.Bar{
		{Name: "a", Min: 1, Median: 1, Max: 1, Note: "1,200 requests/s"},
		{Name: "b", Min: 0.4, Median: 0.5, Max: 1000, Note: "600 requests/s", Ours: true},
		{Name: "c", Note: "stands still", None: true},
		{Name: "d", Min: 1, Median: inf, Max: inf, Note: "1 requests/s"},
	}, b.Rows)

	b, err = barsOf("title", pictures.Cells("|  | 1 B, GB/s | 2 B, GB/s | 1 B, GB/s: times a (range) | 2 B, GB/s: times a (range) |\n|---|\n"+
		"| **a** | 5 | 6 | 1 | 1 |\n| **b** | 7 | 8 | 1.40 (1 to 2) | 1.33 (1 to 3) |\n"))
	require.NoError(t, err)
	require.Equal(t, "GB/s, times that of a: median and range of the rounds. More is better.", b.Caption)
	require.Equal(t, []chart.Bar{
		{Name: "b, 1 B", Min: 1, Median: 1.4, Max: 2, Note: "7 GB/s", Ours: true},
		{Name: "b, 2 B", Min: 1, Median: 1.33, Max: 3, Note: "8 GB/s", Ours: true},
	}, b.Rows)

	for name, cells := range map[string][][]string{
		"no table":      nil,
		"no ratios":     {{"", "ns/op", "allocs/op"}, {"a", "1", "2"}},
		"a short row":   {{"", "ns/op", "times a (range)"}, {"a", "1"}},
		"not a figure":  {{"", "ns/op", "times a (range)"}, {"a", "1", "one"}},
		"half a figure": {{"", "ns/op", "times a (range)"}, {"a", "1", "1 (0 to x)"}},
	} {
		_, err := barsOf("title", cells)
		require.Error(t, err, name)
	}
}

func TestChartsNeedNamesOfTheirOwn(t *testing.T) {
	const one = "![Chart of the table below: a](charts/bench-a.svg)\n\n|  | ns/op | times a (range) |\n|---|---|---|\n| a | 1 | 1 |\n\n"
	drawn, err := charts(one)
	require.NoError(t, err)
	require.Contains(t, drawn, "bench-a.svg")
	_, err = charts(one + one)
	require.ErrorContains(t, err, "two charts")
	_, err = charts(strings.Replace(one, "|", "", -1))
	require.ErrorContains(t, err, "bench-a.svg: no table")
	require.Equal(t, "bench-x-a-b.svg", chartName("x", "A, b!"))
	require.LessOrEqual(t, len(chartName("x", strings.Repeat("long ", 99))), 100)
}
