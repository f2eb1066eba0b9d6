package otelgtcp_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	api "go.opentelemetry.io/otel/trace"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
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
	require.Equal(t, []string{"job internal"}, tree(r.spans.GetSpans()), "it found an idle connection")
	require.True(t, attributes(r.spans.GetSpans()[0])["gtcp.connection.reused"].AsBool())
}
