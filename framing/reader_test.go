package framing_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"net"
	"runtime"
	"strings"
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
	r := framing.NewReader(br, framing.Format{})
	r.Exclusive = true
	for _, at := range []int{2, 68} {
		got, err := r.Next()
		require.NoError(t, err)
		require.Same(t, &buffered[at], &got[0])
		require.Equal(t, len(got), cap(got), "an append to the frame would write over the next one")
	}
}

// Without Exclusive a Reader keeps nothing in mind of bytes it has seen and
// not taken: somebody else may take them.
func TestSeenIsNotTaken(t *testing.T) {
	first, second := encode(t, framing.Format{}, fill(3)), encode(t, framing.Format{}, fill(1))
	look := map[string]func(*framing.Reader){
		"Buffered":  func(r *framing.Reader) { require.True(t, r.Buffered()) },
		"Next":      func(r *framing.Reader) { _, err := r.Next(); require.True(t, isTimeout(err)) },
		"ReadFrame": func(r *framing.Reader) { _, err := r.ReadFrame(nil); require.True(t, isTimeout(err)) },
	}
	for name, see := range look {
		n := len(first)
		if name != "Buffered" {
			n-- // so that a read runs into the timeout
		}
		shared := newTagged(steps(first[:n], nil, second, nil), 64)
		r := framing.NewReader(shared, framing.Format{})
		_, err := shared.Peek(1)
		require.NoError(t, err)
		see(r)
		_, err = shared.Discard(n)
		require.NoError(t, err)
		if name == "Buffered" {
			require.True(t, isTimeout(r.Wait()))
		}
		got, err := r.Next()
		require.NoError(t, err, name)
		require.Equal(t, fill(1), got, name)
	}
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

// Whatever the fields are, that they cannot work is an error and no panic.
func TestNoFieldOfAnInvalidFormatPanics(t *testing.T) {
	for _, f := range []framing.Format{
		{HeaderSize: 5, LengthOffset: 3},
		{HeaderSize: 5, LengthOffset: -3},
		{HeaderSize: -7},
		{LengthOffset: -2},
		{LengthOffset: -5},
		{HeaderSize: framing.Varint, LengthOffset: -1},
	} {
		var bad *framing.FormatError
		for _, m := range methods {
			_, err := m.read(framing.NewReader(bytes.NewReader([]byte{0, 0}), f))
			require.ErrorAs(t, err, &bad, "%s of %+v", m.name, f)
		}
		require.ErrorAs(t, framing.NewWriter(io.Discard, f).WriteFrame(nil), &bad, "%+v", f)
	}
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
	size := min(math.MaxInt32, f.MaxPayload()) // a little less where an int has 32 bits
	promise := append(binary.BigEndian.AppendUint32(nil, uint32(size)), fill(16)...)
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
				if m.stream() {
					s, got, err := r.Stream()
					require.NoError(t, err)
					require.Equal(t, int64(size), got)
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

// closingPeeker fails Discard once told to, as a connection does that another
// goroutine has closed.
type closingPeeker struct {
	plainPeeker
	closed bool
}

func (p *closingPeeker) Discard(n int) (int, error) {
	if p.closed {
		return 0, net.ErrClosed
	}
	return p.plainPeeker.Discard(n)
}

// Where the underlying reader stands is unknown when it refuses to take bytes
// back, so the frame must not come twice and nothing may follow it.
func TestDiscardFails(t *testing.T) {
	wire := encode(t, framing.Format{}, fill(3), fill(4), fill(500))
	for _, m := range methods {
		for frames := range 3 {
			p := &closingPeeker{plainPeeker: plainPeeker{bufio.NewReaderSize(steps(wire), 64)}}
			r := framing.NewReader(p, framing.Format{})
			r.Exclusive = m.exclusive
			for range frames {
				_, err := m.read(r)
				require.NoError(t, err)
			}
			p.closed = true
			seen := 0
			var err error
			for err == nil && seen < 4 {
				if _, err = m.read(r); err == nil {
					seen++
				}
			}
			require.Equal(t, net.ErrClosed, err, m.name)
			require.LessOrEqual(t, frames+seen, 3)
		}
	}
}

func TestReleaseFails(t *testing.T) {
	for _, call := range []func(*framing.Reader) error{(*framing.Reader).Release, (*framing.Reader).Wait} {
		p := &closingPeeker{plainPeeker: plainPeeker{bufio.NewReader(steps(encode(t, framing.Format{}, fill(3))))}}
		r := framing.NewReader(p, framing.Format{})
		r.Exclusive = true
		_, err := r.Next()
		require.NoError(t, err)
		p.closed = true
		require.Equal(t, net.ErrClosed, call(r))
		_, err = r.Next()
		require.Equal(t, net.ErrClosed, err)
	}
}

func TestReaderErrTellsWhatIsFinal(t *testing.T) {
	require.Error(t, new(framing.Reader).Err())
	for _, tt := range []struct {
		name, stream string
		format       framing.Format
		final        bool
	}{
		{"end of stream", "", framing.Format{}, false},
		{"cut", "\x00", framing.Format{}, true},
		{"oversize", "\x00\x09", framing.Format{MaxSize: 8}, true},
		{"oversize and skipped", "\x00\x09123456789", framing.Format{MaxSize: 8, SkipOversize: true}, false},
		{"2^62, which nobody can skip", "\x40\x00\x00\x00\x00\x00\x00\x00", framing.Format{HeaderSize: 8, SkipOversize: true}, true},
		{"invalid", "", framing.Format{HeaderSize: 7}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := framing.NewReader(strings.NewReader(tt.stream), tt.format)
			_, err := r.Next()
			require.Error(t, err)
			if !tt.final {
				require.NoError(t, r.Err())
				return
			}
			require.Equal(t, err, r.Err())
			_, again := r.Next()
			require.Equal(t, err, again)
		})
	}
}
