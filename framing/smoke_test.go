package framing_test

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/stretchr/testify/require"
)

func TestSmoke(t *testing.T) {
	for _, f := range []framing.Format{{}, {HeaderSize: 3}, {HeaderSize: framing.Varint}, {HeaderSize: 4, Strip: -1, LengthOffset: 2}, {HeaderSize: 8, LittleEndian: true, LengthAdjust: -8}} {
		var b bytes.Buffer
		w := framing.NewWriter(&b, f)
		for n := range 40000 {
			if n > 10 {
				n *= 17000
			}
			if n > 65535 {
				break
			}
			p := bytes.Repeat([]byte{'x'}, n)
			if f.Strip < 0 {
				p = append([]byte("ab1234"), p...)
			}
			require.NoError(t, w.WriteFrame(p))
		}
		require.NoError(t, w.Flush())
		for _, rd := range []io.Reader{bytes.NewReader(b.Bytes()), iotest.OneByteReader(bytes.NewReader(b.Bytes()))} {
			r := framing.NewReader(rd, f)
			for n := range 40000 {
				if n > 10 {
					n *= 17000
				}
				if n > 65535 {
					break
				}
				if f.Strip < 0 {
					n += 6
				}
				p, err := r.Next()
				require.NoError(t, err)
				require.Len(t, p, n)
			}
			_, err := r.Next()
			require.Equal(t, io.EOF, err)
		}
	}
}
