package framing_test

import (
	"bufio"
	"bytes"
	"io"
	"math"
	"runtime"
	"testing"
	"testing/iotest"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/stretchr/testify/require"
)

func TestNextIsZeroCopy(t *testing.T) {
	br := bufio.NewReader(bytes.NewReader(encode(t, framing.Format{}, fill(64), fill(64))))
	_, err := br.Peek(1)
	require.NoError(t, err)
	buffered, err := br.Peek(br.Buffered())
	require.NoError(t, err)
	got, err := framing.NewReader(br, framing.Format{}).Next()
	require.NoError(t, err)
	require.Same(t, &buffered[2], &got[0])
	require.Equal(t, len(got), cap(got), "an append to the frame would write over the next one")
}

func TestBuffered(t *testing.T) {
	wire := encode(t, framing.Format{}, fill(3), fill(4))
	for _, exclusive := range []bool{false, true} {
		s := steps(wire[:6], wire[6:10], wire[10:])
		r := framing.NewReader(newTagged(s, 64), framing.Format{})
		r.Exclusive = exclusive
		require.False(t, r.Buffered(), "nothing has been read")
		require.Zero(t, s.reads, "Buffered does no I/O")
		_, err := r.Next()
		require.NoError(t, err)
		require.False(t, r.Buffered(), "one header byte")
		reads := s.reads
		_, err = r.Next()
		require.NoError(t, err)
		require.Greater(t, s.reads, reads)

		s = steps(wire)
		r = framing.NewReader(newTagged(s, 64), framing.Format{})
		r.Exclusive = exclusive
		_, err = r.Next()
		require.NoError(t, err)
		reads = s.reads
		require.True(t, r.Buffered())
		require.True(t, r.Buffered())
		_, err = r.Next()
		require.NoError(t, err)
		require.Equal(t, reads, s.reads, "Next read although a frame was buffered")
		require.False(t, r.Buffered())
	}
}

func TestBufferedOfBadAndOpenFrames(t *testing.T) {
	r := framing.NewReader(newTagged(steps([]byte{0, 1, 'a', 0, 9, 'b'}), 64), framing.Format{MaxSize: 5})
	_, err := r.Next()
	require.NoError(t, err)
	require.True(t, r.Buffered(), "Next will refuse the header at once")
	_, err = r.Next()
	require.Error(t, err)
	require.True(t, r.Buffered(), "and goes on to")

	r = framing.NewReader(newTagged(steps([]byte{0, 9, 'b'}), 64), framing.Format{})
	_, _, err = r.Stream()
	require.NoError(t, err)
	require.False(t, r.Buffered())
}

func TestWait(t *testing.T) {
	for _, src := range sources {
		wire := encode(t, framing.Format{}, fill(3), fill(100))
		r := framing.NewReader(src.open(steps(nil, wire[:1], nil, wire[1:20], nil, wire[20:])), framing.Format{})
		require.True(t, isTimeout(r.Wait()), src.name)
		require.NoError(t, r.Wait(), src.name)
		require.NoError(t, r.Wait(), src.name)
		_, err := r.Next()
		require.True(t, isTimeout(err), src.name)
		got, err := next(r)
		require.NoError(t, err, src.name)
		require.Equal(t, fill(3), got)
		require.NoError(t, r.Wait(), src.name)
		_, err = r.Next()
		require.True(t, isTimeout(err), src.name)
		require.NoError(t, r.Wait(), src.name)
		got, err = next(r)
		require.NoError(t, err, src.name)
		require.Equal(t, fill(100), got)
		require.Equal(t, io.EOF, r.Wait(), src.name)
	}
}

func TestWaitExclusive(t *testing.T) {
	wire := encode(t, framing.Format{}, fill(3), fill(4))
	r := framing.NewReader(bufio.NewReader(steps(wire, nil)), framing.Format{})
	r.Exclusive = true
	for range 2 {
		require.NoError(t, r.Wait())
		_, err := r.Next()
		require.NoError(t, err)
	}
	require.True(t, isTimeout(r.Wait()), "frames returned must not count")
}

func TestErrorBetweenFramesIsNotFinal(t *testing.T) {
	for _, src := range sources {
		s := steps(encode(t, framing.Format{}, fill(3)))
		s.end = errReset
		r := framing.NewReader(src.open(s), framing.Format{})
		_, err := r.Next()
		require.NoError(t, err)
		_, err = r.Next()
		require.Equal(t, errReset, err)
		s.steps = [][]byte{encode(t, framing.Format{}, fill(4))}
		got, err := r.Next()
		require.NoError(t, err, src.name)
		require.Equal(t, fill(4), got)
	}
}

