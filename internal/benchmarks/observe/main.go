// Command observe measures what it costs to be observed: a Client that is called
// by one caller, without hooks, with promgtcp, and with otelgtcp's metrics and
// traces. The client and its server are in this process.
package main

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/compare"
	"github.com/seed-99d6a01a/gtcp/pool/otelgtcp"
	"github.com/seed-99d6a01a/gtcp/pool/promgtcp"
	"github.com/seed-99d6a01a/gtcp/server"
)

const (
	payload = 64
	// scrapeEvery is how many calls there are between two collections: at 15 µs
	// about a second's, where a Prometheus takes 15 seconds or more.
	scrapeEvery = 1 << 16
)

func main() {
	compare.Main(compare.Settings{Rounds: 401, Length: 4 * time.Millisecond}, func(p *compare.Program) error {
		p.Ours = []string{"no hooks", "promgtcp", "otelgtcp"}
		for _, shared := range []bool{false, true} {
			if err := clients(p, shared); err != nil {
				return err
			}
		}
		return servers(p)
	})
}

// clients compares what observes a client, exclusive or shared.
func clients(p *compare.Program, shared bool) error {
	addr, err := serve()
	if err != nil {
		return err
	}
	config := gtcp.ClientConfig{Shared: shared}
	plain := gtcp.NewClient(addr, config)

	scraped := gtcp.NewClient(addr, config)
	collector, registry := promgtcp.New(), prometheus.NewRegistry()
	registry.MustRegister(collector)
	collector.AddClient("orders", scraped)

	metrics, sampled, here := newTelemetry(-1, nil), newTelemetry(.01, trace.WithBatcher), newTelemetry(.01, syncer)
	measured := gtcp.NewClient(addr, metrics.ClientConfig("orders", config))
	metrics.AddClient("orders", measured)
	traced := gtcp.NewClient(addr, sampled.ClientConfig("orders", config))
	sampled.AddClient("orders", traced)
	kept := gtcp.NewClient(addr, here.ClientConfig("orders", config))
	here.AddClient("orders", kept)

	title, ref := "1 caller, exclusive Client, request and reply of 64 bytes", "G.3"
	if shared {
		title, ref = "1 caller, shared Client, request and reply of 64 bytes", "G.3, shared"
	}
	c := compare.Comparison{
		Title: title, CPU: true, Allocs: true,
		Candidates: []compare.Candidate{
			calls("no hooks", plain, nil),
			calls("promgtcp", scraped, func() error { _, err := registry.Gather(); return err }),
			calls("otelgtcp, metrics", measured, metrics.collect),
			calls("otelgtcp, metrics and 1 % of traces", traced, sampled.collect),
			calls("the same, spans exported by the caller", kept, here.collect),
		},
	}
	for i, most := range []float64{1.02, 1.05, 1.08, 1.08} {
		c.Goals = append(c.Goals, compare.Goal{Ref: ref, Says: "costs little", Of: c.Candidates[1+i].Name,
			To: []string{"no hooks"}, Want: compare.AtMost(most)})
	}
	return p.Compare(c)
}

// servers compares what observes a server.
func servers(p *compare.Program) error {
	metrics, sampled := newTelemetry(-1, nil), newTelemetry(.01, trace.WithBatcher)
	var candidates []compare.Candidate
	for _, c := range []struct {
		name    string
		hooks   []any
		collect func() error
	}{
		{"no hooks", nil, nil},
		{"otelgtcp, metrics", []any{metrics.ServerHook("api")}, metrics.collect},
		{"otelgtcp, metrics and 1 % of traces", []any{sampled.ServerHook("api")}, sampled.collect},
	} {
		addr, err := serve(c.hooks...)
		if err != nil {
			return err
		}
		candidates = append(candidates, calls(c.name, gtcp.NewClient(addr, gtcp.ClientConfig{}), c.collect))
	}
	return p.Compare(compare.Comparison{
		Title: "1 caller, exclusive Client without hooks, server observed", CPU: true, Allocs: true, Candidates: candidates,
	})
}

// telemetry is an otelgtcp.Telemetry with a reader of its metrics.
type telemetry struct {
	*otelgtcp.Telemetry
	reader *metric.ManualReader
}

// batcher is a way to export spans.
type batcher func(trace.SpanExporter, ...trace.BatchSpanProcessorOption) trace.TracerProviderOption

// syncer exports them on the goroutine that ends them.
func syncer(e trace.SpanExporter, _ ...trace.BatchSpanProcessorOption) trace.TracerProviderOption {
	return trace.WithSyncer(e)
}

// newTelemetry samples that part of the traces; negative makes none.
func newTelemetry(part float64, export batcher) telemetry {
	reader := metric.NewManualReader()
	config := otelgtcp.Config{
		MeterProvider:  metric.NewMeterProvider(metric.WithReader(reader)),
		TracerProvider: noop.NewTracerProvider(),
	}
	if part >= 0 {
		config.TracerProvider = trace.NewTracerProvider(export(tracetest.NewNoopExporter()),
			trace.WithSampler(trace.ParentBased(trace.TraceIDRatioBased(part))))
	}
	t, err := otelgtcp.New(config)
	if err != nil {
		panic(err) // the configuration is ours
	}
	return telemetry{t, reader}
}

func (t telemetry) collect() error {
	var into metricdata.ResourceMetrics
	return t.reader.Collect(context.Background(), &into)
}

// serve starts a server that echoes.
func serve(hooks ...any) (addr string, err error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	srv := &server.Server{Hooks: hooks, Handler: &server.FrameHandler{
		Append: func(_ context.Context, dst, req []byte) ([]byte, error) { return append(dst, req...), nil },
	}}
	go func() { panic(srv.Serve(l)) }()
	return l.Addr().String(), nil
}

var errReply = errors.New("reply of a wrong size")

// calls is a candidate of one caller, whose figures collect reads now and then.
func calls(name string, c *gtcp.Client, collect func() error) compare.Candidate {
	request, dst := make([]byte, payload), make([]byte, 0, payload)
	var made atomic.Int64
	return compare.Candidate{Name: name, Do: func(n int) error {
		for range n {
			reply, err := c.AppendCall(context.Background(), dst, request)
			if err != nil {
				return err
			}
			if len(reply) != payload {
				return errReply
			}
			if made.Add(1)%scrapeEvery == 0 && collect != nil {
				if err := collect(); err != nil {
					return err
				}
			}
		}
		return nil
	}}
}
