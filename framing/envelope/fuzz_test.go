package envelope_test

import (
	"bytes"
	"testing"

	"github.com/seed-99d6a01a/gtcp/framing/envelope"
	"github.com/stretchr/testify/require"
)

// FuzzParse: what parses has a payload that ends the frame, and an envelope that
// is the same after it has been written and parsed again. Nothing panics, and
// nothing outside the frame is read.
func FuzzParse(f *testing.F) {
	e := full()
	frame, err := e.Append(nil)
	require.NoError(f, err)
	f.Add(append(frame, "payload"...))
	f.Add(envelope.Goodbye())
	f.Add([]byte("\xe1\x00\x00\x06\x00\x00\x00\x07\x04\x01a\x7f\x01b"))
	f.Add([]byte("\xe1\x00\xff\xff\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, frame []byte) {
		before := bytes.Clone(frame)
		var e envelope.Envelope
		payload, err := e.Parse(frame[:len(frame):len(frame)])
		require.Equal(t, before, frame, "Parse changes nothing")
		if err != nil {
			require.ErrorIs(t, err, envelope.ErrMalformed)
			require.Zero(t, e)
			return
		}
		require.True(t, bytes.HasSuffix(frame, payload))
		again, err := e.Append(nil)
		require.NoError(t, err)
		require.Len(t, again, e.Size())
		var e2 envelope.Envelope
		rest, err := e2.Parse(append(again, payload...))
		require.NoError(t, err)
		require.Equal(t, string(payload), string(rest))
		// A text of no bytes is the same as none.
		for _, text := range []*[]byte{&e.State, &e.Method, &e.Message} {
			if len(*text) == 0 {
				*text = nil
			}
		}
		require.Equal(t, e, e2)
	})
}
