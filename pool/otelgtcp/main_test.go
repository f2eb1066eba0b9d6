package otelgtcp_test

import (
	"context"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool/otelgtcp"
	"github.com/seed-99d6a01a/gtcp/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorded is a Telemetry and what it records.
type recorded struct {
	*otelgtcp.Telemetry
	reader *metric.ManualReader
	spans  *tracetest.InMemoryExporter
}

func record(t testing.TB, sampler trace.Sampler, config otelgtcp.Config) recorded {
	r := recorded{reader: metric.NewManualReader(), spans: tracetest.NewInMemoryExporter()}
	meters := metric.NewMeterProvider(metric.WithReader(r.reader))
	tracers := trace.NewTracerProvider(trace.WithSyncer(r.spans), trace.WithSampler(sampler))
	if config.MeterProvider == nil {
		config.MeterProvider = meters
	}
	if config.TracerProvider == nil {
		config.TracerProvider = tracers
	}
	var err error
	r.Telemetry, err = otelgtcp.New(config)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, r.Close())
		require.NoError(t, meters.Shutdown(context.Background()))
		require.NoError(t, tracers.Shutdown(context.Background()))
	})
	return r
}

// metrics returns what a reader collects, by name.
func (r recorded) metrics(t testing.TB) map[string]metricdata.Metrics {
	var all metricdata.ResourceMetrics
	require.NoError(t, r.reader.Collect(context.Background(), &all))
	by := map[string]metricdata.Metrics{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			by[m.Name] = m
		}
	}
	return by
}

// point is one time series: its attributes, and its value or its count.
type point struct {
	attributes string
	value      int64
}

func points(m metricdata.Metrics) (all []point) {
	add := func(set attribute.Set, n int64) {
		all = append(all, point{set.Encoded(attribute.DefaultEncoder()), n})
	}
	switch data := m.Data.(type) {
	case metricdata.Histogram[float64]:
		for _, p := range data.DataPoints {
			add(p.Attributes, int64(p.Count))
		}
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			add(p.Attributes, p.Value)
		}
	case metricdata.Gauge[int64]:
		for _, p := range data.DataPoints {
			add(p.Attributes, p.Value)
		}
	case metricdata.Gauge[float64]:
		for _, p := range data.DataPoints {
			add(p.Attributes, int64(p.Value))
		}
	}
	return all
}

// serve starts srv on a loopback port.
func serve(t testing.TB, srv *server.Server) (addr string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		_ = srv.Close()
		<-served
	})
	return l.Addr().String()
}

func echo() *server.FrameHandler {
	return server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) { return req, nil })
}
