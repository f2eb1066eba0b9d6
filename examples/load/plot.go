package main

import (
	"fmt"
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/seed-99d6a01a/gtcp/internal/chart"
)

// latencies draws the percentiles of each target. Of one target at a rate, it
// draws also what a tool sees that starts its clock when a call starts.
func (t test) latencies(results []outcome) []byte {
	l := chart.Lines{
		Title: "Latency by percentile", Caption: fmt.Sprintf("%s, requests of %d bytes", t.loop(), len(t.request)),
		XName: "percentile of the calls", YName: "ms", Percentiles: true, Log: true,
	}
	for _, o := range results {
		name := o.name
		if t.rate > 0 && len(results) == 1 {
			name = "from the due time"
		}
		l.Curves = append(l.Curves, chart.Curve{Name: name, Points: points(o.fromDue)})
		if t.rate > 0 && len(results) == 1 {
			l.Curves = append(l.Curves, chart.Curve{Name: "from the start of the call", Points: points(o.fromStart), Dashed: true})
		}
	}
	return l.SVG()
}

// loop says in a few words how calls are made.
func (t test) loop() string {
	if t.rate > 0 {
		return count(t.rate) + " calls/s due"
	}
	return fmt.Sprintf("%d callers, each calls again at once", t.callers)
}

// points are the percentiles as far as there are calls for them: the 99.9th needs
// a thousand.
func points(h *hdrhistogram.Histogram) (all []chart.Point) {
	calls := float64(h.TotalCount())
	for tail := 1.0; tail*calls >= 1; tail /= math.Pow(10, 0.05) {
		p := math.Round(1e6*100*(1-tail)) / 1e6
		all = append(all, chart.Point{X: p, Y: float64(h.ValueAtQuantile(p)) / float64(time.Millisecond)})
	}
	return all
}

// throughputs draws the calls a second of each target, and the range of its turns.
func (t test) throughputs(results []outcome) []byte {
	b := chart.Bars{
		Title:   "Calls a second that succeed",
		Caption: fmt.Sprintf("%s, requests of %d bytes; median and range of the turns. More is better.", t.loop(), len(t.request)),
	}
	for _, o := range results {
		s, ok := o.versus(outcome{turns: ones(len(o.turns))}, rateOf)
		b.Rows = append(b.Rows, chart.Bar{
			Name: o.name, Min: s.Min, Median: s.Median, Max: s.Max, Ours: true, None: !ok,
			Note: "p99 " + short(o.fromDue.ValueAtQuantile(99)),
		})
	}
	return b.SVG()
}

// ones are turns whose figures are 1.
func ones(n int) []turn {
	all := make([]turn, n)
	for i := range all {
		all[i] = turn{1, 1, 1}
	}
	return all
}
