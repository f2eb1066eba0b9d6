package framing_test

import (
	"bufio"
	"bytes"
	"io"
	"testing"
	"testing/iotest"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/stretchr/testify/require"
)

// cases of a stream small enough to cut everywhere, and frames on both sides
// of every buffer that sources have.
var cutCases = []struct {
	name     string
	format   framing.Format
	payloads [][]byte
	every    int // offsets to try
}{
	{"default", framing.Format{}, [][]byte{{}, fill(1), fill(13), {}, fill(14), fill(15), fill(70)}, 1},
	{"kept prefix", framing.Format{HeaderSize: 3, LengthOffset: 2, Strip: -1}, [][]byte{fill(5), fill(6), fill(12), fill(80)}, 1},
	{"varint", framing.Format{HeaderSize: framing.Varint}, [][]byte{{}, fill(200), fill(9)}, 1},
	{"eight, little-endian, adjusted", framing.Format{HeaderSize: 8, LittleEndian: true, LengthAdjust: -8}, [][]byte{{}, fill(60), fill(3)}, 1},
	{"large", framing.Format{HeaderSize: 4}, [][]byte{fill(3), fill(5000), fill(70_000), fill(4)}, 1499},
}

// delivered is what the Reader returns of a payload: with every case here, a
// Writer's payload; its length field, if kept, filled in.
func delivered(t *testing.T, f framing.Format, p []byte) []byte {
	if f.Strip >= 0 {
		return p
	}
	return encode(t, f, p)
}

// forEachCut runs f for every offset of every case, kind of source and method.
func forEachCut(t *testing.T, f func(t *testing.T, c cut)) {
	for _, cc := range cutCases {
		t.Run(cc.name, func(t *testing.T) {
			c := cut{format: cc.format, wire: encode(t, cc.format, cc.payloads...)}
			for _, p := range cc.payloads {
				c.frames = append(c.frames, delivered(t, cc.format, p))
				c.sizes = append(c.sizes, len(encode(t, cc.format, p)))
			}
			for _, src := range sources {
				for m := range methods {
					c.open, c.method = src.open, m
					for c.at = 0; c.at <= len(c.wire); c.at += cc.every {
						c.how = src.name + ", " + methods[m].name
						f(t, c)
					}
				}
			}
		})
	}
}

// A cut is a stream that something happens to at one offset.
type cut struct {
	format framing.Format
	wire   []byte
	frames [][]byte // as returned
	sizes  []int    // on the wire
	open   func(io.Reader) io.Reader
	method int
	how    string
	at     int
}

func (c cut) reader(s *script) *framing.Reader {
	r := framing.NewReader(c.open(s), c.format)
	r.Exclusive = methods[c.method].exclusive
	return r
}

// whole is how many frames lie before the cut, and rest how many wire bytes
// of the next one.
func (c cut) whole() (frames, rest int) {
	rest = c.at
	for _, n := range c.sizes {
		if rest < n {
			break
		}
		rest -= n
		frames++
	}
	return frames, rest
}

func TestTimeoutAtEveryOffset(t *testing.T) {
	forEachCut(t, func(t *testing.T, c cut) {
		r := c.reader(steps(c.wire[:c.at], nil, nil, c.wire[c.at:]))
		timeouts := 0
		for i := 0; i < len(c.frames); {
			got, err := methods[c.method].read(r)
			if err != nil {
				require.True(t, isTimeout(err), "%s at %d: %v", c.how, c.at, err)
				require.Empty(t, got)
				timeouts++
				continue
			}
			if !bytes.Equal(c.frames[i], got) {
				t.Fatalf("%s at %d: frame %d differs", c.how, c.at, i)
			}
			i++
		}
		if c.at < len(c.wire) && !methods[c.method].stream() {
			require.Equal(t, 2, timeouts, "%s at %d", c.how, c.at)
		}
	})
}

