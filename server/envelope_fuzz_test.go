package server_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/framing/envelope"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/server"
)

// FuzzEnvelope: a server echoes the payload of each valid request with its number,
// and closes the connection for any other frame.
func FuzzEnvelope(f *testing.F) {
	whole := sealed(f, envelope.Envelope{Number: 1, Timeout: 1 << 40, Trace: remoteTrace, State: []byte("s=1"), Method: []byte("method")}, "payload")
	f.Add([]byte(whole))
	f.Add([]byte(sealed(f, envelope.Envelope{Number: 2, Timeout: -1}, "late")))
	f.Add(envelope.Goodbye())
	format := framing.Format{HeaderSize: 4}
	h := &server.FrameHandler{Envelope: true, Format: format}
	h.Append = func(_ context.Context, dst, req []byte) ([]byte, error) { return append(dst, req...), nil }
	f.Fuzz(func(t *testing.T, frame []byte) {
		here, there := memnet.Pipe()
		served := make(chan struct{})
		go func() {
			defer close(served)
			h.ServeConn(context.Background(), conn.New(there))
		}()
		wire, err := format.Append(nil, frame)
		require.NoError(t, err)
		wrote := make(chan struct{})
		go func() {
			defer close(wrote)
			_, _ = here.Write(wire)
			_ = here.(interface{ CloseWrite() error }).CloseWrite()
		}()
		r := framing.NewReader(here, format)
		reply, err := r.ReadFrame(nil)
		var sent, got envelope.Envelope
		payload, bad := sent.Parse(frame)
		if bad != nil || sent.Push || sent.Goodbye {
			require.Error(t, err, "it is no request")
		} else {
			require.NoError(t, err)
			echoed, err := got.Parse(reply)
			require.NoError(t, err)
			require.Equal(t, sent.Number, got.Number)
			if got.Status == envelope.StatusTooLate {
				require.NotZero(t, sent.Timeout)
			} else {
				require.Zero(t, got.Status)
				require.Equal(t, string(payload), string(echoed))
			}
		}
		_ = here.Close()
		<-wrote
		<-served
	})
}
