package framing_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/stretchr/testify/require"
)

// A sink remembers each write, and fails or falls short where told to.
type sink struct {
	writes [][]byte
	fail   int // the write, counted from 1, that fails
	short  int // bytes of the failing write that get through
	err    error
}

func (s *sink) Write(p []byte) (int, error) {
	s.writes = append(s.writes, bytes.Clone(p))
	if len(s.writes) == s.fail {
		s.writes[len(s.writes)-1] = bytes.Clone(p[:s.short])
		return s.short, s.err
	}
	return len(p), nil
}

func (s *sink) bytes() []byte { return bytes.Join(s.writes, nil) }

// A vectorSink takes vectored writes, as *conn.Conn does.
type vectorSink struct {
	sink
	vectors int
}

func (s *vectorSink) WriteBuffers(bufs [][]byte) (int64, error) {
	s.vectors++
	n, err := s.Write(bytes.Join(bufs, nil))
	return int64(n), err
}

var errBroken = errors.New("broken pipe")

func TestWriterCoalesces(t *testing.T) {
	s := &sink{}
	w := framing.NewWriter(s, framing.Format{})
	var want []byte
	for n := range 1000 {
		p := fill(n % 100)
		require.NoError(t, w.WriteFrame(p))
		want = append(want, encode(t, framing.Format{}, p)...)
		require.Equal(t, len(want), w.Buffered()+len(s.bytes()))
	}
	require.Empty(t, s.writes)
	require.NoError(t, w.Flush())
	require.NoError(t, w.Flush())
	require.Zero(t, w.Buffered())
	require.Len(t, s.writes, 1)
	require.True(t, bytes.Equal(want, s.bytes()))
}

// A full buffer goes out by itself, and never with part of a frame.
func TestWriterFlushesWholeFrames(t *testing.T) {
	for _, f := range []framing.Format{{}, {HeaderSize: framing.Varint}, {HeaderSize: 4, Strip: -1}} {
		s := &sink{}
		w := framing.NewWriter(s, f)
		var sent []byte
		for n := range 3000 {
			p := encode(t, framing.Format{HeaderSize: 4}, fill(n%300))
			require.NoError(t, w.WriteFrame(p))
			sent = append(sent, encode(t, f, p)...)
		}
		require.NoError(t, w.Flush())
		require.Greater(t, len(s.writes), 2)
		for _, b := range s.writes {
			require.LessOrEqual(t, len(b), 64<<10)
			r := framing.NewReader(bytes.NewReader(b), f)
			for {
				if _, err := r.Next(); err != nil {
					require.Equal(t, io.EOF, err)
					break
				}
			}
		}
		require.True(t, bytes.Equal(sent, s.bytes()))
	}
}

func TestWriterLargeFrames(t *testing.T) {
	for _, f := range []framing.Format{
		{HeaderSize: 4},
		{HeaderSize: framing.Varint},
		{HeaderSize: 4, LengthOffset: 3, Strip: -1},
		{HeaderSize: 8, LengthAdjust: 70_000 - 1<<20},
	} {
		payloads := [][]byte{fill(10), fill(40<<10 - 1), fill(40 << 10), fill(200_000), fill(9)}
		want := encode(t, f, payloads...)

		vec := &vectorSink{}
		w := framing.NewWriter(vec, f)
		for _, p := range payloads {
			before := bytes.Clone(p)
			require.NoError(t, w.WriteFrame(p))
			require.True(t, bytes.Equal(before, p), "the payload was written to")
		}
		require.NoError(t, w.Flush())
		require.Equal(t, 2, vec.vectors, "one call for each large frame, with what was collected before it")
		require.Len(t, vec.writes, 3)
		require.True(t, bytes.Equal(want, vec.bytes()))

		plain := &sink{}
		w.Reset(plain)
		for _, p := range payloads {
			require.NoError(t, w.WriteFrame(p))
		}
		require.NoError(t, w.Flush())
		require.Len(t, plain.writes, 5)
		require.True(t, bytes.Equal(want, plain.bytes()))
	}
}

// The Writer does not keep what it is given.
func TestWriterCopies(t *testing.T) {
	s := &sink{}
	w := framing.NewWriter(s, framing.Format{})
	p := []byte("first")
	require.NoError(t, w.WriteFrame(p))
	copy(p, "xxxxx")
	require.NoError(t, w.Flush())
	require.Equal(t, "\x00\x05first", string(s.bytes()))
}

