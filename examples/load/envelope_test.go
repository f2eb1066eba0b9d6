package main

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing/envelope"
	"github.com/seed-99d6a01a/gtcp/internal/faultproxy"
	"github.com/seed-99d6a01a/gtcp/server"
)

// TestEnvelope calls a server with envelopes that replies in any order and refuses
// every second request: those calls failed, although each got a reply.
func TestEnvelope(t *testing.T) {
	var requests, deadlines atomic.Int64
	h := &server.FrameHandler{Envelope: true, Concurrency: 8, Unordered: true}
	h.Append = func(ctx context.Context, dst, request []byte) ([]byte, error) {
		if _, ok := ctx.Deadline(); ok {
			deadlines.Add(1)
		}
		if n := requests.Add(1); string(envelope.FromContext(ctx).Method) != "get" || n%2 == 0 {
			return nil, &envelope.StatusError{Status: envelope.StatusOverloaded, Message: "come later"}
		}
		return reply(ctx, dst, request)
	}
	addr := serve(t, h)
	for _, kind := range []string{"exclusive", "shared"} {
		code, d := measuredBy(t, "-method", "get", "-same", "-callers", "4", "-warmup", "0", "-duration", "100ms", "-timeout", "10s", addr+","+kind)
		require.Zero(t, code, kind)
		m := d.Targets[0]
		require.InDelta(t, m.Calls/2, m.Failed, 4, kind)
		require.EqualValues(t, m.Failed, m.Failures["overloaded"], kind)
		require.Contains(t, m.Examples["overloaded"], "come later", kind)
	}
	require.Equal(t, requests.Load(), deadlines.Load(), "the server knows how long each caller waits")
}

// TestEnvelopeMissing calls such a server without envelopes, and the other way round.
func TestEnvelopeMissing(t *testing.T) {
	with := serve(t, &server.FrameHandler{Envelope: true, Append: reply})
	without := serve(t, &server.FrameHandler{Append: func(_ context.Context, dst, _ []byte) ([]byte, error) {
		return append(dst, "no envelope"...), nil
	}})
	for _, args := range [][]string{{with}, {"-envelope", without}} {
		code, out, log := program(t, append([]string{"-warmup", "100ms", "-timeout", "200ms", "-progress", "0"}, args...)...)
		require.Equal(t, exitFailed, code, args)
		require.Empty(t, strings.TrimSpace(out), args)
		require.NotEmpty(t, log, args)
	}
}

// TestEnvelopeEcho has an echo server of the program, with envelopes too.
func TestEnvelopeEcho(t *testing.T) {
	addr, stop, err := faultproxy.HeldAddr()
	require.NoError(t, err)
	defer func() { require.NoError(t, stop()) }()
	code, out, log := program(t, "-envelope", "-same", "-callers", "2", "-warmup", "0", "-duration", "50ms", "-timeout", "10s", "-max-failed", "0", "-echo", addr, addr)
	require.Zero(t, code, "%s%s", out, log)
}
