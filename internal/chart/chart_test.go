package chart_test

import (
	"bytes"
	"encoding/xml"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/internal/chart"
)

var update = flag.Bool("update", false, "write the golden files")

type drawing interface{ SVG() []byte }

func ratios() chart.Bars {
	return chart.Bars{
		Title: "One request in flight on each of 64 connections", Caption: "requests/s, times server.Frames; more is better", Base: 1,
		Rows: []chart.Bar{
			{Name: "server.Frames", Min: 1, Median: 1, Max: 1, Note: "85,817 requests/s", Ours: true},
			{Name: "gtcp", Min: 0.71, Median: 0.98, Max: 1.64, Note: "96,567 requests/s"},
			{Name: "netpoll", Min: 0.52, Median: 1.02, Max: 9, Note: "96,935 requests/s"},
			{Name: "standard library, 64 KiB each way", Min: 0.62, Median: 1.05, Max: 1.38, Note: "96,278 requests/s"},
			{Name: "silenceper", Note: "stands still", None: true},
		},
	}
}

func farApart() chart.Bars {
	return chart.Bars{
		Title: "Pipelined on one connection", Caption: "requests/s, times server.Frames; more is better", Base: 1,
		Rows: []chart.Bar{
			{Name: "server.Frames", Min: 1, Median: 1, Max: 1, Note: "22.7 M", Ours: true},
			{Name: "gtcp", Min: 0.004, Median: 0.01, Max: 0.04, Note: "0.27 M"},
			{Name: "gnet", Min: 0.57, Median: 0.95, Max: 1.73, Note: "21.6 M"},
			{Name: "none at all", Min: 0, Median: 0, Max: 0, Note: "0"},
		},
	}
}

func recoveries() chart.Dots {
	return chart.Dots{
		Title: "Recovery", Caption: "Seconds from the end of the fault to the first call that succeeds; less is better", Least: 0.01,
		Kinds: []chart.Kind{{Name: "exclusive", Ours: true}, {Name: "shared", Ours: true}, {Name: "go-redis"}, {Name: "net/http"}, {Name: "gRPC"}, {Name: "a fifth"}},
		Never: "never", Goal: "goal",
		Rows: []chart.DotRow{
			{Name: "partition of 30 s", Goal: 0.5, Values: []float64{0.04, 0, 0.17, 0.05, 24.11, 1}},
			{Name: "host dies, its name moves after 3 s", Goal: 6, Values: []float64{3.08, 3.06, 3.06, 3.06, math.Inf(1), 2}},
			{Name: "a case whose name is longer than its column can be made to hold", Values: []float64{1, 2, 3, 4, 5, 6}},
		},
	}
}

func percentiles() chart.Lines {
	return chart.Lines{
		Title: "Latency", Caption: "1,000 calls a second", XName: "percentile", YName: "ms", Percentiles: true, Log: true,
		Curves: []chart.Curve{
			{Name: "from the due time", Points: []chart.Point{{X: 0, Y: 0.1}, {X: 50, Y: 0.2}, {X: 90, Y: 120}, {X: 99, Y: 450}, {X: 99.9, Y: 500}}},
			{Name: "from the start of the call", Dashed: true, Points: []chart.Point{{X: 0, Y: 0.1}, {X: 50, Y: 0.15}, {X: 90, Y: 0.2}, {X: 99, Y: 0.4}, {X: 99.99, Y: 500}}},
		},
	}
}

func rates() chart.Lines {
	return chart.Lines{Title: "Calls a second", XName: "callers", YName: "k/s",
		Curves: []chart.Curve{{Name: "shared", Points: []chart.Point{{X: 1, Y: 50}, {X: 64, Y: 700}, {X: 256, Y: 1130}}}}}
}

func TestGolden(t *testing.T) {
	for name, d := range map[string]drawing{
		"bars": ratios(), "bars-log": farApart(), "dots": recoveries(), "lines-percentiles": percentiles(), "lines": rates(),
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join("testdata", name+".svg")
			got := d.SVG()
			require.Equal(t, got, d.SVG(), "the same data give the same bytes")
			if *update {
				require.NoError(t, os.WriteFile(file, got, 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err, "go test ./internal/chart -update writes it")
			require.Equal(t, string(want), string(got))
		})
	}
}

