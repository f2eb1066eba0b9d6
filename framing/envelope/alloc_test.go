package envelope_test

import (
	"testing"

	"github.com/seed-99d6a01a/gtcp/framing/envelope"
	"github.com/stretchr/testify/require"
)

func TestNothingIsAllocated(t *testing.T) {
	want := full()
	frame, err := want.Append(nil)
	require.NoError(t, err)
	frame = append(frame, "payload"...)
	dst := make([]byte, 0, 2*len(frame))
	var e envelope.Envelope
	var m envelope.Matcher
	hostile := append([]byte(nil), frame...)
	hostile[2] = 0xff
	cut := frame[:len(frame)-20]
	for name, f := range map[string]func(){
		"Append":  func() { dst, err = want.Append(dst[:0]) },
		"Parse":   func() { _, err = e.Parse(frame) },
		"hostile": func() { _, _ = e.Parse(hostile); _, _ = e.Parse(cut); _, _ = e.Parse(nil) },
		"Matcher": func() { m.Put(frame, 7); m.Get(frame); m.Restore(frame, 1) },
	} {
		require.Zero(t, testing.AllocsPerRun(200, f), name)
		require.NoError(t, err)
	}
}
