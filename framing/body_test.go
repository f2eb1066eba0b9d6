package framing_test

import (
	"bufio"
	"bytes"
	"io"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/stretchr/testify/require"
)

func TestStream(t *testing.T) {
	f := framing.Format{HeaderSize: 4}
	wire := encode(t, f, fill(100_000), fill(3), nil, fill(4))
	for _, src := range sources {
		r := framing.NewReader(src.open(bytes.NewReader(wire)), f)
		for _, want := range []int{100_000, 3, 0, 4} {
			s, size, err := r.Stream()
			require.NoError(t, err)
			require.Equal(t, int64(want), size)
			got, err := io.ReadAll(s)
			require.NoError(t, err, src.name)
			require.True(t, bytes.Equal(fill(want), got), src.name)
			n, err := s.Read(make([]byte, 1))
			require.Zero(t, n)
			require.Equal(t, io.EOF, err)
		}
		_, _, err := r.Stream()
		require.Equal(t, io.EOF, err)
	}
}

// What the caller does not read of a stream is dropped, in whatever pieces it
// comes, and the old stream cannot take bytes of the next frame.
func TestStreamLeftUnread(t *testing.T) {
	f := framing.Format{HeaderSize: 4}
	wire := encode(t, f, fill(50_000), []byte("next"), fill(9))
	for _, src := range sources {
		for _, read := range []int{0, 1, 49_999, 50_000} {
			r := framing.NewReader(src.open(steps(wire[:100], nil, wire[100:40_000], nil, wire[40_000:])), f)
			s, _, err := r.Stream()
			require.NoError(t, err)
			got := make([]byte, read)
			for at := 0; at < read; {
				n, err := s.Read(got[at:])
				if err != nil {
					require.True(t, isTimeout(err))
				}
				at += n
			}
			require.True(t, bytes.Equal(fill(50_000)[:read], got))

			frame, err := next(r)
			for isTimeout(err) {
				frame, err = next(r)
			}
			require.NoError(t, err, src.name)
			require.Equal(t, "next", string(frame))
			n, err := s.Read(make([]byte, 1))
			require.Zero(t, n)
			require.Error(t, err)
			require.Equal(t, read == 50_000, err == io.EOF)
			frame, err = next(r)
			require.NoError(t, err)
			require.Equal(t, fill(9), frame)
		}
	}
}

// A frame that a timeout cut in Next goes on in ReadFrame, and in Stream.
func TestMethodsMix(t *testing.T) {
	wire := encode(t, framing.Format{}, fill(9000), fill(5))
	for _, src := range sources {
		for _, at := range []int{1, 2, 3, 100, 8000} {
			r := framing.NewReader(src.open(steps(wire[:at], nil, wire[at:at+1], nil, wire[at+1:])), framing.Format{})
			_, err := r.Next()
			require.True(t, isTimeout(err))
			_, err = r.ReadFrame(nil)
			require.True(t, isTimeout(err))
			s, size, err := r.Stream()
			require.NoError(t, err)
			require.Equal(t, int64(9000), size)
			n, err := s.Read(nil)
			require.Zero(t, n)
			require.NoError(t, err)
			got, err := io.ReadAll(s)
			require.NoError(t, err)
			require.True(t, bytes.Equal(fill(9000), got), "%s at %d", src.name, at)
			last, err := r.ReadFrame(nil)
			require.NoError(t, err)
			require.Equal(t, fill(5), last)
		}
	}
}

func TestStreamCut(t *testing.T) {
	for _, src := range sources {
		for _, end := range []error{io.EOF, errReset} {
			s := steps(encode(t, framing.Format{}, fill(9000))[:5000])
			s.end = end
			r := framing.NewReader(src.open(s), framing.Format{})
			body, _, err := r.Stream()
			require.NoError(t, err)
			want := end
			if end == io.EOF {
				want = io.ErrUnexpectedEOF
			}
			got, err := io.ReadAll(body)
			require.Equal(t, want, err, src.name)
			require.Len(t, got, 4998)
			_, err = body.Read(make([]byte, 1))
			require.Equal(t, want, err)
			_, err = r.Next()
			require.Equal(t, want, err)
		}
	}
}

// Bytes that Strip drops behind the header are dropped from a stream too.
func TestStreamStrip(t *testing.T) {
	wire := append([]byte{0, 60}, fill(60)...)
	for _, src := range sources {
		r := framing.NewReader(src.open(steps(wire[:20], nil, wire[20:])), framing.Format{Strip: 52})
		s, size, err := r.Stream()
		require.NoError(t, err)
		require.Equal(t, int64(10), size)
		_, err = s.Read(make([]byte, 100))
		require.True(t, isTimeout(err))
		got, err := io.ReadAll(s)
		require.NoError(t, err)
		require.Equal(t, fill(60)[50:], got)
	}
}

