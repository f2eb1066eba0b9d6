package conn_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// FuzzReadUntil reads a stream that arrives in pieces cut anywhere and
// compares with what bytes.Index finds in the whole of it. Filler in front
// makes streams longer than the buffer out of inputs short enough to mutate.
func FuzzReadUntil(f *testing.F) {
	f.Add([]byte("a\r\nb\r\n\r\nrest"), []byte("\r\n"), []byte{1, 2}, 0, uint16(0))
	f.Add([]byte("aaaaab"), []byte("aab"), []byte{2, 1}, 100, uint16(7))
	f.Add([]byte("too long for that"), []byte("!"), []byte{5}, 4, uint16(0))
	f.Add([]byte("\xff\xfe\xff\xfe\xfd"), []byte("\xff\xfe\xfd"), []byte{1}, 0, uint16(300))
	f.Add([]byte("aaaab"), []byte("ab"), []byte{255, 7}, 4098, uint16(4094))
	f.Fuzz(func(t *testing.T, end, delim, cuts []byte, max int, filler uint16) {
		if len(delim) == 0 {
			return
		}
		stream := append(bytes.Repeat([]byte("a"), int(filler)), end...)
		c := conn.New(&stub{read: cutReads(stream, cuts)})
		bound := max
		if bound <= 0 {
			bound = (1 << 20)
		}
		rest := stream
		for {
			want, wantErr := oracleUntil(rest, delim, bound)
			got, err := c.ReadUntil([]byte("kept"), delim, max)
			if string(got) != "kept"+string(want) {
				t.Fatalf("got %q, want %q behind kept", got, want)
			}
			rest = rest[len(want):]
			var long *conn.LineTooLongError
			switch {
			case wantErr == nil && err != nil, wantErr == io.EOF && err != io.EOF:
				t.Fatalf("error %v, want %v", err, wantErr)
			case wantErr == errOracleTooLong && !(errors.As(err, &long) && long.Limit == bound):
				t.Fatalf("error %v, want too long", err)
			}
			if wantErr == io.EOF {
				return
			}
		}
	})
}

var errOracleTooLong = errors.New("too long")

func oracleUntil(stream, delim []byte, max int) ([]byte, error) {
	if i := bytes.Index(stream, delim); i >= 0 && i+len(delim) <= max {
		return stream[:i+len(delim)], nil
	}
	if len(stream) >= max {
		return stream[:max], errOracleTooLong
	}
	return stream, io.EOF
}

// cutReads returns a Read that brings the stream in pieces of the given sizes,
// over and over, then io.EOF; with the last piece already, if it is an odd one.
func cutReads(stream, cuts []byte) func([]byte) (int, error) {
	i := 0
	return func(p []byte) (int, error) {
		if len(stream) == 0 {
			return 0, io.EOF
		}
		size := len(stream)
		if len(cuts) > 0 {
			size = max(1, int(cuts[i%len(cuts)]))
		}
		i++
		n := copy(p, stream[:min(size, len(stream))])
		stream = stream[n:]
		if len(stream) == 0 && i%2 == 1 {
			return n, io.EOF
		}
		return n, nil
	}
}
