package framing_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/stretchr/testify/require"
)

// formatFrom makes a format of five bytes of entropy; many are invalid.
func formatFrom(shape uint64) framing.Format {
	b := binary.LittleEndian.AppendUint64(nil, shape)
	sizes := []int{0, 1, 2, 3, 4, 8, framing.Varint}
	return framing.Format{
		HeaderSize:   sizes[int(b[0]>>2)%len(sizes)],
		LittleEndian: b[0]&1 != 0,
		SkipOversize: b[0]&2 != 0,
		LengthOffset: int(b[1] % 6),
		LengthAdjust: int(int8(b[2])),
		Strip:        int(b[3]%24) - 4,
		MaxSize:      int(int8(b[4])),
	}
}

// split cuts data into steps, with timeouts between some.
func split(rng *rand.Rand, data []byte) *script {
	s := &script{}
	for len(data) > 0 {
		n := min(len(data), 1+rng.IntN(1<<rng.IntN(10)))
		s.steps = append(s.steps, data[:n])
		data = data[n:]
		if rng.IntN(4) == 0 {
			s.steps = append(s.steps, nil)
		}
	}
	return s
}

// source opens one of several kinds of reader with a random buffer.
func source(rng *rand.Rand, r io.Reader) io.Reader {
	size := 16 + rng.IntN(80)
	switch rng.IntN(4) {
	case 0:
		return r
	case 1:
		return bufio.NewReaderSize(r, size)
	case 2:
		return plainPeeker{bufio.NewReaderSize(r, size)}
	default:
		return newTagged(r, size)
	}
}

// readAny reads a frame by a random method, repeating after timeouts, each
// time with another method.
func readAny(rng *rand.Rand, r *framing.Reader) ([]byte, error) {
	for {
		m := methods[rng.IntN(len(methods))]
		if m.stream() && rng.IntN(2) == 0 {
			continue
		}
		if rng.IntN(8) == 0 {
			r.Buffered()
		}
		got, err := m.read(r)
		if !isTimeout(err) {
			return got, err
		}
	}
}

// An event is what the oracle says the next read brings.
type event struct {
	frame []byte
	err   string // "", "size", "malformed", "cut" or "eof"
	last  bool   // all later reads bring the same
}

// oracle parses data as plainly as can be, in big numbers.
func oracle(f framing.Format, data []byte) (events []event) {
	width := f.HeaderSize
	if width == 0 {
		width = 2
	}
	for {
		if len(data) == 0 {
			return append(events, event{err: "eof", last: true})
		}
		value, header := new(big.Int), f.LengthOffset
		if f.HeaderSize == framing.Varint {
			groups := bigVarint(data[min(header, len(data)):], value)
			if groups < 0 {
				return append(events, event{err: "malformed", last: true})
			}
			if groups == 0 {
				return append(events, event{err: "cut", last: true})
			}
			header += groups
		} else {
			header += width
			if len(data) < header {
				return append(events, event{err: "cut", last: true})
			}
			field := bytes.Clone(data[f.LengthOffset:header])
			if f.LittleEndian {
				for i, j := 0, len(field)-1; i < j; i, j = i+1, j-1 {
					field[i], field[j] = field[j], field[i]
				}
			}
			value.SetBytes(field)
		}
		strip := f.Strip
		if strip == 0 {
			strip = header
		}
		strip = max(strip, 0)

		body := new(big.Int).Add(value, big.NewInt(int64(f.LengthAdjust)))
		wire := new(big.Int).Add(body, big.NewInt(int64(header)))
		size := new(big.Int).Sub(wire, big.NewInt(int64(strip)))
		switch {
		case body.Sign() < 0 || size.Sign() < 0:
			return append(events, event{err: "malformed", last: true})
		case size.Cmp(big.NewInt(int64(f.MaxPayload()))) > 0:
			events = append(events, event{err: "size"})
			// Half of 63 bits and more cannot be skipped to its end.
			if !f.SkipOversize || value.BitLen() > 62 {
				events[len(events)-1].last = true
				return events
			}
			if wire.Cmp(big.NewInt(int64(len(data)))) > 0 {
				return append(events, event{err: "cut", last: true})
			}
			data = data[wire.Int64():]
			continue
		case wire.Cmp(big.NewInt(int64(len(data)))) > 0:
			return append(events, event{err: "cut", last: true})
		}
		events = append(events, event{frame: data[strip:wire.Int64()]})
		data = data[wire.Int64():]
	}
}

// bigVarint decodes a varint group by group. It returns how many bytes it has,
// 0 if it is not complete and -1 if it does not fit 64 bits.
func bigVarint(b []byte, value *big.Int) int {
	for i, c := range b {
		group := new(big.Int).Lsh(big.NewInt(int64(c&0x7f)), uint(7*i))
		value.Or(value, group)
		if i >= 10 || value.BitLen() > 64 && c < 0x80 || i == 9 && c >= 0x80 {
			return -1
		}
		if c < 0x80 {
			return i + 1
		}
	}
	return 0
}

func (e event) check(t *testing.T, i int, got []byte, err error) {
	var size *framing.SizeError
	ok := false
	switch e.err {
	case "":
		ok = err == nil && bytes.Equal(e.frame, got)
	case "size":
		ok = errors.As(err, &size)
	case "malformed":
		ok = errors.Is(err, framing.ErrMalformed)
	case "cut":
		ok = err == io.ErrUnexpectedEOF
	case "eof":
		ok = err == io.EOF
	}
	if !ok {
		t.Fatalf("read %d: want frame %x, error %q; got %x, %v", i, e.frame, e.err, got, err)
	}
}

