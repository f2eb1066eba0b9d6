package framing_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/stretchr/testify/require"
)

// A vector is a stream and what a Reader makes of it. Chunks arrive one read
// at a time, in hex; "timeout" is a timeout. Frames are in hex too, or start
// with "!" and name an error. After the last frame the stream ends.
type vector struct {
	Name   string
	Format framing.Format
	Chunks []string
	Frames []string
	Writes bool // a Writer makes the chunks of the frames
}

func loadVectors(t *testing.T) map[string][]vector {
	data, err := os.ReadFile("testdata/vectors.json")
	require.NoError(t, err)
	var groups []struct {
		About   string
		Vectors []vector
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	require.NoError(t, dec.Decode(&groups))
	out := map[string][]vector{}
	for _, g := range groups {
		out[g.About] = g.Vectors
	}
	return out
}

func unhex(t *testing.T, s string) []byte {
	if n, ok := strings.CutPrefix(s, "repeat "); ok {
		k, err := strconv.Atoi(n)
		require.NoError(t, err)
		return bytes.Repeat([]byte{'r'}, k)
	}
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	require.NoError(t, err)
	return append([]byte{}, b...)
}

func (v vector) chunks(t *testing.T) [][]byte {
	var parts [][]byte
	for _, c := range v.Chunks {
		if c == "timeout" {
			parts = append(parts, nil)
		} else {
			parts = append(parts, unhex(t, c))
		}
	}
	return parts
}

func TestVectors(t *testing.T) {
	for about, vectors := range loadVectors(t) {
		for _, v := range vectors {
			t.Run(strings.SplitN(about, ":", 2)[0]+"/"+v.Name, func(t *testing.T) {
				require.NoError(t, v.Format.Validate())
				for _, src := range sources {
					for _, m := range methods {
						if m.stream() && strings.Contains(strings.Join(v.Frames, " "), "!") {
							continue // its errors come from its reader: see TestStream
						}
						r := framing.NewReader(src.open(steps(v.chunks(t)...)), v.Format)
						r.Exclusive = m.exclusive
						checkVector(t, v, r, m.read, src.name+", "+m.name)
					}
				}
				if v.Writes {
					checkWrites(t, v)
				}
			})
		}
	}
}

func checkVector(t *testing.T, v vector, r *framing.Reader, read func(*framing.Reader) ([]byte, error), how string) {
	final := io.EOF
	for i, want := range v.Frames {
		got, err := read(r)
		switch want {
		case "!timeout":
			require.True(t, isTimeout(err), "%s: frame %d: %v", how, i, err)
		case "!cut":
			require.Equal(t, io.ErrUnexpectedEOF, err, "%s: frame %d", how, i)
			final = err
		case "!malformed":
			require.ErrorIs(t, err, framing.ErrMalformed, "%s: frame %d", how, i)
			final = err
		case "!size":
			var size *framing.SizeError
			require.ErrorAs(t, err, &size, "%s: frame %d", how, i)
			require.Equal(t, uint64(v.Format.MaxPayload()), size.Limit)
			require.Greater(t, size.Size, size.Limit)
			final = err
		default:
			require.NoError(t, err, "%s: frame %d", how, i)
			require.Equal(t, hex.EncodeToString(unhex(t, want)), hex.EncodeToString(got), "%s: frame %d", how, i)
			final = io.EOF
		}
	}
	_, err := read(r)
	require.Equal(t, final, err, how)
}

func checkWrites(t *testing.T, v vector) {
	wire := bytes.Join(v.chunks(t), nil)
	var out bytes.Buffer
	w := framing.NewWriter(&out, v.Format)
	var appended []byte
	for _, f := range v.Frames {
		payload := unhex(t, f)
		require.NoError(t, w.WriteFrame(payload))
		var err error
		appended, err = v.Format.Append(appended, payload)
		require.NoError(t, err)
	}
	require.NoError(t, w.Flush())
	require.Equal(t, hex.EncodeToString(wire), hex.EncodeToString(out.Bytes()))
	require.Equal(t, hex.EncodeToString(wire), hex.EncodeToString(appended))
}

// What the length field of an adjusted format cannot say is refused, and
// nothing of it is written.
func TestWritesRefusedUnderAdjustment(t *testing.T) {
	for _, tt := range []struct {
		format framing.Format
		size   int
		large  bool // refused as too large, not as too small
	}{
		{framing.Format{HeaderSize: 4, LengthAdjust: 1}, 0, false},
		{framing.Format{HeaderSize: 1, LengthAdjust: -1}, 255, true},
		{framing.Format{HeaderSize: 1}, 256, true},
		{framing.Format{HeaderSize: 1, LengthAdjust: 1}, 257, true},
		{framing.Format{HeaderSize: framing.Varint, LengthAdjust: 1}, 0, false},
	} {
		var out bytes.Buffer
		w := framing.NewWriter(&out, tt.format)
		for _, err := range []error{w.WriteFrame(make([]byte, tt.size)), func() error {
			_, err := tt.format.Append(nil, make([]byte, tt.size))
			return err
		}()} {
			if tt.large {
				var size *framing.SizeError
				require.ErrorAs(t, err, &size)
			} else {
				require.ErrorIs(t, err, framing.ErrMalformed)
			}
		}
		require.NoError(t, w.Flush())
		require.Zero(t, out.Len())
	}
}
