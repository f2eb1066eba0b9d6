//go:build linux

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/pictures"
)

// TestMain plays the parts of the stage too: the director starts this program
// again for them.
func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case roleServer:
		end(serve(os.Stdin, os.Stdout))
	case roleClient:
		end(callLoop(os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

// TestShortForm plays the ten cases of the short form. It looks at what must never
// happen, and at no time.
func TestShortForm(t *testing.T) {
	if testing.Short() {
		t.Skip("takes two minutes")
	}
	if err := available(); err != nil {
		t.Skip(err)
	}
	_, faults, err := playAll(t.Context(), options{short: true, match: regexp.MustCompile("")}, writer{t})
	require.NoError(t, err)
	require.Empty(t, faults)
}

// writer writes to the log of a test.
type writer struct{ t *testing.T }

func (w writer) Write(b []byte) (int, error) {
	w.t.Log(string(b))
	return len(b), nil
}

func TestShortFormIsTenCases(t *testing.T) {
	n := 0
	var takes time.Duration
	names := map[string]bool{}
	for _, c := range cases {
		require.False(t, names[c.name], c.name)
		names[c.name] = true
		require.NotEmpty(t, c.steps, c.name)
		if c.short {
			n++
			takes += warmUp + c.steps[len(c.steps)-1].at + c.after
		}
	}
	require.Equal(t, 10, n)
	require.LessOrEqual(t, takes, 2*time.Minute)
}

func TestMeasure(t *testing.T) {
	at := func(ms ...int) (all []int64) {
		for _, m := range ms {
			all = append(all, time.Unix(0, 0).Add(time.Duration(m)*time.Millisecond).UnixNano())
		}
		return all
	}
	moment := func(ms int) time.Time { return time.Unix(0, 0).Add(time.Duration(ms) * time.Millisecond) }
	const ms = time.Millisecond
	for _, c := range []struct {
		name          string
		ok            []int64
		mended, ended int
		want          result
	}{
		{"mended", at(500, 1500, 3250, 3500), 3000, 4000, result{goodput: .5, outage: 1750 * ms, recovery: 250 * ms}},
		{"never again", at(500, 1500), 3000, 4000, result{goodput: .5, outage: 2500 * ms, never: true}},
		{"a fault that stays", at(500, 4000, 4100), 1000, 5000, result{goodput: .5, outage: 3000 * ms, recovery: 3000 * ms}},
		{"stays, never again", at(500, 1100), 1000, 5000, result{goodput: .25, outage: 3900 * ms, recovery: 3900 * ms, never: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := measure(report{OK: c.ok}, moment(1000), moment(c.mended), moment(c.ended), 0)
			got.report = report{}
			require.Equal(t, c.want, got)
		})
	}
}

func TestPage(t *testing.T) {
	o := outcome{scenario: scenario{name: "a fault", goal: time.Second}, results: map[string]result{
		"exclusive": {goodput: 199.6, recovery: time.Second / 2}, "gRPC": {never: true}}}
	text := page([]outcome{o}, nil)
	require.Contains(t, text, "| a fault | 1.00 | 0.50 | 0.00 |")
	require.Contains(t, text, "| a fault | 200 | 0 |")
	require.Contains(t, text, "1 of 1 reached")
	require.False(t, strings.Contains(text, "{{"))
}

// TestChartShowsThePage holds docs/chaos.md and its chart together.
func TestChartShowsThePage(t *testing.T) {
	file := filepath.Join("..", "..", "..", "docs", "chaos.md")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	want, err := charts(string(text))
	require.NoError(t, err)
	got, err := pictures.Read(file, prefix)
	require.NoError(t, err)
	require.Equal(t, want, got, "go run ./chaos -charts draws it")
	for name := range want {
		require.Contains(t, string(text), "(charts/"+name+")")
	}
}

func TestChartsOfAPage(t *testing.T) {
	o := outcome{scenario: scenario{name: "a fault", goal: time.Second}, results: map[string]result{
		"exclusive": {recovery: time.Second / 2}, "gRPC": {never: true}}}
	drawn, err := charts(page([]outcome{o}, nil))
	require.NoError(t, err)
	require.Contains(t, string(drawn["chaos-recovery.svg"]), "a fault (goal 1): exclusive 0.5, shared 0,")
	require.Contains(t, string(drawn["chaos-recovery.svg"]), "gRPC never")

	for name, text := range map[string]string{
		"no table":     "\n## Recovery\n\ntext",
		"no section":   "| case | goal | a |\n|---|---|---|\n| x | 1 | 2 |\n",
		"a short row":  "\n## Recovery\n| case | goal | a |\n|---|---|---|\n| x | 1 |\n",
		"not a number": "\n## Recovery\n| case | goal | a |\n|---|---|---|\n| x | 1 | soon |\n",
	} {
		_, err := charts(text)
		require.Error(t, err, name)
	}
}

func TestFaults(t *testing.T) {
	o := outcome{scenario: scenario{name: "x"}, results: map[string]result{
		"exclusive": {report: report{Wrong: 1}, doubles: 2}, facade: {report: report{Files: 99}}, "go-redis": {doubles: 7}}}
	require.Equal(t, []string{"x: exclusive: 1 wrong replies", "x: exclusive: 2 requests executed twice"}, o.faults())
}
