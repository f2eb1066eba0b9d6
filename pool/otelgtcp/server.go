package otelgtcp

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed-99d6a01a/gtcp/framing/envelope"
	"github.com/seed-99d6a01a/gtcp/server"
)

// ServerHook returns a hook for server.Server.Hooks. It measures and traces the
// requests. name tells this server from others, as the attribute gtcp.name. See
// AddServer for the figures that need no hooks.
func (t *Telemetry) ServerHook(name string) any {
	common := []attribute.KeyValue{keySystem.String("gtcp"), keyName.String(valid(name))}
	return &serverHooks{t, newDurations(t.serverCall, t.methods.names, common...), common}
}

// serverHooks observe the requests of a server.
type serverHooks struct {
	t        *Telemetry
	requests *durations
	common   []attribute.KeyValue
}

// kindServer is made once.
var kindServer = trace.WithSpanKind(trace.SpanKindServer)

// observedRequest is the context of a request, with what the end of it needs.
type observedRequest struct {
	context.Context            // of the request
	span            trace.Span // nil if it is not recorded
	method          int        // the place of its method
}

// requestKey finds the observedRequest of a request. Each hook has its own.
type requestKey struct{ of *serverHooks }

// BeforeRequest begins the span of a request, as a child of the caller's if the
// request brought one.
func (h *serverHooks) BeforeRequest(ctx context.Context, e server.RequestStart) context.Context {
	if h.t.tracer == nil && len(h.t.config.Methods) == 0 {
		return ctx
	}
	name := h.t.requestMethod(ctx)
	r := observedRequest{Context: ctx, method: h.t.methods.placeOf(name)}
	if h.t.tracer != nil {
		h.begin(&r, name, e)
	}
	if r.span == nil && r.method == 0 {
		return r.Context
	}
	return context.WithValue(r.Context, requestKey{h}, &r)
}

// begin begins the span.
func (h *serverHooks) begin(r *observedRequest, method string, e server.RequestStart) {
	if caller := envelope.TraceFromContext(r.Context); !caller.IsZero() {
		r.Context = trace.ContextWithRemoteSpanContext(r.Context, incoming(caller))
	}
	ctx, span := h.t.tracer.Start(r.Context, h.t.spanName(r.method, "gtcp.request"), kindServer)
	r.Context = ctx
	if span.IsRecording() {
		r.span = span
		span.SetAttributes(h.common...)
		span.SetAttributes(append(peerOf(e.ConnID, e.Peer), keyRequestSize.Int(e.Bytes))...)
		h.t.setMethod(span, r.method, method)
	}
}

// AfterRequest records the duration and ends the span.
func (h *serverHooks) AfterRequest(ctx context.Context, e server.RequestEvent) {
	var r *observedRequest
	if h.t.tracer != nil || len(h.t.config.Methods) > 0 {
		r, _ = ctx.Value(requestKey{h}).(*observedRequest)
	}
	if r == nil {
		r = &observedRequest{}
	}
	err, failure := e.Err, 0
	switch {
	case e.Panicked:
		failure = panicked
	case errors.Is(err, server.ErrNoReply):
		err = nil
	default:
		failure = errorType(err)
	}
	h.requests.record(ctx, e.QueueTime+e.HandleTime+e.WriteTime, r.method, failure)
	if r.span == nil {
		return
	}
	r.span.SetAttributes(seconds(keyQueueTime, e.QueueTime), seconds(keyHandleTime, e.HandleTime),
		seconds(keyWriteTime, e.WriteTime), keyReplySize.Int(e.ReplyBytes))
	setError(r.span, failure, err)
	r.span.End()
}

func seconds(key attribute.Key, d time.Duration) attribute.KeyValue { return key.Float64(d.Seconds()) }
