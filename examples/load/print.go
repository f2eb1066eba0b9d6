package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// printText prints the results as tables.
func (t test) printText(w io.Writer, results []outcome, interrupted bool) error {
	if interrupted {
		fmt.Fprintln(w, "interrupted; these are the results so far")
	}
	fmt.Fprintln(w, t.says())
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\tcalls/s\tp50\tp90\tp99\tp99.9\tmax\tcalls\tfailed")
	for _, o := range results {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\n", o.name, count(o.rate()), quantiles(o.fromDue), count(float64(o.calls)), o.failed)
		if t.rate > 0 {
			fmt.Fprintf(table, "  from the start of the call\t\t%s\n", quantiles(o.fromStart))
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, o := range results {
		for _, kind := range slices.Sorted(maps.Keys(o.kinds)) {
			fmt.Fprintf(w, "%s: %d failed: %s, for example %q\n", o.name, o.kinds[kind], kind, o.example[kind])
		}
		if t.rate > 0 && o.late > 0 {
			fmt.Fprintf(w, "%s: %s of the calls started more than %v late\n", o.name, percent(o.late, o.calls), lateAfter)
		}
	}
	return t.printRatios(w, results)
}

// says is one sentence about how the calls were made.
func (t test) says() string {
	how := fmt.Sprintf("Closed loop: %d callers, each calls again at once. Latency counts from the start of a call.", t.callers)
	if t.rate > 0 {
		how = fmt.Sprintf("Open loop: %s calls a second are due, %d can be in progress. Latency counts from the due time.", count(t.rate), t.callers)
	}
	return fmt.Sprintf("%s Requests of %d bytes, %v for each target.", how, len(t.request), t.duration)
}

// printRatios compares the targets with the first one, turn by turn.
func (t test) printRatios(w io.Writer, results []outcome) error {
	if len(results) < 2 {
		return nil
	}
	_, err := fmt.Fprintf(w, "\nTimes %s, medians of %d turns of %v (least to greatest):\n\n", results[0].name, len(results[0].turns), min(t.turn, t.duration))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\tcalls/s\tp50\tp99")
	for _, o := range results[1:] {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", o.name, o.ratio(results[0], rateOf), o.ratio(results[0], p50Of), o.ratio(results[0], p99Of))
	}
	return errors.Join(err, table.Flush())
}

func (o outcome) ratio(base outcome, figure func(turn) float64) string {
	s, ok := o.versus(base, figure)
	if !ok {
		return "–"
	}
	return fmt.Sprintf("%.2f (%.2f to %.2f)", s.Median, s.Min, s.Max)
}

// quantiles are the cells from p50 to max.
func quantiles(h *hdrhistogram.Histogram) string {
	return fmt.Sprintf("%s\t%s\t%s\t%s\t%s", short(h.ValueAtQuantile(50)), short(h.ValueAtQuantile(90)),
		short(h.ValueAtQuantile(99)), short(h.ValueAtQuantile(99.9)), short(h.Max()))
}

// short prints nanoseconds with three digits that count.
func short(ns int64) string {
	d := time.Duration(ns)
	unit := time.Duration(1)
	for unit*1000 <= d {
		unit *= 10
	}
	return d.Round(unit).String()
}

func percent(part, whole int64) string {
	return strconv.FormatFloat(100*float64(part)/float64(whole), 'f', 1, 64) + " %"
}

// count prints a number with commas.
func count(x float64) string {
	s := strconv.FormatFloat(x, 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// document is the JSON form of the results. Times are in nanoseconds.
type document struct {
	Rate         float64    `json:"rate,omitempty"` // asked for, of an open loop
	Callers      int        `json:"callers"`
	RequestBytes int        `json:"request_bytes"`
	Interrupted  bool       `json:"interrupted"`
	Targets      []measured `json:"targets"`
}

type measured struct {
	Name     string            `json:"name"`
	Address  string            `json:"address"`
	Shared   bool              `json:"shared"`
	Conns    int               `json:"conns,omitempty"`
	Seconds  float64           `json:"seconds"`
	Calls    int64             `json:"calls"`
	Failed   int64             `json:"failed"`
	Failures map[string]int64  `json:"failures,omitempty"`
	Examples map[string]string `json:"examples,omitempty"`
	Late     int64             `json:"started_late"`
	Rate     float64           `json:"calls_per_second"`
	FromDue  map[string]int64  `json:"latency_ns"`
	// FromStart leaves out how long a call was due before it started.
	FromStart map[string]int64 `json:"latency_from_start_ns"`
	// Against are the ratios to the first target, turn by turn.
	Against map[string]spread `json:"against_first,omitempty"`
}

// printJSON prints the results as one JSON value.
func (t test) printJSON(w io.Writer, results []outcome, interrupted bool) error {
	d := document{Rate: t.rate, Callers: t.callers, RequestBytes: len(t.request), Interrupted: interrupted}
	for i, o := range results {
		m := measured{
			Name: o.name, Address: o.addr, Shared: o.shared, Conns: o.conns, Seconds: o.length.Seconds(),
			Calls: o.calls, Failed: o.failed, Failures: o.kinds, Examples: o.example, Late: o.late, Rate: o.rate(),
			FromDue: percentiles(o.fromDue), FromStart: percentiles(o.fromStart),
		}
		if i > 0 {
			m.Against = map[string]spread{}
			for name, figure := range map[string]func(turn) float64{"calls_per_second": rateOf, "p50": p50Of, "p99": p99Of} {
				if s, ok := o.versus(results[0], figure); ok {
					m.Against[name] = s
				}
			}
		}
		d.Targets = append(d.Targets, m)
	}
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(d)
}

func percentiles(h *hdrhistogram.Histogram) map[string]int64 {
	all := map[string]int64{"min": h.Min(), "mean": int64(h.Mean()), "max": h.Max()}
	for _, p := range []float64{50, 75, 90, 95, 99, 99.9, 99.99} {
		all["p"+strconv.FormatFloat(p, 'f', -1, 64)] = h.ValueAtQuantile(p)
	}
	return all
}
