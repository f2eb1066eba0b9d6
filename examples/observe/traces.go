package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/sdk/trace"
	api "go.opentelemetry.io/otel/trace"
)

// recentTraces is an exporter that keeps the last traces and shows them as
// text. A real program exports to a collector.
type recentTraces struct {
	keep int

	mu     sync.Mutex // guards the fields below
	order  []api.TraceID
	traces map[api.TraceID][]trace.ReadOnlySpan
}

// ExportSpans implements trace.SpanExporter.
func (r *recentTraces) ExportSpans(_ context.Context, spans []trace.ReadOnlySpan) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.traces == nil {
		r.traces = make(map[api.TraceID][]trace.ReadOnlySpan)
	}
	for _, span := range spans {
		id := span.SpanContext().TraceID()
		if r.traces[id] == nil {
			r.order = append(r.order, id)
		}
		r.traces[id] = append(r.traces[id], span)
	}
	for len(r.order) > r.keep {
		delete(r.traces, r.order[0])
		r.order = r.order[1:]
	}
	return nil
}

// Shutdown implements trace.SpanExporter.
func (r *recentTraces) Shutdown(context.Context) error { return nil }

// ServeHTTP shows the traces, the last one first.
func (r *recentTraces) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range slices.Backward(r.order) {
		fmt.Fprintf(w, "%s\n%s\n", id, tree(r.traces[id]))
	}
}

// tree writes the spans of a trace as lines, each below its parent, with when it
// began and how long it took.
func tree(spans []trace.ReadOnlySpan) string {
	sorted := slices.SortedFunc(slices.Values(spans), func(a, b trace.ReadOnlySpan) int { return a.StartTime().Compare(b.StartTime()) })
	known := map[api.SpanID]bool{}
	for _, s := range sorted {
		known[s.SpanContext().SpanID()] = true
	}
	var text strings.Builder
	var write func(parent api.SpanID, depth int)
	write = func(parent api.SpanID, depth int) {
		for _, s := range sorted {
			above := s.Parent().SpanID()
			if !known[above] {
				above = api.SpanID{} // it has not ended, or is of another program
			}
			if above != parent {
				continue
			}
			name := strings.Repeat("  ", depth) + s.Name()
			fmt.Fprintf(&text, "%-24s at %8v for %8v", name, s.StartTime().Sub(sorted[0].StartTime()).Round(time.Microsecond),
				s.EndTime().Sub(s.StartTime()).Round(time.Microsecond))
			for _, a := range s.Attributes() {
				fmt.Fprintf(&text, " %s=%s", a.Key, a.Value.String())
			}
			text.WriteString("\n")
			write(s.SpanContext().SpanID(), depth+1)
		}
	}
	write(api.SpanID{}, 0)
	return text.String()
}