func TestInvalidFormatIsEveryCallsError(t *testing.T) {
	r := framing.NewReader(bytes.NewReader([]byte{0, 0}), framing.Format{HeaderSize: 5})
	check := func() {
		var bad *framing.FormatError
		_, err := r.Next()
		require.ErrorAs(t, err, &bad)
		require.Equal(t, "HeaderSize", bad.Field)
		_, err = r.ReadFrame(nil)
		require.ErrorAs(t, err, &bad)
		_, _, err = r.Stream()
		require.ErrorAs(t, err, &bad)
		require.ErrorAs(t, r.Wait(), &bad)
	}
	check()
	r.Reset(bytes.NewReader([]byte{0, 0}))
	check()
}

func TestBufferTooSmallForHeader(t *testing.T) {
	f := framing.Format{LengthOffset: 40}
	r := framing.NewReader(bufio.NewReaderSize(bytes.NewReader(nil), 16), f)
	_, err := r.Next()
	require.ErrorContains(t, err, "16 bytes")
	r.Reset(bytes.NewReader(make([]byte, 42)))
	got, err := r.Next()
	require.NoError(t, err)
	require.Empty(t, got)
}

func TestReset(t *testing.T) {
	for _, src := range sources {
		// Out of the middle of a frame that is larger than any buffer.
		r := framing.NewReader(src.open(steps([]byte{0xff, 0xff, 1, 2, 3}, fill(20_000), nil)), framing.Format{})
		_, err := r.Next()
		require.True(t, isTimeout(err), src.name)
		r.Reset(src.open(steps([]byte{0, 1, 'x'}, []byte{0, 9, 'y'})))
		got, err := r.Next()
		require.NoError(t, err, src.name)
		require.Equal(t, "x", string(got))
		_, err = r.Next()
		require.Equal(t, io.ErrUnexpectedEOF, err)
		// Out of a final error, to another kind of source.
		r.Reset(newTagged(steps([]byte{0, 1, 'z'}), 16))
		got, err = r.Next()
		require.NoError(t, err, src.name)
		require.Equal(t, "z", string(got))
	}
}

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
	_, err = framing.NewReader(stuckPeeker{bytes.NewBuffer([]byte{9, 9})}, framing.Format{}).Next()
	require.Equal(t, io.ErrNoProgress, err)
	_, err = framing.NewReader(stuckPeeker{bytes.NewBuffer([]byte{9, 9})}, framing.Format{Strip: 100}).Next()
	require.Equal(t, io.ErrNoProgress, err)
}

// A read that brings the last bytes and the error together loses neither.
func TestDataWithError(t *testing.T) {
	for _, size := range []int{3, 100, 70_000} {
		wire := encode(t, framing.Format{HeaderSize: 4}, fill(size))
		for _, src := range sources {
			for _, m := range methods {
				r := framing.NewReader(src.open(iotest.DataErrReader(bytes.NewReader(wire))), framing.Format{HeaderSize: 4})
				got, err := m.read(r)
				require.NoError(t, err, "%s, %s", src.name, m.name)
				require.True(t, bytes.Equal(fill(size), got))
				_, err = m.read(r)
				require.Equal(t, io.EOF, err)
			}
		}
	}
}

// A peer that promises 2 GiB and sends 16 bytes costs what it sent.
func TestHostileLengthCostsWhatArrived(t *testing.T) {
	f := framing.Format{HeaderSize: 4, MaxSize: math.MaxInt32}
	promise := append([]byte{0x7f, 0xff, 0xff, 0xff}, fill(16)...)
	for _, m := range methods {
		t.Run(m.name, func(t *testing.T) {
			const peers = 64
			var readers []*framing.Reader
			for range peers {
				r := framing.NewReader(newTagged(steps(promise, nil), 16), f)
				r.Exclusive = m.exclusive
				readers = append(readers, r)
			}
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			for _, r := range readers {
				if m.name == "Stream" {
					s, size, err := r.Stream()
					require.NoError(t, err)
					require.Equal(t, int64(math.MaxInt32), size)
					_, err = io.ReadAll(s)
					require.True(t, isTimeout(err))
					continue
				}
				_, err := m.read(r)
				require.True(t, isTimeout(err))
			}
			runtime.ReadMemStats(&after)
			require.Less(t, (after.TotalAlloc-before.TotalAlloc)/peers, uint64(64<<10))
			runtime.KeepAlive(readers)
		})
	}
}

func TestPeekThatBringsNothing(t *testing.T) {
	_, err := framing.NewReader(stuckPeeker{bytes.NewBuffer([]byte{0, 9})}, framing.Format{}).Next()
	require.Equal(t, io.ErrNoProgress, err)
}
