package framing_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/stretchr/testify/require"
)

// A Reader that has no stream says so, whatever is asked of it.
func TestReaderWithoutStream(t *testing.T) {
	reset := framing.NewReader(bytes.NewReader([]byte{0, 1, 'a'}), framing.Format{})
	_, err := reset.Next()
	require.NoError(t, err)
	reset.Reset(nil)
	for name, r := range map[string]*framing.Reader{
		"zero":            {},
		"zero, exclusive": {Exclusive: true},
		"made of nil":     framing.NewReader(nil, framing.Format{}),
		"reset to nil":    reset,
	} {
		t.Run(name, func(t *testing.T) {
			const want = "framing: Reader without a stream"
			dst := []byte("before")
			for range 2 {
				require.True(t, r.Buffered(), "Next would not wait")
				_, err := r.Next()
				require.ErrorContains(t, err, want)
				got, err := r.ReadFrame(dst)
				require.ErrorContains(t, err, want)
				require.Equal(t, dst, got)
				_, _, err = r.Stream()
				require.ErrorContains(t, err, want)
				require.ErrorContains(t, r.Wait(), want)
				require.ErrorContains(t, r.Release(), want)
			}
			r.Reset(bytes.NewReader([]byte{0, 2, 'h', 'i'}))
			frame, err := r.Next()
			require.NoError(t, err)
			require.Equal(t, "hi", string(frame))
			_, err = r.Next()
			require.Equal(t, io.EOF, err)
		})
	}
}

// A Writer that has no stream accepts nothing, not even an empty frame.
func TestWriterWithoutStream(t *testing.T) {
	reset := framing.NewWriter(io.Discard, framing.Format{})
	require.NoError(t, reset.WriteFrame([]byte("a")))
	reset.Reset(nil)
	for name, w := range map[string]*framing.Writer{
		"zero":         {},
		"made of nil":  framing.NewWriter(nil, framing.Format{}),
		"reset to nil": reset,
	} {
		t.Run(name, func(t *testing.T) {
			const want = "framing: Writer without a stream"
			require.ErrorContains(t, w.Flush(), want)
			for _, payload := range [][]byte{nil, {}, []byte("hi"), make([]byte, 50_000)} {
				require.ErrorContains(t, w.WriteFrame(payload), want)
				require.ErrorContains(t, w.Flush(), want)
				require.Zero(t, w.Buffered())
			}
			var sent bytes.Buffer
			w.Reset(&sent)
			require.NoError(t, w.WriteFrame(nil))
			require.NoError(t, w.WriteFrame([]byte("hi")))
			require.NoError(t, w.Flush())
			require.Equal(t, "\x00\x00\x00\x02hi", sent.String())
		})
	}
}

// Reset of a Reader or Writer whose format is invalid does not give it another.
func TestResetKeepsBadFormat(t *testing.T) {
	bad := framing.Format{HeaderSize: 5}
	var want *framing.FormatError
	r := framing.NewReader(nil, bad)
	r.Reset(bytes.NewReader([]byte{0, 0}))
	_, err := r.Next()
	require.ErrorAs(t, err, &want)
	w := framing.NewWriter(nil, bad)
	w.Reset(io.Discard)
	require.ErrorAs(t, w.WriteFrame(nil), &want)
}
