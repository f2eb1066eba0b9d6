package otelgtcp

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// scope names the instrumentation to OpenTelemetry.
const scope = "github.com/seed-99d6a01a/gtcp/pool/otelgtcp"

// maxMethods limits Config.Methods, because each is a label value of each
// histogram of calls.
const maxMethods = 200

// Config says where the measurements and the spans go. The zero value uses
// the global providers of OpenTelemetry.
type Config struct {
	// MeterProvider gets the metrics. Nil means otel.GetMeterProvider(). To
	// have traces only, set the provider of package metric/noop.
	MeterProvider metric.MeterProvider

	// TracerProvider gets the spans. Nil means otel.GetTracerProvider(). To
	// have metrics only, set the provider of package trace/noop: then no call
	// makes a span, and calls cost less.
	TracerProvider trace.TracerProvider

	// Method, if not nil, returns the name of the method that a call is for,
	// from the context of the call or, on a server, of the request. Nil means
	// that of the envelope: gtcp.CallOptions.Method, and on a server what the
	// client sent. See package framing/envelope.
	Method func(ctx context.Context) string

	// Methods are the names that become the attribute rpc.method of metrics
	// and the names of spans, at most 200. Any other name is "_OTHER" there,
	// because names come from the peer and each one makes new time series. Spans
	// have the real name as an attribute. Nil means that metrics have no methods.
	Methods []string
}

// Validate returns an error that names the first invalid field, or nil.
func (c Config) Validate() error {
	if len(c.Methods) > maxMethods {
		return fmt.Errorf("otelgtcp: Config.Methods has %d names, more than %d", len(c.Methods), maxMethods)
	}
	seen := map[string]bool{otherError: true}
	for _, m := range c.Methods {
		if m == "" || seen[m] {
			return fmt.Errorf("otelgtcp: Config.Methods has %q twice, or it is reserved", m)
		}
		seen[m] = true
	}
	return nil
}

// Telemetry makes the metrics and the spans. Make one with [New] for each
// pair of providers. Its methods may be called from many goroutines.
type Telemetry struct {
	config  Config
	methods methods
	tracer  trace.Tracer // nil without traces

	clientCall, serverCall metric.Float64Histogram
	createTime             metric.Float64Histogram
	waitTime, useTime      metric.Float64Histogram
	stats                  *stats
}

// New makes a Telemetry. An error is one of Config, or of a provider that
// refuses an instrument.
func New(config Config) (*Telemetry, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if config.MeterProvider == nil {
		config.MeterProvider = otel.GetMeterProvider()
	}
	if config.TracerProvider == nil {
		config.TracerProvider = otel.GetTracerProvider()
	}
	t := &Telemetry{config: config, methods: newMethods(config.Methods)}
	if _, off := config.TracerProvider.(noop.TracerProvider); !off {
		t.tracer = config.TracerProvider.Tracer(scope)
	}
	meter := config.MeterProvider.Meter(scope)
	var failed error
	histogram := func(name, description string) metric.Float64Histogram {
		h, err := meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description),
			metric.WithExplicitBucketBoundaries(buckets(name)...))
		failed = errors.Join(failed, err)
		return h
	}
	t.clientCall = histogram("rpc.client.call.duration", "Duration of calls, all attempts included.")
	t.serverCall = histogram("rpc.server.call.duration", "Duration of requests, from arrival to the written reply.")
	t.createTime = histogram("gtcp.client.connection.create_time", "Time that dials took.")
	t.waitTime = histogram("gtcp.client.connection.wait_time", "Time that callers waited for a connection.")
	t.useTime = histogram("gtcp.client.connection.use_time", "Time between the acquire and the release of a connection.")
	var err error
	t.stats, err = newStats(meter)
	if failed = errors.Join(failed, err); failed != nil {
		return nil, fmt.Errorf("otelgtcp: %w", failed)
	}
	return t, nil
}

// Close ends the observation of all that was added with the Add methods. The
// hooks of configurations already in use stay.
func (t *Telemetry) Close() error { return t.stats.close() }

// buckets are the boundaries of a histogram of durations in seconds. Those of
// the rpc metrics are what OpenTelemetry's conventions ask for. The times of
// connections are often shorter.
func buckets(name string) []float64 {
	of := []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}
	if name[:4] != "rpc." {
		of = append([]float64{.00001, .0001, .001}, of...)
	}
	return of
}

// The attributes.
const (
	keyName        = attribute.Key("gtcp.name")
	keyState       = attribute.Key("gtcp.state")
	keyReason      = attribute.Key("gtcp.reason")
	keyAttempt     = attribute.Key("gtcp.attempt")
	keyAttempts    = attribute.Key("gtcp.attempts")
	keyConn        = attribute.Key("gtcp.connection.id")
	keyReused      = attribute.Key("gtcp.connection.reused")
	keyIdleFor     = attribute.Key("gtcp.connection.idle_time")
	keyRequestSize = attribute.Key("gtcp.request.size")
	keyReplySize   = attribute.Key("gtcp.reply.size")
	keyQueueTime   = attribute.Key("gtcp.server.queue_time")
	keyHandleTime  = attribute.Key("gtcp.server.handle_time")
	keyWriteTime   = attribute.Key("gtcp.server.write_time")
	keyDirection   = attribute.Key("network.io.direction")
	keySystem      = attribute.Key("rpc.system.name")
	keyMethod      = attribute.Key("rpc.method")
	keyStatus      = attribute.Key("rpc.response.status_code")
	keyOriginal    = attribute.Key("rpc.method_original")
	keyError       = attribute.Key("error.type")
	keyServer      = attribute.Key("server.address")
	keyServerPort  = attribute.Key("server.port")
	keyPeer        = attribute.Key("network.peer.address")
	keyPeerPort    = attribute.Key("network.peer.port")
)
