package otelgtcp_test

import (
	"context"
	"fmt"
	"log"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/pool/otelgtcp"
	"github.com/seed-99d6a01a/gtcp/retry"
	"github.com/seed-99d6a01a/gtcp/server"
)

func Example() {
	// A program has exporters in place of these.
	reader, spans := metric.NewManualReader(), tracetest.NewInMemoryExporter()
	telemetry, err := otelgtcp.New(otelgtcp.Config{
		MeterProvider:  metric.NewMeterProvider(metric.WithReader(reader)),
		TracerProvider: trace.NewTracerProvider(trace.WithSyncer(spans)),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer telemetry.Close()

	client := gtcp.NewClient("127.0.0.1:1", telemetry.ClientConfig("orders", gtcp.ClientConfig{
		Retry: retry.Policy{MaxAttempts: 1},
	}))
	defer client.Close()
	telemetry.AddClient("orders", client)

	_, err = client.Call(context.Background(), []byte("hello"))
	fmt.Println("failed:", err != nil)
	for _, span := range spans.GetSpans() {
		fmt.Println(span.Name, span.Status.Code)
	}
	var collected metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &collected); err != nil {
		log.Fatal(err)
	}
	for _, m := range collected.ScopeMetrics[0].Metrics {
		if m.Name == "gtcp.client.calls" {
			fmt.Println(m.Name, m.Data.(metricdata.Sum[int64]).DataPoints[0].Value)
		}
	}
	// Output:
	// failed: true
	// gtcp.dial Error
	// gtcp.acquire Error
	// gtcp.attempt Error
	// gtcp.call Error
	// gtcp.client.calls 1
}

// What a program has: the providers that it gave to OpenTelemetry, a client and a
// server.
func ExampleNew() {
	telemetry, err := otelgtcp.New(otelgtcp.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer telemetry.Close()

	client := gtcp.NewClient("127.0.0.1:8999", telemetry.ClientConfig("orders", gtcp.ClientConfig{}))
	telemetry.AddClient("orders", client)

	srv := &server.Server{Hooks: []any{telemetry.ServerHook("api")}}
	telemetry.AddServer("api", srv)

	_ = client.Close()
	// Output:
}
