package server_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/framing/envelope"
	"github.com/seed-99d6a01a/gtcp/server"
)

// sealed returns a frame: an envelope and a payload.
func sealed(t testing.TB, e envelope.Envelope, payload string) string {
	b, err := e.Append(nil)
	require.NoError(t, err)
	return string(b) + payload
}

// eachOrder runs a test with requests handled one after another and at a time.
func eachOrder(t *testing.T, f func(t *testing.T, h *server.FrameHandler)) {
	t.Run("one at a time", func(t *testing.T) { f(t, &server.FrameHandler{Envelope: true}) })
	t.Run("concurrent", func(t *testing.T) { f(t, &server.FrameHandler{Envelope: true, Concurrency: 4}) })
}

var remoteTrace = envelope.Trace{ID: [16]byte{15: 1}, Parent: [8]byte{7: 2}, Flags: 1}

// traceHook notes the trace and the method that requests come with.
type traceHook struct {
	recorder
	traces  []string
	methods []string
}

func (h *traceHook) BeforeRequest(ctx context.Context, e server.RequestStart) context.Context {
	h.mu.Lock()
	h.traces = append(h.traces, envelope.TraceFromContext(ctx).String())
	h.methods = append(h.methods, string(envelope.FromContext(ctx).Method))
	h.mu.Unlock()
	return h.recorder.BeforeRequest(ctx, e)
}

// TestEnvelope: replies have the numbers of their requests, and hooks know where a
// request comes from.
func TestEnvelope(t *testing.T) {
	eachOrder(t, func(t *testing.T, h *server.FrameHandler) {
		h.Handle = func(ctx context.Context, req []byte) ([]byte, error) {
			switch string(req) {
			case "one-way":
				return nil, server.ErrNoReply
			case "fails":
				return nil, &envelope.StatusError{Status: 20, Message: strings.Repeat("m", 2000)}
			}
			return fmt.Appendf(nil, "%s of %s", req, envelope.FromContext(ctx).Method), nil
		}
		hook := &traceHook{}
		s := &server.Server{Handler: h, Hooks: []any{hook}}
		c := dial(t, start(t, s))
		from := envelope.Envelope{Number: 7, Method: []byte("m"), Trace: remoteTrace, Timeout: time.Hour}
		c.send(sealed(t, from, "a"), sealed(t, from, "one-way"), sealed(t, from, "fails"), sealed(t, from, "b"))
		c.expect(
			sealed(t, envelope.Envelope{Number: 7}, "a of m"),
			sealed(t, envelope.Envelope{Number: 7, Status: 20, Message: bytes.Repeat([]byte("m"), envelope.MaxMessage)}, ""),
			sealed(t, envelope.Envelope{Number: 7}, "b of m"),
		)
		require.NoError(t, c.Close())
		shutdown(t, s)
		require.Equal(t, []string{"m", "m", "m", "m"}, hook.methods)
		require.Equal(t, remoteTrace.String(), hook.traces[3])
		require.Equal(t, []int{1, 7, 5, 1}, []int{hook.starts[0].Bytes, hook.starts[1].Bytes, hook.starts[2].Bytes, hook.starts[3].Bytes})
		require.Len(t, hook.events, 4)
		for _, e := range hook.events {
			require.False(t, e.Refused)
			require.LessOrEqual(t, e.ReplyBytes, 6, "the payload's")
		}
	})
}

// A handler that declares a *StatusError, and returns it without an if, has failed:
// an error with a nil pointer in it is not nil.
func TestEnvelopeOfANilStatus(t *testing.T) {
	eachOrder(t, func(t *testing.T, h *server.FrameHandler) {
		h.Handle = func(context.Context, []byte) ([]byte, error) {
			var none *envelope.StatusError
			return nil, none
		}
		s := &server.Server{Handler: h, Logger: slog.New(slog.DiscardHandler)}
		c := dial(t, start(t, s))
		c.send(sealed(t, envelope.Envelope{Number: 1}, "a"))
		c.expect(sealed(t, envelope.Envelope{Number: 1, Status: envelope.StatusFailed}, ""))
		require.NoError(t, c.Close())
		shutdown(t, s)
		require.Zero(t, s.Stat().Panics)
	})
}

// A request whose time has passed before its turn is not handled.
func TestEnvelopeThatComesTooLate(t *testing.T) {
	eachOrder(t, func(t *testing.T, h *server.FrameHandler) {
		var handled atomic.Int32
		h.Append = func(_ context.Context, dst, req []byte) ([]byte, error) {
			handled.Add(1)
			return append(dst, req...), nil
		}
		hook := &recorder{}
		s := &server.Server{Handler: h, Hooks: []any{hook}}
		c := dial(t, start(t, s))
		c.send(sealed(t, envelope.Envelope{Number: 1, Timeout: -1}, "late"), sealed(t, envelope.Envelope{Number: 2}, "in time"))
		c.expect(
			sealed(t, envelope.Envelope{Number: 1, Status: envelope.StatusTooLate}, ""),
			sealed(t, envelope.Envelope{Number: 2}, "in time"),
		)
		require.NoError(t, c.Close())
		shutdown(t, s)
		require.EqualValues(t, 1, handled.Load())
		require.True(t, hook.events[0].Refused)
		require.ErrorIs(t, hook.events[0].Err, context.DeadlineExceeded)
		require.False(t, hook.events[1].Refused)
	})
}