func TestWriterRefusesAndGoesOn(t *testing.T) {
	for _, buffered := range []bool{false, true} {
		s := &sink{}
		w := framing.NewWriter(s, framing.Format{HeaderSize: 4, MaxSize: 20_000, LengthAdjust: 2})
		var want []byte
		if buffered {
			require.NoError(t, w.WriteFrame([]byte("ab")))
			want = []byte("\x00\x00\x00\x00ab")
		}
		var size *framing.SizeError
		require.ErrorAs(t, w.WriteFrame(make([]byte, 20_001)), &size)
		require.Equal(t, framing.SizeError{Size: 20_001, Limit: 20_000}, framing.SizeError{Size: size.Size, Limit: size.Limit})
		require.ErrorIs(t, w.WriteFrame([]byte("a")), framing.ErrMalformed)
		require.Equal(t, len(want), w.Buffered())
		require.NoError(t, w.WriteFrame([]byte("abc")))
		require.NoError(t, w.Flush())
		require.Equal(t, string(want)+"\x00\x00\x00\x01abc", string(s.bytes()))
	}
}

// After any failed write nothing is written again.
func TestWriterErrorIsFinal(t *testing.T) {
	large := fill(50_000)
	for _, tt := range []struct {
		name string
		s    sink
		want error
	}{
		{"nothing written", sink{fail: 1, err: errBroken}, errBroken},
		{"partly written", sink{fail: 1, short: 3, err: errBroken}, errBroken},
		{"timeout", sink{fail: 1, short: 3, err: errTimeout}, errTimeout},
		{"short without an error", sink{fail: 1, short: 3}, io.ErrShortWrite},
	} {
		for how, write := range map[string]func(w *framing.Writer) error{
			"flush": func(w *framing.Writer) error { return w.Flush() },
			"large": func(w *framing.Writer) error { return w.WriteFrame(large) },
			"buffer full": func(w *framing.Writer) error {
				for {
					if err := w.WriteFrame(fill(10_000)); err != nil {
						return err
					}
				}
			},
		} {
			for _, vectored := range []bool{false, true} {
				t.Run(tt.name+"/"+how, func(t *testing.T) {
					vec := &vectorSink{sink: tt.s}
					var dst io.Writer = vec
					if !vectored {
						dst = &vec.sink
					}
					w := framing.NewWriter(dst, framing.Format{})
					require.NoError(t, w.WriteFrame([]byte("frame")))
					err := write(w)
					require.ErrorIs(t, err, tt.want)
					require.Len(t, vec.bytes(), tt.s.short)
					require.Equal(t, err, w.Flush())
					require.Equal(t, err, w.WriteFrame([]byte("x")))
					require.Equal(t, err, w.WriteFrame(large))
					require.Zero(t, w.Buffered())
					require.Len(t, vec.writes, 1)

					fresh := &sink{}
					w.Reset(fresh)
					require.NoError(t, w.WriteFrame([]byte("y")))
					require.NoError(t, w.Flush())
					require.Equal(t, "\x00\x01y", string(fresh.bytes()))
				})
			}
		}
	}
}

// safeError says of itself that nothing was sent.
type safeError struct{ error }

func (safeError) SafeToRetry() bool { return true }
func (e safeError) Unwrap() error   { return e.error }

// Where a frame takes two writes and the second sends nothing, the frame's
// head has left all the same: the error must not say that a retry is safe.
func TestSecondWriteIsNotSafeToRetry(t *testing.T) {
	for fail, safe := range map[int]bool{1: true, 2: false} {
		w := framing.NewWriter(&sink{fail: fail, err: safeError{errBroken}}, framing.Format{})
		err := w.WriteFrame(fill(50_000))
		require.ErrorIs(t, err, errBroken)
		require.EqualError(t, err, errBroken.Error())
		var s interface{ SafeToRetry() bool }
		require.ErrorAs(t, err, &s)
		require.Equal(t, safe, s.SafeToRetry())
	}
}

func TestWriterFormatErrors(t *testing.T) {
	for _, tt := range []struct {
		format framing.Format
		want   string
	}{
		{framing.Format{HeaderSize: 7}, "HeaderSize"},
		{framing.Format{LengthOffset: 1}, "Strip"},
	} {
		s := &sink{}
		w := framing.NewWriter(s, tt.format)
		require.ErrorContains(t, w.WriteFrame(nil), tt.want)
		require.ErrorContains(t, w.WriteFrame(fill(50_000)), tt.want)
		require.ErrorContains(t, w.Flush(), tt.want)
		w.Reset(s)
		require.ErrorContains(t, w.WriteFrame(nil), tt.want)
		require.Empty(t, s.writes)
	}
}

func TestWriteNothing(t *testing.T) {
	s := &sink{}
	w := framing.NewWriter(s, framing.Format{})
	require.NoError(t, w.Flush())
	require.Empty(t, s.writes)
	require.NoError(t, w.WriteFrame(nil))
	require.NoError(t, w.Flush())
	require.Equal(t, []byte{0, 0}, s.bytes())
}
