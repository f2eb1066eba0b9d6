package otelgtcp_test

import (
	"context"
	"fmt"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	api "go.opentelemetry.io/otel/trace"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/framing/envelope"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/otelgtcp"
	"github.com/seed-99d6a01a/gtcp/retry"
	"github.com/seed-99d6a01a/gtcp/server"
)

// tree writes the spans as lines, each child after its parent and indented, in
// the order of their starts.
func tree(spans tracetest.SpanStubs) (lines []string) {
	known := map[api.SpanID]bool{}
	for _, s := range spans {
		known[s.SpanContext.SpanID()] = true
	}
	var walk func(parent api.SpanID, indent string)
	walk = func(parent api.SpanID, indent string) {
		for _, s := range byStart(spans) {
			root := !known[s.Parent.SpanID()] && !parent.IsValid()
			if root || parent.IsValid() && s.Parent.SpanID() == parent {
				lines = append(lines, fmt.Sprintf("%s%s %s", indent, s.Name, s.SpanKind))
				walk(s.SpanContext.SpanID(), indent+"  ")
			}
		}
	}
	walk(api.SpanID{}, "")
	return lines
}

func byStart(spans tracetest.SpanStubs) tracetest.SpanStubs {
	sorted := append(tracetest.SpanStubs(nil), spans...)
	for i := range sorted {
		for j := i; j > 0 && sorted[j].StartTime.Before(sorted[j-1].StartTime); j-- {
			sorted[j], sorted[j-1] = sorted[j-1], sorted[j]
		}
	}
	return sorted
}

func find(t *testing.T, spans tracetest.SpanStubs, name string) tracetest.SpanStub {
	for _, s := range spans {
		if s.Name == name {
			return s
		}
	}
	require.Fail(t, "no span "+name)
	return tracetest.SpanStub{}
}

func attributes(s tracetest.SpanStub) map[string]attribute.Value {
	all := map[string]attribute.Value{}
	for _, a := range s.Attributes {
		all[string(a.Key)] = a.Value
	}
	return all
}

// A call that needed two attempts is one tree, with all that it waited for.
func TestClientSpans(t *testing.T) {
	for _, shared := range []bool{false, true} {
		t.Run(fmt.Sprintf("shared=%v", shared), func(t *testing.T) {
			r := record(t, trace.AlwaysSample(), otelgtcp.Config{})
			client := gtcp.NewClient("127.0.0.1:1", r.ClientConfig("orders", gtcp.ClientConfig{
				Shared: shared, Retry: retry.Policy{MaxAttempts: 2, Backoff: retry.Constant(0)},
			}))
			_, err := client.Call(t.Context(), []byte("abc"))
			require.Error(t, err)
			require.NoError(t, client.Close())
			spans := r.spans.GetSpans()
			attempt := []string{"  gtcp.attempt client", "    gtcp.acquire internal", "    gtcp.dial internal"}
			require.Equal(t, append(append([]string{"gtcp.call internal"}, attempt...), attempt...), tree(spans))
			call := find(t, spans, "gtcp.call")
			require.Equal(t, codes.Error, call.Status.Code)
			of := attributes(call)
			require.EqualValues(t, 3, of["gtcp.request.size"].AsInt64())
			require.EqualValues(t, 2, of["gtcp.attempts"].AsInt64())
			require.Equal(t, "refused", of["error.type"].AsString())
			require.Equal(t, "127.0.0.1", of["server.address"].AsString())
			for _, s := range spans {
				require.False(t, s.EndTime.Before(s.StartTime), s.Name)
				require.Equal(t, codes.Error, s.Status.Code, s.Name)
			}
		})
	}
}

// The span of an attempt says when the parts of it were over, and on which
// connection.
func TestAttemptSpan(t *testing.T) {
	for _, shared := range []bool{false, true} {
		t.Run(fmt.Sprintf("shared=%v", shared), func(t *testing.T) {
			r := record(t, trace.AlwaysSample(), otelgtcp.Config{})
			addr := serve(t, &server.Server{Handler: echo()})
			client := gtcp.NewClient(addr, r.ClientConfig("orders", gtcp.ClientConfig{Shared: shared}))
			defer client.Close()
			_, err := client.Call(t.Context(), []byte("abc"))
			require.NoError(t, err)
			spans := r.spans.GetSpans()
			require.ElementsMatch(t, []string{
				"gtcp.call internal", "  gtcp.attempt client", "    gtcp.acquire internal", "    gtcp.dial internal",
			}, tree(spans))
			attempt := find(t, spans, "gtcp.attempt")
			of := attributes(attempt)
			require.Equal(t, "127.0.0.1", of["network.peer.address"].AsString())
			require.EqualValues(t, 1, of["gtcp.connection.id"].AsInt64())
			require.EqualValues(t, 1, of["gtcp.attempt"].AsInt64())
			require.EqualValues(t, 3, of["gtcp.reply.size"].AsInt64())
			require.Len(t, attempt.Events, 2)
			require.Equal(t, "gtcp.written", attempt.Events[0].Name)
			require.Equal(t, "gtcp.first_byte", attempt.Events[1].Name)
			acquire := find(t, spans, "gtcp.acquire")
			for _, pair := range [][2]time.Time{
				{attempt.StartTime, acquire.EndTime}, {acquire.EndTime, attempt.Events[0].Time},
				{attempt.Events[0].Time, attempt.Events[1].Time}, {attempt.Events[1].Time, attempt.EndTime},
			} {
				require.False(t, pair[1].Before(pair[0]), "%v before %v", pair[1], pair[0])
			}
		})
	}
}