// TestWellFormed holds also for what nobody should draw.
func TestWellFormed(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for name, d := range map[string]drawing{
		"bars":              ratios(),
		"log bars":          farApart(),
		"dots":              recoveries(),
		"percentiles":       percentiles(),
		"lines":             rates(),
		"no bars":           chart.Bars{Title: "t"},
		"no dots":           chart.Dots{Title: "t", Least: 1},
		"no least":          chart.Dots{Kinds: []chart.Kind{{}}, Rows: []chart.DotRow{{Values: []float64{1}}}},
		"no curves":         chart.Lines{Title: "t", Log: true},
		"an empty curve":    chart.Lines{Curves: []chart.Curve{{Name: "none"}}, Percentiles: true},
		"zero":              chart.Bars{Rows: []chart.Bar{{Name: "zero"}}},
		"infinite":          chart.Bars{Rows: []chart.Bar{{Name: "a", Min: 1, Median: inf, Max: inf}, {Name: "b", Median: 1}}},
		"not a number":      chart.Bars{Base: 1, Rows: []chart.Bar{{Name: "a", Min: nan, Median: nan, Max: nan}}},
		"all 100th":         chart.Lines{Percentiles: true, Curves: []chart.Curve{{Points: []chart.Point{{X: 100, Y: 1}}}}},
		"one value, log":    chart.Lines{Log: true, Curves: []chart.Curve{{Points: []chart.Point{{X: 1, Y: 10}}}}},
		"names with markup": chart.Bars{Title: `<a & "b">`, Caption: "]]>", Rows: []chart.Bar{{Name: "</text>", Note: "&amp;", Median: 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			checkSVG(t, d.SVG())
		})
	}
}

// checkSVG reads the chart as a browser does, and finds marks outside of it.
func checkSVG(t *testing.T, svg []byte) {
	t.Helper()
	require.NotContains(t, string(svg), "NaN")
	require.NotContains(t, string(svg), "Inf")
	limits := regexp.MustCompile(`viewBox="0 0 (\d+) (\S+)"`).FindSubmatch(svg)
	require.NotNil(t, limits)
	wide, high := parse(t, string(limits[1])), parse(t, string(limits[2]))
	seen := map[string]int{}
	for in := xml.NewDecoder(bytes.NewReader(svg)); ; {
		token, err := in.Token()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		seen[start.Name.Local]++
		for _, a := range start.Attr {
			switch a.Name.Local {
			case "x", "x1", "x2", "cx":
				require.LessOrEqual(t, parse(t, a.Value), wide)
				require.GreaterOrEqual(t, parse(t, a.Value), 0.0)
			case "y", "y1", "y2", "cy":
				require.LessOrEqual(t, parse(t, a.Value), high)
				require.GreaterOrEqual(t, parse(t, a.Value), 0.0)
			case "width", "height", "r":
				require.GreaterOrEqual(t, parse(t, a.Value), 0.0)
			}
		}
	}
	for _, element := range []string{"svg", "title", "desc", "style"} {
		require.Equal(t, 1, seen[element], element)
	}
}

func parse(t *testing.T, s string) float64 {
	t.Helper()
	x, err := strconv.ParseFloat(s, 64)
	require.NoError(t, err)
	return x
}

// TestDescriptions are what a screen reader says.
func TestDescriptions(t *testing.T) {
	for _, c := range []struct {
		d    drawing
		want []string
	}{
		{ratios(), []string{"more is better", "server.Frames: 1.", "gtcp: 0.98, from 0.71 to 1.64.", "silenceper: stands still."}},
		{recoveries(), []string{"partition of 30 s (goal 0.5): exclusive 0.04, shared 0, go-redis 0.17", "gRPC never"}},
		{percentiles(), []string{"1,000 calls a second. from the due time: 0.2 ms at 50 %, 120 ms at 90 %, 450 ms at 99 %, 500 ms at 99.9 %."}},
	} {
		svg := string(c.d.SVG())
		_, desc, ok := strings.Cut(svg, `<desc id="d">`)
		require.True(t, ok)
		desc, _, _ = strings.Cut(desc, "</desc>")
		for _, want := range c.want {
			require.Contains(t, desc, want)
		}
	}
}

// TestBarsAreInProportion reads the widths of the bars.
func TestBarsAreInProportion(t *testing.T) {
	widths := func(b chart.Bars) (all []float64) {
		for _, m := range regexp.MustCompile(`<rect class="(?:peer|ours)" x="\S+" y="\S+" width="(\S+)"`).FindAllSubmatch(b.SVG(), -1) {
			all = append(all, parse(t, string(m[1])))
		}
		return all
	}
	linear := widths(chart.Bars{Rows: []chart.Bar{{Median: 1}, {Median: 2}, {Median: 5}}})
	require.InDelta(t, 2, linear[1]/linear[0], 0.01)
	require.InDelta(t, 5, linear[2]/linear[0], 0.02)

	// Of ratios that are far apart, 0.1 and 10 are equally far from the base.
	log := widths(chart.Bars{Base: 1, Rows: []chart.Bar{{Median: 0.1}, {Median: 10}, {Median: 100}}})
	require.InDelta(t, log[0], log[1], 0.2)
	require.InDelta(t, 2*log[0], log[2], 0.2)
}
