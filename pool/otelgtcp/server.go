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
	common := []attribute.KeyValue{keySystem.String("gtcp"), keyName.String(name)}
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

// requestSpan is the key of the spans of requests.
type requestSpan struct{}

// BeforeRequest begins the span of a request, as a child of the caller's if the
// request brought one.
func (h *serverHooks) BeforeRequest(ctx context.Context, e server.RequestStart) context.Context {
	if h.t.tracer == nil {
		return ctx
	}
	if caller := envelope.TraceFromContext(ctx); !caller.IsZero() {
		ctx = trace.ContextWithRemoteSpanContext(ctx, incoming(caller))
	}
	method, name := h.t.method(ctx)
	ctx, span := h.t.tracer.Start(ctx, h.t.spanName(method, "gtcp.request"), kindServer)
	if span.IsRecording() {
		span.SetAttributes(h.common...)
		span.SetAttributes(append(peerOf(e.ConnID, e.Peer), keyRequestSize.Int(e.Bytes))...)
		h.t.setMethod(span, method, name)
		ctx = context.WithValue(ctx, spanKey{requestSpan{}}, span)
	}
	return ctx
}

// AfterRequest records the duration and ends the span.
func (h *serverHooks) AfterRequest(ctx context.Context, e server.RequestEvent) {
	method, _ := h.t.method(ctx)
	err, failure := e.Err, 0
	switch {
	case e.Panicked:
		failure = panicked
	case errors.Is(err, server.ErrNoReply):
		err = nil
	default:
		failure = errorType(err)
	}
	h.requests.record(ctx, e.QueueTime+e.HandleTime+e.WriteTime, method, failure)
	span := h.t.child(ctx, requestSpan{})
	if span == nil {
		return
	}
	span.SetAttributes(seconds(keyQueueTime, e.QueueTime), seconds(keyHandleTime, e.HandleTime),
		seconds(keyWriteTime, e.WriteTime), keyReplySize.Int(e.ReplyBytes))
	setError(span, failure, err)
	span.End()
}

func seconds(key attribute.Key, d time.Duration) attribute.KeyValue { return key.Float64(d.Seconds()) }
