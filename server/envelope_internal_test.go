package server

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing/envelope"
)

// Each thing that an envelope carries reaches the context of its request, also by
// itself, and only the caller's time can make it late.
func TestWhatAnEnvelopeCarries(t *testing.T) {
	trace := envelope.Trace{ID: [16]byte{15: 1}, Parent: [8]byte{7: 2}}
	for name, tc := range map[string]struct {
		envelope envelope.Envelope
		own      bool
		expired  bool
	}{
		"nothing":          {envelope.Envelope{Number: 1}, false, false},
		"a method":         {envelope.Envelope{Method: []byte("m")}, true, false},
		"a trace":          {envelope.Envelope{Trace: trace}, true, false},
		"a state":          {envelope.Envelope{State: []byte("s")}, true, false},
		"a trace's state":  {envelope.Envelope{Trace: trace, State: []byte("s")}, true, false},
		"a time":           {envelope.Envelope{Timeout: time.Hour}, true, false},
		"a time that past": {envelope.Envelope{Timeout: -1}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			wire, err := tc.envelope.Append(nil)
			require.NoError(t, err)
			r, err := openRequest(t.Context(), time.Now(), append(wire, "payload"...))
			require.NoError(t, err)
			require.Equal(t, "payload", string(r.payload))
			require.Equal(t, tc.envelope.Number, r.number)
			require.Equal(t, tc.own, r.own != nil)
			require.Equal(t, tc.expired, r.expired)
			require.Equal(t, tc.expired, r.late())
			got := envelope.FromContext(r.ctx)
			require.Equal(t, tc.own, got != nil)
			if got != nil {
				require.Equal(t, string(tc.envelope.Method), string(got.Method))
				require.Equal(t, string(tc.envelope.State), string(got.State))
			}
			require.Equal(t, tc.envelope.Trace, envelope.TraceFromContext(r.ctx))
		})
	}
}

// No two requests get the same context.
func TestRequestContextsAreUsedOnce(t *testing.T) {
	seen := map[*envelope.RequestContext]bool{}
	for range 10 * contextChunk {
		c := newRequestContext()
		require.False(t, seen[c])
		seen[c] = true
	}
}

// The memory of a sealed reply is kept for the next one, if it is not large.
func TestMemoryOfSealedReplies(t *testing.T) {
	h := new(FrameHandler)
	for size, kept := range map[int]bool{100: true, keepReply - envelope.MinSize: true, keepReply + 1: false} {
		buf := make([]byte, 0, size+envelope.MinSize)
		if !kept {
			buf = nil
		}
		frame := h.seal(&envelope.Envelope{}, make([]byte, size), &buf)
		require.Len(t, frame, size+envelope.MinSize)
		require.Equal(t, kept, cap(buf) > 0)
		require.LessOrEqual(t, cap(buf), keepReply)
	}
}

// What is said of a request that is too late.
func TestErrorOfALateRequest(t *testing.T) {
	require.ErrorIs(t, errTooLate, context.DeadlineExceeded)
	require.Equal(t, conn.KindTimeout, conn.KindOf(errTooLate))
	timeout, ok := errTooLate.(interface{ Timeout() bool })
	require.True(t, ok)
	require.True(t, timeout.Timeout())
}