// A pool begins no trace, but continues one.
func TestPoolSpans(t *testing.T) {
	r := record(t, trace.AlwaysSample(), otelgtcp.Config{})
	p, err := pool.New(conn.Target{Address: serve(t, &server.Server{Handler: echo()})}, r.PoolConfig("sessions", pool.Config{}))
	require.NoError(t, err)
	defer p.Close()
	c, err := p.Get(t.Context())
	require.NoError(t, err)
	require.Empty(t, r.spans.GetSpans())

	tracers := trace.NewTracerProvider(trace.WithSyncer(r.spans))
	ctx, span := tracers.Tracer("user").Start(t.Context(), "job")
	other, err := p.Get(ctx) // dials
	require.NoError(t, err)
	require.NoError(t, other.Close())
	span.End()
	spans := r.spans.GetSpans()
	require.Equal(t, []string{"job internal", "  gtcp.acquire internal", "  gtcp.dial internal"}, tree(spans))
	of := attributes(find(t, spans, "job"))
	require.False(t, of["gtcp.connection.reused"].AsBool())
	require.EqualValues(t, 2, of["gtcp.connection.id"].AsInt64())

	r.spans.Reset()
	require.NoError(t, c.Close())
	ctx, span = tracers.Tracer("user").Start(t.Context(), "job")
	c, err = p.Get(ctx)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	span.End()
	spans = r.spans.GetSpans()
	require.NotContains(t, tree(spans), "  gtcp.dial internal", "it found an idle connection")
	require.True(t, attributes(find(t, spans, "job"))["gtcp.connection.reused"].AsBool())
}

// One call is one tree, over a real socket: call, attempt, dial, wait, and the
// request at the server, which has a provider of its own, as in another process.
func TestOneTree(t *testing.T) {
	for _, shared := range []bool{false, true} {
		t.Run(fmt.Sprintf("shared=%v", shared), func(t *testing.T) {
			near, far := record(t, trace.AlwaysSample(), otelgtcp.Config{}), record(t, trace.ParentBased(trace.NeverSample()), otelgtcp.Config{})
			handler := server.Frames(framing.Format{}, func(ctx context.Context, req []byte) ([]byte, error) {
				_, span := api.SpanFromContext(ctx).TracerProvider().Tracer("user").Start(ctx, "query")
				span.End()
				if string(req) == "bad" {
					return nil, &envelope.StatusError{Status: 404, Message: "no such order"}
				}
				return req, nil
			})
			handler.Envelope = true
			srv := &server.Server{Handler: handler, Hooks: []any{far.ServerHook("api")}}
			client := gtcp.NewClient(serve(t, srv), near.ClientConfig("orders", gtcp.ClientConfig{Shared: shared, Envelope: true}))
			defer client.Close()
			_, err := client.Call(t.Context(), []byte("good"))
			require.NoError(t, err)
			_, err = client.Call(t.Context(), []byte("bad"))
			require.Error(t, err)
			require.NoError(t, srv.Shutdown(t.Context()))

			first, second := split(append(near.spans.GetSpans(), far.spans.GetSpans()...))
			require.ElementsMatch(t, []string{
				"gtcp.call internal", "  gtcp.attempt client", "    gtcp.acquire internal", "    gtcp.dial internal",
				"    gtcp.request server", "      query internal",
			}, tree(first))
			require.Equal(t, "gtcp.call internal", tree(first)[0])
			require.Contains(t, tree(second), "    gtcp.request server")

			request := find(t, first, "gtcp.request")
			require.True(t, request.Parent.IsRemote())
			of := attributes(request)
			require.EqualValues(t, 4, of["gtcp.reply.size"].AsInt64())
			require.Greater(t, of["gtcp.server.handle_time"].AsFloat64(), 0.)
			for _, name := range []string{"gtcp.call", "gtcp.attempt", "gtcp.request"} {
				failed := find(t, second, name)
				require.Equal(t, codes.Error, failed.Status.Code, name)
				require.Equal(t, "404", attributes(failed)["rpc.response.status_code"].AsString(), name)
				require.Equal(t, "application", attributes(failed)["error.type"].AsString(), name)
			}
		})
	}
}