func FuzzReader(f *testing.F) {
	for i, data := range [][]byte{
		{}, {0, 0}, {0, 1, 'a', 0, 2, 'b', 'c'}, {0xff, 0xff, 1}, {4, 1, 2, 3, 4, 200, 1}, bytes.Repeat([]byte{0x80}, 12),
		append([]byte{0, 150}, fill(160)...), {0, 0, 0, 0, 0, 0, 0, 3, 'x', 'y', 'z'}, bytes.Repeat([]byte{0xff}, 20),
	} {
		for shape := range uint64(28) {
			f.Add(shape|4<<24|uint64(i)<<8, uint64(i)+shape, data)
		}
	}
	f.Fuzz(func(t *testing.T, shape, seed uint64, data []byte) {
		format := formatFrom(shape)
		if format.Validate() != nil {
			t.Skip()
		}
		rng := rand.New(rand.NewPCG(seed, 1))
		r := framing.NewReader(source(rng, split(rng, data)), format)
		r.Exclusive = rng.IntN(2) == 0
		for i, e := range oracle(format, data) {
			got, err := readAny(rng, r)
			e.check(t, i, got, err)
			if e.last {
				again, err := readAny(rng, r)
				e.check(t, i, again, err)
			}
		}
	})
}

func FuzzRoundTrip(f *testing.F) {
	for shape := range uint64(28) {
		f.Add(shape|4<<24, shape, []byte{0, 1, 5, 60, 200, 255})
		f.Add(shape|3<<24|shape<<8, shape, []byte{9, 17, 0, 250})
	}
	f.Fuzz(func(t *testing.T, shape, seed uint64, sizes []byte) {
		format := formatFrom(shape)
		if format.Validate() != nil {
			t.Skip()
		}
		rng := rand.New(rand.NewPCG(seed, 2))
		var out, appended bytes.Buffer
		w := framing.NewWriter(&out, format)
		var want [][]byte
		for _, n := range sizes[:min(len(sizes), 40)] {
			size := int(n)
			if n > 240 {
				size = int(n) * 150 // across the size that goes out by itself
			}
			frame := fill(size)
			if format.Strip < 0 && format.HeaderSize == framing.Varint && size >= format.LengthOffset+10 {
				frame = withVarint(format, frame)
			}
			wire, err := format.Append(nil, frame)
			if werr := w.WriteFrame(frame); err != nil {
				require.Equal(t, err, werr)
				continue
			} else {
				require.NoError(t, werr)
			}
			appended.Write(wire)
			if format.Strip < 0 {
				frame = wire
			}
			want = append(want, frame)
		}
		if err := w.Flush(); err != nil {
			require.ErrorIs(t, err, framing.ErrReadOnly)
			require.Empty(t, want)
			return
		}
		require.True(t, bytes.Equal(appended.Bytes(), out.Bytes()))
		r := framing.NewReader(source(rng, split(rng, out.Bytes())), format)
		r.Exclusive = rng.IntN(2) == 0
		for i, frame := range want {
			got, err := readAny(rng, r)
			event{frame: frame}.check(t, i, got, err)
		}
		_, err := readAny(rng, r)
		require.Equal(t, io.EOF, err)
	})
}

// withVarint puts the right varint into a whole frame.
func withVarint(f framing.Format, frame []byte) []byte {
	body := frame[f.LengthOffset+10:]
	if len(body) < f.LengthAdjust {
		return frame
	}
	out := binary.AppendUvarint(bytes.Clone(frame[:f.LengthOffset]), uint64(len(body)-f.LengthAdjust))
	return append(out, body...)
}

func FuzzVarint(f *testing.F) {
	for _, v := range []uint64{0, 1, 127, 128, 300, 1<<14 - 1, 1 << 14, 1<<63 - 1, 1 << 63, 1<<64 - 1} {
		f.Add(binary.AppendUvarint(nil, v))
	}
	f.Add([]byte{0x80, 0x80, 0x00})
	f.Add(bytes.Repeat([]byte{0x80}, 10))
	f.Add(append(bytes.Repeat([]byte{0xff}, 9), 2))
	format := framing.Format{HeaderSize: framing.Varint, MaxSize: -1}
	f.Fuzz(func(t *testing.T, data []byte) {
		value := new(big.Int)
		groups := bigVarint(data, value)
		_, size, err := framing.NewReader(bytes.NewReader(data), format).Stream()
		var over *framing.SizeError
		switch {
		case len(data) == 0:
			require.Equal(t, io.EOF, err)
		case groups == 0:
			require.Equal(t, io.ErrUnexpectedEOF, err)
		case groups < 0:
			require.ErrorIs(t, err, framing.ErrMalformed)
		case errors.As(err, &over):
			require.Equal(t, value.Uint64(), over.Size)
			require.Greater(t, over.Size, over.Limit)
		default:
			require.NoError(t, err)
			require.Equal(t, value.Uint64(), uint64(size))
			header, err := format.AppendHeader(nil, int(size))
			require.NoError(t, err)
			require.LessOrEqual(t, len(header), groups, "not the shortest form")
			_, back, err := framing.NewReader(bytes.NewReader(header), format).Stream()
			require.NoError(t, err)
			require.Equal(t, size, back)
		}
	})
}
