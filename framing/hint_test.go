package framing_test

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing"
)

// What a newcomer meets first: the peer speaks another protocol, or another Format.
var strangers = map[string]struct {
	bytes string
	want  string // "" for no hint
}{
	"TLS client hello": {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "look like TLS"},
	"TLS alert":        {"\x15\x03\x01\x00\x02\x02\x46", "look like TLS"},
	"HTTP reply":       {"HTTP/1.1 400 Bad Request\r\n", "look like HTTP"},
	"HTTP request":     {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "look like HTTP"},
	"HTTP request, 2":  {"OPTIONS / HTTP/1.1\r\n", "look like HTTP"},
	"SSH":              {"SSH-2.0-OpenSSH_9.2\r\n", "look like text"},
	"the letters AA":   {"AA", "look like text"},
	"Redis":            {"-ERR unknown command\r\n", "look like text"},
	"a tab":            {"a\tb\tc\td\te", "look like text"},
	"binary":           {"\xfe\xff\x00\x01\x02\x03", ""},
	"text after all":   {"\xfe\xffhello world", ""},
	"text too late":    {"AA\x00\x00\x00\x00\x00\x00", ""},
	"other records":    {"\x16\x04\x01\x02\x00", ""},
	"an empty length":  {"\xff\x03\x01", ""},
}

func TestOversizeFrameOfAStranger(t *testing.T) {
	for name, test := range strangers {
		t.Run(name, func(t *testing.T) {
			r := framing.NewReader(strings.NewReader(test.bytes), framing.Format{MaxSize: 1000})
			_, err := r.Next()
			var size *framing.SizeError
			require.ErrorAs(t, err, &size)
			if test.want == "" {
				require.NotContains(t, err.Error(), "look like")
				require.Empty(t, r.Hint())
				return
			}
			require.ErrorContains(t, err, test.want)
			require.Contains(t, r.Hint(), test.want)
		})
	}
	_, err := framing.NewReader(iotest.OneByteReader(strings.NewReader("\x16\x03\x01\x02")), framing.Format{MaxSize: 1000}).Next()
	require.ErrorContains(t, err, "look like TLS", "two bytes are enough")
	_, err = framing.NewReader(strings.NewReader("AA"), framing.Format{MaxSize: 1000}).Next()
	require.EqualError(t, err, "framing: frame of 16705 bytes exceeds the limit of 1000 "+
		"(the bytes look like text: check the address, TLS and the Format of both sides)")
}

// A frame that is too long for what comes is cut by the end of the stream, or by a
// timeout. The error stays what it is; Hint says what the bytes look like.
func TestHintOfACutFrame(t *testing.T) {
	read := map[string]func(*framing.Reader) error{
		"Next":      func(r *framing.Reader) error { _, err := r.Next(); return err },
		"ReadFrame": func(r *framing.Reader) error { _, err := r.ReadFrame(nil); return err },
		"Stream": func(r *framing.Reader) error {
			s, _, err := r.Stream()
			if err == nil {
				_, err = io.ReadAll(s)
			}
			return err
		},
	}
	for call, next := range read {
		for name, test := range strangers {
			t.Run(call+"/"+name, func(t *testing.T) {
				r := framing.NewReader(strings.NewReader(test.bytes), framing.Format{})
				require.Empty(t, r.Hint(), "nothing has been read")
				require.Equal(t, io.ErrUnexpectedEOF, next(r))
				if test.want == "" {
					require.Empty(t, r.Hint())
				} else {
					require.Contains(t, r.Hint(), test.want)
				}
			})
		}
	}
}

func TestHintIsGoneAfterAFrame(t *testing.T) {
	var stream bytes.Buffer
	w := framing.NewWriter(&stream, framing.Format{})
	payload := bytes.Repeat([]byte("x"), 0x4141)
	require.NoError(t, w.WriteFrame(payload))
	require.NoError(t, w.Flush())
	r := framing.NewReader(&stream, framing.Format{})
	frame, err := r.Next()
	require.NoError(t, err)
	require.Equal(t, payload, frame)
	require.Empty(t, r.Hint(), "the frame was whole")
	_, err = r.Next()
	require.Equal(t, io.EOF, err)
	require.Empty(t, r.Hint())
	r.Reset(strings.NewReader("AA"))
	require.Empty(t, r.Hint())
	require.Empty(t, new(framing.Reader).Hint())
}

// An error between two reads leaves what has come, and a Hint of it.
func TestHintAfterAnErrorOfTheStream(t *testing.T) {
	for name, format := range map[string]framing.Format{"within the header": {HeaderSize: 4}, "within the frame": {}} {
		t.Run(name, func(t *testing.T) {
			r := framing.NewReader(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("-ERR"))), format)
			_, err := r.Next()
			require.Equal(t, iotest.ErrTimeout, err)
			require.Empty(t, r.Hint(), "one byte is not enough")
		})
	}
	r := framing.NewReader(iotest.TimeoutReader(strings.NewReader("-ERR unknown command")), framing.Format{})
	_, err := r.Next()
	require.Error(t, err)
	require.Contains(t, r.Hint(), "look like text")
}
