package otelgtcp

import (
	"context"
	"net"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
)

// PoolConfig returns config with hooks that measure and trace the checkouts and
// dials of a pool that is not a client's.
func (t *Telemetry) PoolConfig(name string, config pool.Config) pool.Config {
	config.Hooks = with(with(config.Hooks, t.dialHooks(name)), t.getHook(name))
	config.Hooks = with(config.Hooks, &releaseHook{newDurations(t.useTime, noMethods, keyName.String(valid(name)))})
	if t.tracer != nil {
		config.Hooks = with(config.Hooks, &getSpans{t})
	}
	return config
}

// PipelineConfig returns config with hooks that measure and trace the dials of
// a pipeline that is not a client's, and the waits for its connections.
func (t *Telemetry) PipelineConfig(name string, config pipeline.Config) pipeline.Config {
	config.Hooks = with(config.Hooks, t.dialHooks(name))
	if t.tracer != nil {
		config.Hooks = with(config.Hooks, &pipelineHooks{t})
	}
	return config
}

// spanKey finds the span that a hook has begun, below those of other hooks.
type spanKey struct{ of any }

// startChild begins a span if the one of ctx is recorded, and none otherwise.
func (t *Telemetry) startChild(ctx context.Context, of any, name string) context.Context {
	if t.tracer == nil || !trace.SpanFromContext(ctx).IsRecording() {
		return ctx
	}
	ctx, span := t.tracer.Start(ctx, name)
	return context.WithValue(ctx, spanKey{of}, span)
}

// child returns the span that startChild began in ctx, or nil.
func (t *Telemetry) child(ctx context.Context, of any) trace.Span {
	if t.tracer == nil || !trace.SpanFromContext(ctx).IsRecording() {
		return nil
	}
	span, _ := ctx.Value(spanKey{of}).(trace.Span)
	return span
}

// dialHooks observe the dials of a pool or a pipeline.
type dialHooks struct {
	t       *Telemetry
	creates *durations
}

func (t *Telemetry) dialHooks(name string) *dialHooks {
	return &dialHooks{t, newDurations(t.createTime, noMethods, keyName.String(valid(name)))}
}

// dialSpan is the key of the spans of dials.
type dialSpan struct{}

// BeforeDial begins the span of a dial, as a child of the call that asked for it.
func (h *dialHooks) BeforeDial(ctx context.Context, _ string) context.Context {
	return h.t.startChild(ctx, dialSpan{}, "gtcp.dial")
}

// AfterDial records the duration of a dial and ends its span.
func (h *dialHooks) AfterDial(ctx context.Context, e conn.DialEvent) {
	failure := errorType(e.Err)
	h.creates.record(ctx, e.Duration, 0, failure)
	span := h.t.child(ctx, dialSpan{})
	if span == nil {
		return
	}
	span.SetAttributes(hostPort(e.Addr, keyServer, keyServerPort)...)
	if e.Err == nil {
		span.SetAttributes(peerOf(e.ID, e.Peer)...)
	}
	setError(span, failure, e.Err)
	span.End()
}

// peerOf are the attributes of a connection.
func peerOf(id uint64, peer net.Addr) []attribute.KeyValue {
	of := []attribute.KeyValue{keyConn.Int64(int64(id))}
	if peer == nil {
		return of
	}
	return append(of, hostPort(peer.String(), keyPeer, keyPeerPort)...)
}

// getHook observes the acquires of connections.
type getHook struct{ waits *durations }

func (t *Telemetry) getHook(name string) *getHook {
	return &getHook{newDurations(t.waitTime, noMethods, keyName.String(valid(name)))}
}

// AfterGet records how long the caller waited, if it did.
func (h *getHook) AfterGet(ctx context.Context, e pool.GetEvent) {
	if waited(e) {
		h.waits.record(ctx, e.Duration, 0, errorType(e.Err))
	}
}

// waited reports whether the caller waited. One that finds an idle connection
// takes less than leastWait.
func waited(e pool.GetEvent) bool {
	return e.Err != nil || !e.Reused || e.Duration >= leastWait
}

// getSpans makes the spans of the waits in a pool that is not a client's.
type getSpans struct{ t *Telemetry }

// AfterGet makes the span of a wait, and tells the caller's which connection it
// got.
func (h *getSpans) AfterGet(ctx context.Context, e pool.GetEvent) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	if e.Err == nil {
		span.SetAttributes(append(peerOf(e.ID, e.Peer), keyReused.Bool(e.Reused), seconds(keyIdleFor, e.IdleFor))...)
	}
	if waited(e) {
		h.t.acquired(ctx, e.Start, e.Duration, errorType(e.Err), e.Err)
	}
}

// leastWait is the shortest wait that is recorded.
const leastWait = 50 * time.Microsecond

// acquired makes the span of a wait for a connection, which is over.
func (t *Telemetry) acquired(ctx context.Context, start time.Time, took time.Duration, failure int, err error) {
	_, span := t.tracer.Start(ctx, "gtcp.acquire", trace.WithTimestamp(start))
	setError(span, failure, err)
	span.End(trace.WithTimestamp(start.Add(took)))
}

// releaseHook observes the ends of checkouts.
type releaseHook struct{ uses *durations }

// AfterRelease records how long the connection was checked out.
func (h *releaseHook) AfterRelease(ctx context.Context, e pool.ReleaseEvent) {
	h.uses.record(ctx, e.Used, 0, errorType(e.Err))
}

// pipelineHooks observe how long the calls that are recorded wait for a
// connection.
type pipelineHooks struct{ t *Telemetry }

// AfterCall makes the span of the wait, and tells the call's which connection it
// had.
func (h *pipelineHooks) AfterCall(ctx context.Context, e pipeline.CallEvent) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	if e.ID == 0 {
		h.t.acquired(ctx, e.Start, e.Duration, errorType(e.Err), e.Err)
		return
	}
	span.SetAttributes(append(hostPort(e.Peer, keyPeer, keyPeerPort), keyConn.Int64(int64(e.ID)))...)
	if e.Acquired >= leastWait {
		h.t.acquired(ctx, e.Start, e.Acquired, 0, nil)
	}
}
