package gtcp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/framing/envelope"
	"github.com/seed-99d6a01a/gtcp/pool/balance"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
	"github.com/seed-99d6a01a/gtcp/retry"
	"github.com/seed-99d6a01a/gtcp/server"
)

// eachEnveloped is eachMode with replies in order and by number.
func eachEnveloped(t *testing.T, f func(t *testing.T, cfg gtcp.ClientConfig, h *server.FrameHandler)) {
	eachMode(t, func(t *testing.T, shared bool) {
		t.Run("in order", func(t *testing.T) {
			f(t, gtcp.ClientConfig{Envelope: true, Shared: shared}, &server.FrameHandler{Envelope: true})
		})
		t.Run("by number", func(t *testing.T) {
			f(t, gtcp.ClientConfig{Envelope: true, Shared: shared, Match: envelope.Matcher{}},
				&server.FrameHandler{Envelope: true, Concurrency: 8, Unordered: true})
		})
	})
}

// seen is what a handler sees of a request.
type seen struct {
	Method, Payload, Trace string
	Left                   time.Duration // 0 without a deadline
}

// whatIsSeen is a handler that replies with it.
func whatIsSeen(ctx context.Context, req []byte) ([]byte, error) {
	s := seen{Payload: string(req)}
	if e := envelope.FromContext(ctx); e != nil {
		s.Method = string(e.Method)
	}
	if trace := envelope.TraceFromContext(ctx); !trace.IsZero() {
		s.Trace = trace.String()
	}
	if deadline, ok := ctx.Deadline(); ok {
		s.Left = time.Until(deadline)
	}
	return json.Marshal(s)
}

var someTrace = envelope.Trace{ID: [16]byte{1}, Parent: [8]byte{2}, Flags: 1}

// TestClientEnvelope: the method, the trace and the deadline of a call reach the
// handler, with the request as the caller gave it.
func TestClientEnvelope(t *testing.T) {
	eachEnveloped(t, func(t *testing.T, cfg gtcp.ClientConfig, h *server.FrameHandler) {
		h.Handle = whatIsSeen
		cfg.Intercept = func(next gtcp.Invoker) gtcp.Invoker {
			return func(ctx context.Context, dst, request []byte) ([]byte, error) {
				if string(request) != "request" {
					t.Errorf("an interceptor sees %q", request)
				}
				return next(ctx, dst, request)
			}
		}
		c := client(t, serving(t, h), cfg)
		ctx, cancel := context.WithTimeout(envelope.ContextWithTrace(t.Context(), someTrace), time.Hour)
		defer cancel()
		for range 3 {
			reply, err := c.CallWith(ctx, []byte("kept:"), []byte("request"), gtcp.CallOptions{Method: "users.get"})
			require.NoError(t, err)
			require.Equal(t, "kept:", string(reply[:5]))
			var s seen
			require.NoError(t, json.Unmarshal(reply[5:], &s))
			require.InDelta(t, time.Hour, s.Left, float64(time.Minute))
			s.Left = 0
			require.Equal(t, seen{Method: "users.get", Payload: "request", Trace: someTrace.String()}, s)
		}
	})
}

// Without a method, a trace or a deadline the context has none either.
func TestClientEnvelopeOfNothing(t *testing.T) {
	eachEnveloped(t, func(t *testing.T, cfg gtcp.ClientConfig, h *server.FrameHandler) {
		h.Handle = whatIsSeen
		cfg.CallTimeout = -1
		c := client(t, serving(t, h), cfg)
		reply, err := c.Call(context.Background(), []byte{})
		require.NoError(t, err)
		require.JSONEq(t, `{"Method":"","Payload":"","Trace":"","Left":0}`, string(reply))

		cfg.CallTimeout = 0 // is a deadline too
		c = client(t, serving(t, h), cfg)
		begun := time.Now()
		reply, err = c.Call(context.Background(), nil)
		took := time.Since(begun)
		require.NoError(t, err)
		var s seen
		require.NoError(t, json.Unmarshal(reply, &s))
		require.Positive(t, s.Left)
		require.LessOrEqual(t, s.Left, 13*time.Second+13*time.Second/8)
		require.GreaterOrEqual(t, s.Left+took, 13*time.Second-time.Millisecond, "the wire has milliseconds")
	})
}