func TestEndAtEveryOffset(t *testing.T) {
	for _, end := range []error{io.EOF, errReset} {
		forEachCut(t, func(t *testing.T, c cut) {
			s := steps(c.wire[:c.at])
			s.end = end
			r := c.reader(s)
			frames, rest := c.whole()
			for i := range frames {
				got, err := methods[c.method].read(r)
				require.NoError(t, err, "%s at %d", c.how, c.at)
				require.True(t, bytes.Equal(c.frames[i], got), "%s at %d: frame %d differs", c.how, c.at, i)
			}
			want := end
			if rest > 0 && end == io.EOF {
				want = io.ErrUnexpectedEOF
			}
			got, err := methods[c.method].read(r)
			require.Equal(t, want, err, "%s at %d", c.how, c.at)
			if methods[c.method].partial && rest > 0 {
				// What came of the frame is not lost.
				came := max(0, len(c.frames[frames])-(c.sizes[frames]-rest))
				if c.format.Strip < 0 && rest < c.format.LengthOffset+c.format.HeaderSize {
					came = 0
				}
				require.Equal(t, c.frames[frames][:came], append([]byte{}, got...), "%s at %d", c.how, c.at)
			}
			_, err = methods[c.method].read(r)
			require.Equal(t, want, err, "%s at %d: and again", c.how, c.at)
		})
	}
}

// A timeout, then the end: what came before both is still there.
func TestTimeoutThenEnd(t *testing.T) {
	wire := encode(t, framing.Format{}, fill(10_000))
	for _, src := range sources {
		r := framing.NewReader(src.open(steps(wire[:3000], nil, wire[3000:6000], nil)), framing.Format{})
		for range 2 {
			got, err := r.ReadFrame([]byte("kept"))
			require.True(t, isTimeout(err), src.name)
			require.Equal(t, "kept", string(got))
		}
		got, err := r.ReadFrame([]byte("kept"))
		require.Equal(t, io.ErrUnexpectedEOF, err, src.name)
		require.True(t, bytes.Equal(append([]byte("kept"), fill(10_000)[:5998]...), got), src.name)
	}
}

func TestOneByteAtATime(t *testing.T) {
	for _, cc := range cutCases {
		wire := encode(t, cc.format, cc.payloads...)
		for _, src := range sources {
			for _, m := range methods {
				r := framing.NewReader(src.open(iotest.OneByteReader(bytes.NewReader(wire))), cc.format)
				r.Exclusive = m.exclusive
				for i, p := range cc.payloads {
					got, err := m.read(r)
					require.NoError(t, err, "%s: %s, %s", cc.name, src.name, m.name)
					require.True(t, bytes.Equal(delivered(t, cc.format, p), got), "%s: %s, %s: frame %d", cc.name, src.name, m.name, i)
				}
				_, err := m.read(r)
				require.Equal(t, io.EOF, err)
			}
		}
	}
}

// Whoever shares the underlying reader finds it at the end of the last frame.
// After a timeout inside a header its bytes are still the underlying reader's:
// who takes them there must not see them again here.
func TestSharedReaderIsExactInsideAHeader(t *testing.T) {
	for _, m := range methods {
		if m.exclusive {
			continue
		}
		// The byte behind the one taken would end its varint.
		shared := bufio.NewReader(steps([]byte{0x83}, nil, []byte{0}, encode(t, framing.Format{HeaderSize: framing.Varint}, []byte("hi"))))
		r := framing.NewReader(shared, framing.Format{HeaderSize: framing.Varint})
		_, err := m.read(r)
		require.True(t, isTimeout(err))
		for _, want := range []byte{0x83, 0} {
			got, err := shared.ReadByte()
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		got, err := m.read(r)
		require.NoError(t, err)
		require.Equal(t, "hi", string(got), m.name)
	}
}

func TestSharedReaderIsExact(t *testing.T) {
	for _, size := range []int{0, 1, 20, 5000} {
		for _, m := range methods {
			wire := append(encode(t, framing.Format{}, fill(size)), "line\n"...)
			wire = append(wire, encode(t, framing.Format{}, fill(7))...)
			shared := newTagged(steps(wire), 64)
			r := framing.NewReader(shared, framing.Format{})
			r.Exclusive = m.exclusive
			for _, want := range []int{size, 7} {
				got, err := m.read(r)
				require.NoError(t, err)
				require.Equal(t, append([]byte{}, fill(want)...), append([]byte{}, got...))
				require.NoError(t, r.Release())
				if want == size {
					line := make([]byte, 5)
					_, err = io.ReadFull(shared, line)
					require.NoError(t, err)
					require.Equal(t, "line\n", string(line), "%s of %d bytes", m.name, size)
				}
			}
			require.Zero(t, shared.Buffered())
		}
	}
}
