package pipeline

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing"
)

// The encoder is the format's Append, whatever came before.
func TestEncoder(t *testing.T) {
	for _, format := range []framing.Format{
		{},
		{HeaderSize: 1},
		{HeaderSize: 8, LittleEndian: true},
		{HeaderSize: framing.Varint},
		{HeaderSize: 4, LengthAdjust: -4},
		{HeaderSize: 4, LengthAdjust: -4, Strip: -1},
		{HeaderSize: 4, LengthOffset: 1, LengthAdjust: -5, Strip: -1},
	} {
		require.NoError(t, format.Validate())
		e := encoder{format: format}
		for range 1000 {
			request := make([]byte, rand.IntN(4)*100)
			for i := range request {
				request[i] = byte(rand.Uint32())
			}
			want, wantErr := format.Append([]byte("before"), request)
			got, err := e.append([]byte("before"), request)
			require.Equal(t, wantErr, err)
			require.Equal(t, want, got)
		}
	}
}
