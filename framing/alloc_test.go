package framing_test

import (
	"bufio"
	"io"
	"testing"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/stretchr/testify/require"
)

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	formats := map[string]framing.Format{
		"default": {}, "varint": {HeaderSize: framing.Varint}, "eight": {HeaderSize: 8, LittleEndian: true},
	}
	for name, f := range formats {
		for size, large := range map[int]bool{64: false, 3000: false, 40_000: true} {
			wire := encode(t, f, fill(size))
			payload := fill(size)
			open := map[string]func() *framing.Reader{
				"own":   func() *framing.Reader { return framing.NewReader(&loop{data: wire}, f) },
				"bufio": func() *framing.Reader { return framing.NewReader(bufio.NewReader(&loop{data: wire}), f) },
				"exclusive": func() *framing.Reader {
					r := framing.NewReader(bufio.NewReader(&loop{data: wire}), f)
					r.Exclusive = true
					return r
				},
			}
			for kind, mk := range open {
				r := mk()
				var dst []byte
				zero(t, name+", ReadFrame, "+kind, func() (err error) {
					dst, err = r.ReadFrame(dst[:0])
					return err
				})
				if large {
					continue // assembled in pooled memory, which a collection may take
				}
				r = mk()
				zero(t, name+", Next, "+kind, func() error { _, err := r.Next(); return err })
			}
			w := framing.NewWriter(io.Discard, f)
			zero(t, name+", WriteFrame", func() error { return w.WriteFrame(payload) })
			dst := make([]byte, 0, 64<<10)
			zero(t, name+", Append", func() (err error) { _, err = f.Append(dst, payload); return err })
		}
	}
}

func zero(t *testing.T, what string, f func() error) {
	t.Helper()
	var err error
	got := testing.AllocsPerRun(500, func() {
		if e := f(); e != nil {
			err = e
		}
	})
	require.NoError(t, err, what)
	require.Zero(t, got, what)
}

// A frame of gtcp's largest default size costs ReadFrame one allocation: the
// result.
func TestReadFrameAllocatesOnce(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, size := range []int{1, 64, 5000, 65535} {
		r := framing.NewReader(bufio.NewReader(&loop{data: encode(t, framing.Format{}, fill(size))}), framing.Format{})
		got := testing.AllocsPerRun(100, func() {
			b, err := r.ReadFrame(nil)
			if err != nil || len(b) != size {
				panic("bad frame")
			}
		})
		require.Equal(t, 1.0, got, "%d bytes", size)
	}
}

// Between Flush and the next frame there is no buffer, and taking one again
// costs nothing.
func TestFlushAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools")
	}
	for _, dst := range []io.Writer{io.Discard, vectorDiscard{}} {
		w := framing.NewWriter(dst, framing.Format{})
		small, large := fill(64), fill(50_000)
		zero(t, "small", func() error {
			if err := w.WriteFrame(small); err != nil {
				return err
			}
			return w.Flush()
		})
		zero(t, "large", func() error { return w.WriteFrame(large) })
	}
}

// A Reader that goes on to another stream keeps the buffer it has.
func TestResetAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	src := &loop{data: encode(t, framing.Format{}, fill(64))}
	r := framing.NewReader(src, framing.Format{})
	zero(t, "Reset", func() error { r.Reset(src); return nil })
}

type vectorDiscard struct{}

func (vectorDiscard) Write(p []byte) (int, error) { return len(p), nil }

func (vectorDiscard) WriteBuffers(bufs [][]byte) (n int64, err error) {
	for _, b := range bufs {
		n += int64(len(b))
	}
	return n, nil
}
