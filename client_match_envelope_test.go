package gtcp_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/framing/envelope"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/server"
)

var _ pipeline.Matcher = envelope.Matcher{}

// The number of an envelope pairs replies with requests: the reply to the second
// call comes first, on the same connection.
func TestClientMatchByEnvelope(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	addr := serving(t, &server.FrameHandler{
		Concurrency: 4, Unordered: true,
		Handle: func(_ context.Context, req []byte) ([]byte, error) {
			var e envelope.Envelope
			payload, err := e.Parse(req)
			if err != nil {
				return nil, err
			}
			if string(payload) == "slow" {
				close(begun)
				<-release
			}
			reply, err := (&envelope.Envelope{Number: e.Number}).Append(nil)
			return append(reply, payload...), err
		},
	})
	c := client(t, addr, gtcp.ClientConfig{Shared: true, Match: envelope.Matcher{}})
	call := func(payload string) (number uint32, reply string, err error) {
		frame, err := (&envelope.Envelope{Number: 7}).Append(nil)
		if err != nil {
			return 0, "", err
		}
		frame, err = c.Call(context.Background(), append(frame, payload...))
		if err != nil {
			return 0, "", err
		}
		var e envelope.Envelope
		rest, err := e.Parse(frame)
		return e.Number, string(rest), err
	}
	slow := make(chan string, 1)
	go func() {
		_, reply, err := call("slow")
		if err != nil {
			reply = err.Error()
		}
		slow <- reply
	}()
	<-begun
	number, reply, err := call("fast")
	require.NoError(t, err)
	require.Equal(t, "fast", reply)
	require.EqualValues(t, 7, number, "the caller's own")
	close(release)
	require.Equal(t, "slow", <-slow)

	_, err = c.Call(t.Context(), []byte("no envelope at all"))
	require.ErrorIs(t, err, pipeline.ErrNoNumber)
}
