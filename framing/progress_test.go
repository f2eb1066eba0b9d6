package framing_test

import (
	"bufio"
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing"
)

// A reader that brings nothing, for ever, without an error.
type stuckReader struct{}

func (stuckReader) Read([]byte) (int, error) { return 0, nil }

// stuckPeeker has a header and then brings nothing.
type stuckPeeker struct{ *bytes.Buffer }

func (p stuckPeeker) Buffered() int              { return p.Len() }
func (p stuckPeeker) Peek(n int) ([]byte, error) { return p.Bytes()[:min(n, p.Len())], nil }
func (stuckPeeker) Read([]byte) (int, error)     { return 0, nil }
func (p stuckPeeker) Discard(n int) (int, error) { return len(p.Next(n)), nil }
func (stuckPeeker) BufferSize() int              { return 64 }

func TestNoProgress(t *testing.T) {
	_, err := framing.NewReader(stuckReader{}, framing.Format{}).Next()
	require.Equal(t, io.ErrNoProgress, err)
	_, err = framing.NewReader(stuckPeeker{bytes.NewBuffer([]byte{0, 9})}, framing.Format{}).Next()
	require.Equal(t, io.ErrNoProgress, err, "from Peek")
	_, err = framing.NewReader(stuckPeeker{bytes.NewBuffer([]byte{9, 9})}, framing.Format{}).Next()
	require.Equal(t, io.ErrNoProgress, err)
	_, err = framing.NewReader(stuckPeeker{bytes.NewBuffer([]byte{9, 9})}, framing.Format{Strip: 100}).Next()
	require.Equal(t, io.ErrNoProgress, err)
}

// dribble is a PeekReader that reads and drops a byte at a time, and notes the
// largest Peek.
type dribble struct {
	plainPeeker
	peeked int
}

func (d *dribble) Read(b []byte) (int, error) { return d.plainPeeker.Read(b[:1]) }
func (d *dribble) BufferSize() int            { return 16 << 10 }

func (d *dribble) Discard(n int) (int, error) {
	if n > d.Buffered() {
		n = 1
	}
	return d.plainPeeker.Discard(n)
}

func (d *dribble) Peek(n int) ([]byte, error) {
	d.peeked = max(d.peeked, n)
	return d.plainPeeker.Peek(n)
}

// Progress of a byte at a time is progress, in a frame that is read and in one
// that is skipped; and ReadFrame has no large frame collected in the buffer.
func TestDribble(t *testing.T) {
	large, f := fill(10_000), framing.Format{MaxSize: 10_000, SkipOversize: true}
	wire := encode(t, framing.Format{}, large, fill(10_001), fill(3))
	d := &dribble{plainPeeker: plainPeeker{bufio.NewReaderSize(steps(wire[:9], wire[9:]), 16<<10)}}
	r := framing.NewReader(d, f)
	got, err := r.ReadFrame(nil)
	require.NoError(t, err)
	require.Equal(t, large, got)
	require.Less(t, d.peeked, len(large))
	_, err = r.Next()
	require.ErrorAs(t, err, new(*framing.SizeError))
	got, err = r.Next()
	require.NoError(t, err)
	require.Equal(t, fill(3), got)
}
