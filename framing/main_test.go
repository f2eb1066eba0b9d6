package framing_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// errTimeout is what a read deadline gives.
var errTimeout = timeoutError{}

type timeoutError struct{}

func (timeoutError) Error() string { return "i/o timeout" }
func (timeoutError) Timeout() bool { return true }

// errReset is a failure that is neither a timeout nor the end.
var errReset = errors.New("connection reset")

// A script is a stream that brings its steps one read at a time, never more
// than one step in one read. A nil step is a timeout. After the last step
// comes end, io.EOF if nil.
type script struct {
	steps [][]byte
	end   error
	reads int // calls of Read
}

func (s *script) Read(p []byte) (int, error) {
	s.reads++
	for len(s.steps) > 0 {
		step := s.steps[0]
		if step == nil {
			s.steps = s.steps[1:]
			return 0, errTimeout
		}
		if len(step) == 0 {
			s.steps = s.steps[1:]
			continue
		}
		n := copy(p, step)
		s.steps[0] = step[n:]
		return n, nil
	}
	if s.end != nil {
		return 0, s.end
	}
	return 0, io.EOF
}

// steps returns a fresh script of the steps.
func steps(parts ...[]byte) *script { return &script{steps: parts} }

// plainPeeker is a PeekReader with none of the optional methods.
type plainPeeker struct{ b *bufio.Reader }

func (p plainPeeker) Read(b []byte) (int, error) { return p.b.Read(b) }
func (p plainPeeker) Peek(n int) ([]byte, error) { return p.b.Peek(n) }
func (p plainPeeker) Discard(n int) (int, error) { return p.b.Discard(n) }
func (p plainPeeker) Buffered() int              { return p.b.Buffered() }

// taggedPeeker has all optional methods and remembers what it is told.
type taggedPeeker struct {
	plainPeeker
	size int
	mid  []bool
}

func (p *taggedPeeker) BufferSize() int        { return p.size }
func (p *taggedPeeker) SetMidMessage(mid bool) { p.mid = append(p.mid, mid) }

func newTagged(r io.Reader, size int) *taggedPeeker {
	return &taggedPeeker{plainPeeker{bufio.NewReaderSize(r, size)}, size, nil}
}

// sources are the kinds of reader a Reader can sit on.
var sources = []struct {
	name string
	open func(io.Reader) io.Reader
}{
	{"plain", func(r io.Reader) io.Reader { return r }},
	{"bufio", func(r io.Reader) io.Reader { return bufio.NewReader(r) }},
	{"small bufio", func(r io.Reader) io.Reader { return bufio.NewReaderSize(r, 16) }},
	{"peeker of unknown size", func(r io.Reader) io.Reader { return plainPeeker{bufio.NewReaderSize(r, 64)} }},
	{"tagged peeker", func(r io.Reader) io.Reader { return newTagged(r, 32) }},
}

// A method is a way to read a frame. read returns a copy, and what came of a
// cut frame where partial is set.
type method struct {
	name      string
	exclusive bool
	partial   bool
	read      func(*framing.Reader) ([]byte, error)
}

var methods = []method{
	{"Next", false, false, next},
	{"exclusive Next", true, false, next},
	{"ReadFrame", false, true, readFrame},
	{"exclusive ReadFrame", true, true, readFrame},
	{"Stream", false, false, readStream},
	{"exclusive Stream", true, false, readStream},
}

// stream says that errors may come from the frame's own reader, and that
// timeouts there are not seen.
func (m method) stream() bool { return strings.HasSuffix(m.name, "Stream") }

func readFrame(r *framing.Reader) ([]byte, error) { return r.ReadFrame(nil) }

func readStream(r *framing.Reader) ([]byte, error) {
	s, size, err := r.Stream()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	for {
		_, err := io.CopyN(&b, s, size-int64(b.Len())+1)
		switch {
		case err == io.EOF && int64(b.Len()) == size:
			return b.Bytes(), nil
		case err == io.EOF || err == nil:
			return nil, errors.New("stream of the wrong size")
		case !isTimeout(err):
			return nil, err
		}
	}
}

func next(r *framing.Reader) ([]byte, error) {
	b, err := r.Next()
	return bytes.Clone(b), err
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// encode returns the wire bytes of the payloads.
func encode(t testing.TB, f framing.Format, payloads ...[]byte) []byte {
	t.Helper()
	var wire []byte
	var err error
	for _, p := range payloads {
		wire, err = f.Append(wire, p)
		require.NoError(t, err)
	}
	return wire
}

// fill returns n bytes that tell their place.
func fill(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}