// TestClientEnvelopeStatus: what a handler returns is the error of the call, and
// says whether to call again.
func TestClientEnvelopeStatus(t *testing.T) {
	var handled atomic.Int32
	failures := map[string]error{
		"own":        &envelope.StatusError{Status: 17, Message: "no such key"},
		"any":        errors.New("a secret"),
		"overloaded": server.ErrOverloaded,
	}
	eachEnveloped(t, func(t *testing.T, cfg gtcp.ClientConfig, h *server.FrameHandler) {
		h.Handle = func(_ context.Context, req []byte) ([]byte, error) {
			handled.Add(1)
			return nil, failures[string(req)]
		}
		cfg.Retry.Backoff = retry.Constant(0)
		c := client(t, serving(t, h), cfg)
		for _, want := range []struct {
			request, kind string
			status        envelope.StatusError
			safe          bool
			attempts      int
		}{
			{"own", conn.KindApplication, envelope.StatusError{Status: 17, Message: "no such key"}, false, 1},
			{"any", conn.KindApplication, envelope.StatusError{Status: envelope.StatusFailed}, false, 1},
			{"overloaded", conn.KindOverloaded, envelope.StatusError{Status: envelope.StatusOverloaded}, true, 3},
		} {
			handled.Store(0)
			reply, err := c.CallWith(t.Context(), []byte("kept"), []byte(want.request), gtcp.CallOptions{})
			require.Equal(t, "kept", string(reply))
			var status *envelope.StatusError
			require.ErrorAs(t, err, &status)
			require.Equal(t, want.status, *status)
			require.Equal(t, want.kind, conn.KindOf(err))
			require.Equal(t, want.safe, retry.SafeToRetry(err))
			require.EqualValues(t, want.attempts, handled.Load())
			var failed *gtcp.CallError
			require.ErrorAs(t, err, &failed)
			require.Equal(t, want.attempts, failed.Attempts)
			require.True(t, failed.Written)
		}
		require.Equal(t, map[string]uint64{conn.KindApplication: 2, conn.KindOverloaded: 1}, c.Stat().Errors)
		_, err := c.Call(t.Context(), []byte("none of them"))
		require.NoError(t, err, "the connection is open, and the next call has its own reply")
	})
}

