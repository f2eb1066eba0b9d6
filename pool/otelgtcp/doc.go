// Package otelgtcp gives the figures and the traces of clients, pools, pipelines
// and servers to OpenTelemetry. It needs only the API packages of OpenTelemetry;
// the program chooses the SDK and the exporters.
//
//	telemetry, err := otelgtcp.New(otelgtcp.Config{})
//	client := gtcp.NewClient(addr, telemetry.ClientConfig("orders", gtcp.ClientConfig{}))
//	telemetry.AddClient("orders", client)
//
//	srv := &server.Server{Handler: handler, Hooks: []any{telemetry.ServerHook("api")}}
//	telemetry.AddServer("api", srv)
//
// There are two parts, and each works without the other:
//
//   - ClientConfig, PoolConfig, PipelineConfig and ServerHook install hooks. They
//     record how long each call, request, wait and dial took, and make spans.
//   - AddClient, AddPool, AddPipeline and AddServer read Stat when the provider
//     collects. They report all that is counted or is a state. Calls cost nothing
//     more.
//
// # Metrics
//
// Calls follow OpenTelemetry's conventions for RPC: rpc.client.call.duration and
// rpc.server.call.duration. OpenTelemetry has conventions for connection pools of
// databases only, db.client.connection.*; here they have the prefix gtcp in place
// of db. One name differs: gtcp.client.connections is the number of connections,
// because Prometheus reserves the ending "count". docs/metrics.md lists all
// metrics. dashboard.json is a Grafana dashboard of them, for Prometheus.
//
// The attribute gtcp.name is the name given to ClientConfig or AddClient. The
// number of time series does not depend on the peer or on the number of servers:
//
//   - server.address is the address that a client was made for, of at most 100
//     clients of one configuration. A service of many servers has none.
//   - error.type is one of 13 kinds of errors.
//   - rpc.method is one of Config.Methods, or _OTHER.
//
// # Traces
//
// A call is one tree of spans:
//
//	gtcp.call               the call, with all attempts
//	  gtcp.attempt          one attempt (kind client)
//	    gtcp.acquire        the wait for a connection, if there was one
//	    gtcp.dial           the dial, if one was needed
//	    gtcp.request        the request at the server (kind server)
//
// If the method is one of Config.Methods, the first and the last have its name.
// Only calls and requests ask the sampler. If a call is not recorded, its attempts,
// waits and dials make no spans. A pool or a pipeline that is used without a Client
// adds to the span in the context of its caller, and begins no trace. The spans have
// the address of the server as an attribute, and the metrics do not.
//
// To continue a trace at the server, set Envelope in ClientConfig and in
// server.FrameHandler. Each request then carries the trace context of W3C: the
// trace, the span of the attempt, and whether it is recorded. tracestate and baggage
// are not sent.
//
// # Cost
//
// A duration is one Record with attributes made in advance. A call that is not
// sampled costs one span that is not recorded. docs/benchmarks.md has the
// numbers. A TracerProvider of package trace/noop removes the spans, and leaves
// the metrics.
package otelgtcp