// An oversize frame is reported once, dropped as it comes, and the next one
// read; without SkipOversize it is final.
func TestOversize(t *testing.T) {
	wire := encode(t, framing.Format{}, fill(3000), []byte("ok"))
	for _, src := range sources {
		for _, m := range methods {
			for _, skip := range []bool{false, true} {
				f := framing.Format{MaxSize: 100, SkipOversize: skip}
				r := framing.NewReader(src.open(steps(wire[:2], wire[2:500], nil, wire[500:2800], nil, wire[2800:])), f)
				r.Exclusive = m.exclusive
				var size *framing.SizeError
				_, err := m.read(r)
				require.ErrorAs(t, err, &size)
				require.Equal(t, uint64(3000), size.Size)
				require.Equal(t, uint64(100), size.Limit)
				if !skip {
					_, again := m.read(r)
					require.Equal(t, err, again)
					continue
				}
				require.False(t, r.Buffered())
				for range 2 {
					_, err = m.read(r)
					require.True(t, isTimeout(err), "%s, %s: %v", src.name, m.name, err)
				}
				got, err := m.read(r)
				require.NoError(t, err)
				require.Equal(t, "ok", string(got))
			}
		}
	}
}

func TestOversizeCut(t *testing.T) {
	for _, src := range sources {
		r := framing.NewReader(src.open(steps([]byte{9, 9}, fill(50))), framing.Format{MaxSize: 100, SkipOversize: true})
		var size *framing.SizeError
		_, err := r.Next()
		require.ErrorAs(t, err, &size)
		for range 2 {
			_, err = r.Next()
			require.Equal(t, io.ErrUnexpectedEOF, err, src.name)
		}
		require.Equal(t, io.ErrUnexpectedEOF, r.Wait())
	}
}

// A pool must not give out a connection in the middle of a frame.
func TestSetMidMessage(t *testing.T) {
	wire := encode(t, framing.Format{}, fill(100))
	for _, m := range methods {
		p := newTagged(steps(wire[:70], nil, wire[70:], encode(t, framing.Format{}, fill(3))), 32)
		r := framing.NewReader(p, framing.Format{})
		r.Exclusive = m.exclusive
		if m.stream() {
			s, _, err := r.Stream()
			require.NoError(t, err)
			require.Equal(t, []bool{true}, p.mid)
			_, err = io.ReadAll(s)
			require.True(t, isTimeout(err))
			_, err = io.ReadAll(s)
			require.NoError(t, err)
			require.Equal(t, []bool{true, false}, p.mid)
			continue
		}
		_, err := m.read(r)
		require.True(t, isTimeout(err))
		require.Equal(t, []bool{true}, p.mid, m.name)
		_, err = m.read(r)
		require.NoError(t, err)
		require.Equal(t, []bool{true, false}, p.mid)
		_, err = m.read(r)
		require.NoError(t, err)
		require.Equal(t, []bool{true, false}, p.mid, "a frame that fits the buffer needs no mark")
	}
}

func TestSetMidMessageWhileSkipping(t *testing.T) {
	p := newTagged(steps([]byte{0, 200}, fill(100), nil, fill(100), []byte{0, 1, 'x'}), 32)
	r := framing.NewReader(p, framing.Format{MaxSize: 9, SkipOversize: true})
	_, err := r.Next()
	require.Error(t, err)
	require.Equal(t, []bool{true}, p.mid)
	_, err = r.Next()
	require.True(t, isTimeout(err))
	require.Equal(t, []bool{true}, p.mid)
	_, err = r.Next()
	require.NoError(t, err)
	require.Equal(t, []bool{true, false}, p.mid)
}

// A frame of a megabyte is assembled in memory that the next one uses again.
func TestLargeFramesShareTheirMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection takes what is kept
	for _, size := range []int{65_000, 200_000, 1 << 20, 3_000_000, 16 << 20} {
		f := framing.Format{HeaderSize: 4, MaxSize: 32 << 20}
		r := framing.NewReader(bufio.NewReader(&loop{data: encode(t, f, fill(size))}), f)
		next := func() {
			frame, err := r.Next()
			require.NoError(t, err)
			require.Len(t, frame, size)
		}
		next()
		next()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 10 {
			next()
		}
		runtime.ReadMemStats(&after)
		// A goroutine that changes its processor may miss what is kept, so not none.
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(5*size), "ten frames of %d bytes", size)
	}
}

// What is kept does not go to a peer on its word: until it has sent 64 KiB it
// has no more than that.
func TestAPromiseTakesNoKeptMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools")
	}
	f := framing.Format{HeaderSize: 4, MaxSize: 32 << 20}
	wire := encode(t, f, fill(4<<20))
	for range 100 { // a goroutine that changes its processor may miss what is kept
		good := framing.NewReader(bufio.NewReader(&loop{data: wire}), f)
		frame, err := good.Next()
		require.NoError(t, err)
		kept := &frame[0]
		require.NoError(t, good.Release())

		hostile := framing.NewReader(steps([]byte("\x01\xff\xff\xff0123456789abcdef"), nil), f)
		_, err = hostile.Next()
		require.True(t, isTimeout(err))

		good = framing.NewReader(bufio.NewReader(&loop{data: wire}), f)
		frame, err = good.Next()
		require.NoError(t, err)
		if kept == &frame[0] {
			return
		}
	}
	t.Fatal("the hostile peer has got it")
}
