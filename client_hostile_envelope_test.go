package gtcp_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/framing/envelope"
	"github.com/seed-99d6a01a/gtcp/retry"
)

// strayFirst is a server whose first reply of its first connection is preceded by
// stray, and comes only with the next request. It replies with what it is sent.
func strayFirst(t *testing.T, stray envelope.Envelope) string {
	frame, err := stray.Append(nil)
	require.NoError(t, err)
	return rawServer(t, func(c *net.TCPConn, n int) {
		r, w := framing.NewReader(c, framing.Format{}), framing.NewWriter(c, framing.Format{})
		var owed [][]byte
		for i := 0; ; i++ {
			request, err := r.ReadFrame(nil)
			if err != nil {
				return
			}
			var e envelope.Envelope
			payload, err := e.Parse(request)
			if err != nil {
				return
			}
			reply, err := (&envelope.Envelope{Number: e.Number}).Append(nil)
			if err != nil {
				return
			}
			owed = append(owed, append(reply, payload...))
			if n == 0 && i == 0 {
				_ = w.WriteFrame(frame)
			} else {
				for _, reply := range owed {
					_ = w.WriteFrame(reply)
				}
				owed = nil
			}
			if w.Flush() != nil {
				return
			}
		}
	})
}

// A frame in the place of a reply that is none fails its call, and no later call
// gets the reply that comes behind it.
func TestClientEnvelopeAfterAStrayFrame(t *testing.T) {
	for name, stray := range map[string]envelope.Envelope{
		"push":    {Push: true, Method: []byte("news")},
		"goodbye": {Goodbye: true, Method: []byte("not the usual one")},
	} {
		t.Run(name, func(t *testing.T) {
			eachMode(t, func(t *testing.T, shared bool) {
				c := client(t, strayFirst(t, stray), gtcp.ClientConfig{Envelope: true, Shared: shared, Retry: retry.Policy{MaxAttempts: 1}})
				_, err := c.Call(t.Context(), []byte("first"))
				require.Error(t, err)
				require.Equal(t, conn.KindProtocol, conn.KindOf(err))
				require.False(t, retry.SafeToRetry(err))
				reply, err := c.Call(t.Context(), []byte("second"))
				require.NoError(t, err)
				require.Equal(t, "second", string(reply))
			})
		})
	}
}