// A server that gets a request too late does not handle it, and one that is
// handling it is told when its caller gives up.
func TestClientEnvelopeDeadline(t *testing.T) {
	eachEnveloped(t, func(t *testing.T, cfg gtcp.ClientConfig, h *server.FrameHandler) {
		ended := make(chan error, 1)
		h.Handle = func(ctx context.Context, _ []byte) ([]byte, error) {
			<-ctx.Done()
			ended <- ctx.Err()
			return nil, ctx.Err()
		}
		h.HalfClose = true // or the context ends because the client closes the connection
		c := client(t, serving(t, h), cfg)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := c.Call(ctx, []byte("x"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, <-ended, context.DeadlineExceeded)
	})
}

// A client whose server has too much to do hears so, from the Limiter.
func TestClientEnvelopeOverload(t *testing.T) {
	eachEnveloped(t, func(t *testing.T, cfg gtcp.ClientConfig, h *server.FrameHandler) {
		h.Limiter = &server.Limiter{Max: 1, MaxWait: -1}
		inside, leave := make(chan struct{}), make(chan struct{})
		h.Handle = func(_ context.Context, req []byte) ([]byte, error) {
			inside <- struct{}{}
			<-leave
			return req, nil
		}
		cfg.Retry.MaxAttempts = 1
		addr := serving(t, h)
		first, second := client(t, addr, cfg), client(t, addr, cfg)
		var busy sync.WaitGroup
		busy.Go(func() {
			if _, err := first.Call(t.Context(), []byte("x")); err != nil {
				t.Error(err)
			}
		})
		<-inside
		_, err := second.Call(t.Context(), []byte("y"))
		require.Equal(t, conn.KindOverloaded, conn.KindOf(err))
		require.True(t, retry.SafeToRetry(err))
		close(leave)
		busy.Wait()
	})
}

// A server that refuses calls because it has too much to do is known as such: it
// has not failed, and its calls go to the others.
func TestClientOverloadedServer(t *testing.T) {
	eachEnveloped(t, func(t *testing.T, cfg gtcp.ClientConfig, h *server.FrameHandler) {
		well := &server.FrameHandler{Envelope: true, Concurrency: h.Concurrency, Unordered: h.Unordered}
		h.Handle = func(context.Context, []byte) ([]byte, error) { return nil, server.ErrOverloaded }
		well.Handle = func(_ context.Context, req []byte) ([]byte, error) { return req, nil }
		busy := serving(t, h)
		cfg.Resolver = resolve.Addrs(busy, serving(t, well))
		c := client(t, "", cfg)
		for range 100 {
			_, err := c.Call(t.Context(), []byte("x"))
			require.NoError(t, err)
		}
		for _, e := range c.Stat().Endpoints {
			require.Equal(t, balance.Ready, e.State, e.Endpoint.Addr)
			require.Zero(t, e.Failed, e.Endpoint.Addr)
			require.Equal(t, e.Endpoint.Addr == busy, e.Refused > 0, e.Endpoint.Addr)
		}
	})
}

// TestClientEnvelopeOfAHostileServer: replies that are no envelopes fail the
// call, and nothing else.
func TestClientEnvelopeOfAHostileServer(t *testing.T) {
	e := envelope.Envelope{Status: 300, Message: []byte("message"), Method: []byte("m"), Trace: someTrace, Timeout: time.Second}
	whole, err := e.Append(nil)
	require.NoError(t, err)
	eachMode(t, func(t *testing.T, shared bool) {
		c := client(t, frameServer(t, func(_ context.Context, req []byte) ([]byte, error) {
			n := req[len(req)-1]
			return whole[:n], nil
		}), gtcp.ClientConfig{Envelope: true, Shared: shared})
		for n := range whole {
			dst, err := c.AppendCall(t.Context(), []byte("kept"), []byte{byte(n)})
			require.ErrorIs(t, err, envelope.ErrMalformed, "cut at %d", n)
			require.Equal(t, conn.KindProtocol, conn.KindOf(err))
			require.False(t, retry.SafeToRetry(err))
			require.Equal(t, "kept", string(dst))
		}
		_, err := c.Call(t.Context(), []byte{byte(len(whole))})
		var status *envelope.StatusError
		require.ErrorAs(t, err, &status)

		push := client(t, frameServer(t, func(context.Context, []byte) ([]byte, error) {
			return (&envelope.Envelope{Push: true}).Append(nil)
		}), gtcp.ClientConfig{Envelope: true, Shared: shared})
		_, err = push.Call(t.Context(), nil)
		require.Equal(t, conn.KindProtocol, conn.KindOf(err))
	})
}

// A server that drains says goodbye with an envelope; TestClientGoodbye and others
// say what a client does then.
func TestClientEnvelopeGoodbye(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := &server.Server{Handler: &server.FrameHandler{Envelope: true, Handle: echoed}}
	var running sync.WaitGroup
	running.Go(func() { _ = srv.Serve(l) })
	nc, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer nc.Close()
	w, r := framing.NewWriter(nc, framing.Format{}), framing.NewReader(nc, framing.Format{})
	request, err := (&envelope.Envelope{Number: 7}).Append(nil)
	require.NoError(t, err)
	require.NoError(t, w.WriteFrame(append(request, 'x')))
	require.NoError(t, w.Flush())
	reply, err := r.ReadFrame(nil)
	require.NoError(t, err)
	require.Equal(t, append(request, 'x'), reply)
	running.Go(func() { _ = srv.Shutdown(context.Background()) })
	last, err := r.ReadFrame(nil)
	require.NoError(t, err)
	require.Equal(t, envelope.Goodbye(), last)
	require.NoError(t, nc.Close())
	running.Wait()
}

// A push with an envelope is no reply, whatever its number.
func TestClientEnvelopePush(t *testing.T) {
	h := &server.FrameHandler{Envelope: true, Handle: func(ctx context.Context, req []byte) ([]byte, error) {
		push, err := (&envelope.Envelope{Push: true, Number: 1, Method: []byte("news")}).Append(nil)
		if err != nil {
			return nil, err
		}
		return req, server.Send(ctx, append(push, "extra"...))
	}}
	pushes := make(chan string, 3)
	c := client(t, serving(t, h), gtcp.ClientConfig{
		Envelope: true, Shared: true, Match: envelope.Matcher{},
		Pipeline: pipeline.Config{OnPush: func(_ context.Context, p *pipeline.Push) {
			var e envelope.Envelope
			payload, err := e.Parse(p.Frame)
			pushes <- fmt.Sprintf("%s %s %v", e.Method, payload, err)
		}},
	})
	for range 3 {
		reply, err := c.Call(t.Context(), []byte("x"))
		require.NoError(t, err)
		require.Equal(t, "x", string(reply))
		require.Equal(t, "news extra <nil>", <-pushes)
	}
}

// The heartbeats of a shared client have envelopes too.
func TestClientEnvelopeHeartbeat(t *testing.T) {
	beats := make(chan string, 1)
	h := &server.FrameHandler{Envelope: true, Handle: func(_ context.Context, req []byte) ([]byte, error) {
		if string(req) == "beat" {
			select {
			case beats <- string(req):
			default:
			}
		}
		return req, nil
	}}
	c := client(t, serving(t, h), gtcp.ClientConfig{Envelope: true, Shared: true, Pipeline: pipeline.Config{
		Heartbeat: pipeline.Heartbeat{Interval: 10 * time.Millisecond, Timeout: time.Minute, Request: []byte("beat")},
	}})
	_, err := c.Call(t.Context(), []byte("x"))
	require.NoError(t, err)
	require.Equal(t, "beat", <-beats)
	_, err = c.Call(t.Context(), []byte("y"))
	require.NoError(t, err)
}

// TestClientEnvelopeAllocations: an envelope costs no memory, but for the context
// that carries a method.
func TestClientEnvelopeAllocations(t *testing.T) {
	if detectsRaces {
		t.Skip("the race detector allocates")
	}
	eachMode(t, func(t *testing.T, shared bool) {
		addr := serving(t, &server.FrameHandler{Envelope: true, Append: func(_ context.Context, dst, req []byte) ([]byte, error) {
			return append(dst, req...), nil
		}})
		c := client(t, addr, gtcp.ClientConfig{Envelope: true, Shared: shared})
		dst, req := make([]byte, 0, 128), make([]byte, 64)
		ctx := envelope.ContextWithMethod(envelope.ContextWithTrace(context.Background(), someTrace), "users.get")
		for range 100 {
			_, _ = c.AppendCall(ctx, dst, req)
		}
		n := testing.AllocsPerRun(1000, func() {
			if _, err := c.AppendCall(ctx, dst, req); err != nil {
				t.Error(err)
			}
		})
		require.Zero(t, n, "the server's included")
	})
}