// Requests wait for the Limiter no longer than their callers do.
func TestEnvelopeAndLimiter(t *testing.T) {
	inside, leave := make(chan struct{}), make(chan struct{})
	h := &server.FrameHandler{Envelope: true, Limiter: &server.Limiter{Max: 1, MaxWait: time.Hour}}
	h.Handle = func(_ context.Context, req []byte) ([]byte, error) {
		inside <- struct{}{}
		<-leave
		return req, nil
	}
	addr := start(t, &server.Server{Handler: h})
	busy, waits := dial(t, addr), dial(t, addr)
	busy.send(sealed(t, envelope.Envelope{}, "busy"))
	<-inside
	waits.send(sealed(t, envelope.Envelope{Timeout: time.Millisecond}, "waits"))
	waits.expect(sealed(t, envelope.Envelope{Status: envelope.StatusTooLate}, ""))
	close(leave)
	busy.expect(sealed(t, envelope.Envelope{}, "busy"))
}

// TestEnvelopeReplies: a reply may be any memory, and of any size.
func TestEnvelopeReplies(t *testing.T) {
	large := strings.Repeat("l", 100_000)
	for name, handle := range map[string]func(context.Context, []byte, []byte) ([]byte, error){
		"appended": func(_ context.Context, dst, req []byte) ([]byte, error) { return append(dst, req...), nil },
		"a part of it": func(_ context.Context, dst, req []byte) ([]byte, error) {
			return append(append(dst, "xx"...), req...)[2:], nil
		},
		"the request":      func(_ context.Context, _, req []byte) ([]byte, error) { return req, nil },
		"memory of theirs": func(_ context.Context, _, req []byte) ([]byte, error) { return bytes.Clone(req), nil },
	} {
		t.Run(name, func(t *testing.T) {
			eachOrder(t, func(t *testing.T, h *server.FrameHandler) {
				h.Append, h.Format = handle, framing.Format{HeaderSize: 4}
				c := dial(t, start(t, &server.Server{Handler: h}))
				r := framing.NewReader(c.Conn, h.Format)
				for i, payload := range []string{"", "a", large, "b", "", large[:70_000]} {
					want := sealed(t, envelope.Envelope{Number: uint32(i)}, payload)
					wire, err := h.Format.Append(nil, []byte(want))
					require.NoError(t, err)
					go func() { _, _ = c.Write(wire) }()
					got, err := r.ReadFrame(nil)
					require.NoError(t, err)
					require.Equal(t, want, string(got))
				}
			})
		})
	}
}

// TestHostileEnvelopes: what is no envelope ends the connection, wherever it is cut,
// and the handler never sees it.
func TestHostileEnvelopes(t *testing.T) {
	whole := sealed(t, envelope.Envelope{Number: 1, Timeout: time.Second, Trace: remoteTrace, State: []byte("s=1"), Method: []byte("method")}, "")
	var hostile []string
	for n := range whole {
		hostile = append(hostile, whole[:n])
	}
	hostile = append(hostile, "\xe1\x00\xff\xff\x00\x00\x00\x00", "\xe1\x80\x00\x00\x00\x00\x00\x00",
		"\xe1\x00\x00\x02\x00\x00\x00\x00\x80\x00", sealed(t, envelope.Envelope{Push: true}, ""), string(envelope.Goodbye()))
	eachOrder(t, func(t *testing.T, h *server.FrameHandler) {
		var handled atomic.Int32
		h.Handle = func(_ context.Context, req []byte) ([]byte, error) {
			handled.Add(1)
			return req, nil
		}
		addr := start(t, &server.Server{Handler: h})
		for _, frame := range hostile {
			c := dial(t, addr)
			c.send(sealed(t, envelope.Envelope{}, "good"), frame)
			c.expect(sealed(t, envelope.Envelope{}, "good"))
			c.expectEnd()
		}
		require.EqualValues(t, len(hostile), handled.Load())
	})
}

func TestEnvelopeOversize(t *testing.T) {
	h := &server.FrameHandler{Envelope: true, Format: framing.Format{MaxSize: 20, SkipOversize: true}}
	h.Handle = func(_ context.Context, req []byte) ([]byte, error) { return req, nil }
	h.ErrorReply = func(context.Context, error) []byte { return []byte("too large") }
	c := dial(t, start(t, &server.Server{Handler: h}))
	c.send(sealed(t, envelope.Envelope{}, "good"), sealed(t, envelope.Envelope{Number: 9}, strings.Repeat("x", 20)))
	c.expect(sealed(t, envelope.Envelope{}, "good"))
	c.expectEnd()
}

// What is no envelope is no fault of the handler's, and gets no reply of any kind.
func TestTheLogOfAHostileEnvelope(t *testing.T) {
	eachOrder(t, func(t *testing.T, h *server.FrameHandler) {
		h.Handle = func(_ context.Context, req []byte) ([]byte, error) { return req, nil }
		log := &logbook{}
		c := dial(t, start(t, &server.Server{Handler: h, Logger: log.logger()}))
		c.send(sealed(t, envelope.Envelope{Number: 1}, "a"), "none", sealed(t, envelope.Envelope{Number: 2}, "b"))
		c.expect(sealed(t, envelope.Envelope{Number: 1}, "a"))
		c.expectEnd()
		log.requireOne(t, "malformed request", "level=WARN", c.LocalAddr().String(), `err="envelope`)
		require.Empty(t, log.with("handler failed"))
	})
}
