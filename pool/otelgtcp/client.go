package otelgtcp

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/framing/envelope"
)

// ClientConfig returns config with hooks that measure and trace the calls,
// attempts, checkouts and dials of a client. name tells this client from
// others, as the attribute gtcp.name. See AddClient for the figures that need
// no hooks.
func (t *Telemetry) ClientConfig(name string, config gtcp.ClientConfig) gtcp.ClientConfig {
	config.Hooks = with(config.Hooks, &callHooks{t: t, name: name, sends: config.Envelope, addrs: make(map[string]*target)})
	if t.tracer != nil {
		config.Hooks = with(config.Hooks, &attemptHooks{t})
	}
	dials := t.dialHooks(name)
	config.Pool.Hooks = with(with(config.Pool.Hooks, dials), t.getHook(name))
	config.Pipeline.Hooks = with(config.Pipeline.Hooks, dials)
	return config
}

// with appends a hook to a copy of hooks.
func with(hooks []any, hook any) []any { return append(slices.Clip(hooks), hook) }

// maxAddrs is how many addresses of clients of one name become attributes.
const maxAddrs = 100

// callHooks observe the calls of the clients that are made from one
// configuration, usually one.
type callHooks struct {
	t     *Telemetry
	name  string
	sends bool // envelopes, which carry the trace
	last  atomic.Pointer[target]
	mu    sync.Mutex // guards addrs
	addrs map[string]*target
}

// target is what the calls of one client have in common.
type target struct {
	addr       string
	calls      *durations
	attributes []attribute.KeyValue
}

// target returns the target of an address. Those beyond maxAddrs share one
// without an address, so that many clients do not make as many time series.
func (h *callHooks) target(addr string) *target {
	if last := h.last.Load(); last != nil && last.addr == addr {
		return last
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	of := h.addrs[addr]
	if of == nil && len(h.addrs) < maxAddrs {
		of = h.newTarget(addr)
		h.addrs[addr] = of
	}
	if of == nil {
		if of = h.addrs[""]; of == nil {
			of = h.newTarget("")
			h.addrs[""] = of
		}
		return of
	}
	h.last.Store(of)
	return of
}

func (h *callHooks) newTarget(addr string) *target {
	attributes := append([]attribute.KeyValue{keySystem.String("gtcp"), keyName.String(valid(h.name))},
		hostPort(addr, keyServer, keyServerPort)...)
	return &target{addr, newDurations(h.t.clientCall, h.t.methods.names, attributes...), attributes}
}

// StartCall begins the span of a call. Its kind is internal: the spans of the
// attempts, of kind client, are what a server's span continues.
func (h *callHooks) StartCall(ctx context.Context, e gtcp.CallStart) context.Context {
	if h.t.tracer == nil {
		return ctx
	}
	name := h.t.callMethod(ctx)
	place := h.t.methods.placeOf(name)
	ctx, span := h.t.tracer.Start(ctx, h.t.spanName(place, "gtcp.call"))
	switch {
	case span.IsRecording():
		span.SetAttributes(h.target(e.Addr).attributes...)
		span.SetAttributes(keyRequestSize.Int(e.RequestSize))
		h.t.setMethod(span, place, name)
	case h.sends: // the server must know that this trace is not recorded
		ctx = envelope.ContextWithTrace(ctx, outgoing(span.SpanContext()))
	}
	return ctx
}

// EndCall records the duration and ends the span.
func (h *callHooks) EndCall(ctx context.Context, e gtcp.CallEnd) {
	place, failure := 0, errorType(e.Err)
	if len(h.t.config.Methods) > 0 {
		place = h.t.methods.placeOf(h.t.callMethod(ctx))
	}
	h.target(e.Addr).calls.record(ctx, e.Duration, place, failure)
	if h.t.tracer == nil {
		return
	}
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetAttributes(keyAttempts.Int(e.Attempts), keyReplySize.Int(e.ReplySize))
		setError(span, failure, e.Err)
		span.End()
	}
}

// spanName is the name of a span: that of the method if it is a known one.
func (t *Telemetry) spanName(method int, other string) string {
	if method > 1 {
		return t.methods.names[method]
	}
	return other
}

func (t *Telemetry) setMethod(span trace.Span, place int, name string) {
	switch {
	case name == "":
	case place == 1:
		span.SetAttributes(keyMethod.String(otherError), keyOriginal.String(valid(name)))
	default:
		span.SetAttributes(keyMethod.String(valid(name)))
	}
}

// setError says in a span what went wrong, if anything did.
func setError(span trace.Span, failure int, err error) {
	if failure == 0 {
		return
	}
	text := errorTypes[failure]
	if err != nil {
		text = err.Error()
	}
	span.SetAttributes(keyError.String(errorTypes[failure]))
	if status := (*envelope.StatusError)(nil); errors.As(err, &status) && status != nil {
		span.SetAttributes(keyStatus.String(strconv.FormatUint(uint64(status.Status), 10)))
	}
	span.SetStatus(codes.Error, valid(text))
}

// valid is a text that may come from a peer, as UTF-8. An exporter refuses any
// other, and all spans that it sends with it.
func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

// attemptHooks observe the attempts of the calls that are recorded.
type attemptHooks struct{ t *Telemetry }

// StartAttempt begins the span of an attempt, and lets its context carry that
// span to the server.
func (h *attemptHooks) StartAttempt(ctx context.Context, e gtcp.AttemptStart) context.Context {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return nil
	}
	ctx, span = h.t.tracer.Start(ctx, "gtcp.attempt", trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(append(hostPort(e.Addr, keyServer, keyServerPort), keySystem.String("gtcp"), keyAttempt.Int(e.Number))...))
	return envelope.ContextWithTrace(ctx, outgoing(span.SpanContext()))
}

// EndAttempt ends the span, and makes that of the wait for a connection.
func (h *attemptHooks) EndAttempt(ctx context.Context, e gtcp.AttemptEnd) {
	span, failure := trace.SpanFromContext(ctx), errorType(e.Err)
	switch {
	case e.ConnID == 0:
		h.t.acquired(ctx, e.Start, e.Duration, failure, e.Err)
	case e.Dialed > 0 || e.Acquired >= leastWait:
		h.t.acquired(ctx, e.Start, e.Acquired, 0, nil)
	}
	if e.ConnID != 0 {
		span.SetAttributes(append(hostPort(e.Peer, keyPeer, keyPeerPort), keyConn.Int64(int64(e.ConnID)))...)
	}
	span.SetAttributes(keyRequestSize.Int(e.RequestSize), keyReplySize.Int(e.ReplySize))
	if e.Written > 0 {
		span.AddEvent("gtcp.written", trace.WithTimestamp(e.Start.Add(e.Written)))
	}
	if e.FirstByte > 0 {
		span.AddEvent("gtcp.first_byte", trace.WithTimestamp(e.Start.Add(e.FirstByte)))
	}
	setError(span, failure, e.Err)
	span.End(trace.WithTimestamp(e.Start.Add(e.Duration)))
}

// outgoing is a span as the envelope has it.
func outgoing(c trace.SpanContext) envelope.Trace {
	return envelope.Trace{ID: c.TraceID(), Parent: c.SpanID(), Flags: byte(c.TraceFlags())}
}

// incoming is the span of the caller, as the envelope brought it.
func incoming(t envelope.Trace) trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: t.ID, SpanID: t.Parent, TraceFlags: trace.TraceFlags(t.Flags) & trace.FlagsSampled, Remote: true,
	})
}