// split returns the spans of the first and of the second trace.
func split(spans tracetest.SpanStubs) (first, second tracetest.SpanStubs) {
	sorted := byStart(spans)
	for _, s := range sorted {
		if s.SpanContext.TraceID() == sorted[0].SpanContext.TraceID() {
			first = append(first, s)
		} else {
			second = append(second, s)
		}
	}
	return first, second
}

// A server does not record what its caller does not, though its own sampler takes
// everything that has no caller.
func TestTheCallersDecisionCounts(t *testing.T) {
	near := record(t, trace.NeverSample(), otelgtcp.Config{})
	far := record(t, trace.ParentBased(trace.AlwaysSample()), otelgtcp.Config{})
	handler := echo()
	handler.Envelope = true
	srv := &server.Server{Handler: handler, Hooks: []any{far.ServerHook("api")}}
	addr := serve(t, srv)
	client := gtcp.NewClient(addr, near.ClientConfig("orders", gtcp.ClientConfig{Envelope: true}))
	defer client.Close()
	_, err := client.Call(t.Context(), []byte("x"))
	require.NoError(t, err)
	plain := gtcp.NewClient(addr, gtcp.ClientConfig{Envelope: true})
	defer plain.Close()
	_, err = plain.Call(t.Context(), []byte("x"))
	require.NoError(t, err)
	require.NoError(t, srv.Shutdown(t.Context()))
	require.Empty(t, near.spans.GetSpans())
	require.Equal(t, []string{"gtcp.request server"}, tree(far.spans.GetSpans()), "of the client without telemetry")
	require.Equal(t, []point{{"gtcp.name=api,rpc.system.name=gtcp", 2}}, points(far.metrics(t)["rpc.server.call.duration"]))
}

// Exporters refuse text that is not UTF-8, and all that is sent with it. Methods
// and messages come from a peer.
func TestTextOfPeersIsValid(t *testing.T) {
	r := record(t, trace.AlwaysSample(), otelgtcp.Config{Methods: []string{"get"}})
	handler := server.Frames(framing.Format{}, func(context.Context, []byte) ([]byte, error) {
		return nil, &envelope.StatusError{Status: 16, Message: "no \xff order"}
	})
	handler.Envelope = true
	srv := &server.Server{Handler: handler, Hooks: []any{r.ServerHook("\xfe")}}
	client := gtcp.NewClient(serve(t, srv), r.ClientConfig("\xfe", gtcp.ClientConfig{Envelope: true}))
	defer client.Close()
	_, err := client.CallWith(t.Context(), nil, nil, gtcp.CallOptions{Method: "\xffmethod"})
	require.Error(t, err)
	require.NoError(t, srv.Shutdown(t.Context()))
	for _, name := range []string{"gtcp.call", "gtcp.request"} {
		require.Equal(t, "\uFFFDmethod", attributes(find(t, r.spans.GetSpans(), name))["rpc.method_original"].AsString())
	}
	for _, span := range r.spans.GetSpans() {
		require.True(t, utf8.ValidString(span.Status.Description), "%q", span.Status.Description)
		for key, value := range attributes(span) {
			require.True(t, utf8.ValidString(value.String()), "%s %s=%q", span.Name, key, value.String())
		}
	}
	for _, m := range r.metrics(t) {
		for _, p := range points(m) {
			require.True(t, utf8.ValidString(p.attributes), "%s %q", m.Name, p.attributes)
		}
	}
}

// An error with a nil *envelope.StatusError in it has no status.
func TestNilStatus(t *testing.T) {
	r := record(t, trace.AlwaysSample(), otelgtcp.Config{})
	client := gtcp.NewClient("127.0.0.1:1", r.ClientConfig("orders", gtcp.ClientConfig{Intercept: func(gtcp.Invoker) gtcp.Invoker {
		return func(context.Context, []byte, []byte) ([]byte, error) {
			var none *envelope.StatusError
			return nil, none
		}
	}}))
	defer client.Close()
	_, err := client.Call(t.Context(), nil)
	require.EqualError(t, err, "envelope: status 1: the handler failed")
	require.Equal(t, "application", attributes(find(t, r.spans.GetSpans(), "gtcp.call"))["error.type"].AsString())
}
