package pipeline

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
)

// Where there is nothing to write, or no connection, the write turn is given up. Nothing
// counts as written then: such a call is safe to retry.
func TestNothingToWrite(t *testing.T) {
	for name, change := range map[string]func(s *sharedConn, c *call){
		"the call was withdrawn":   func(s *sharedConn, c *call) { s.withdrawLocked(c) },
		"the connection has ended": func(s *sharedConn, c *call) { s.err = ErrClosed },
		"a write has failed":       func(s *sharedConn, c *call) { s.broken = syscall.EPIPE },
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := still(t, Config{})
			c, inline, write, err := s.submit(nil, make([]byte, directMax+1), dueNever, false)
			require.NoError(t, err)
			require.True(t, inline)
			require.Nil(t, write, "that is for the writer")
			s.handedOn = true
			change(s, c)
			require.False(t, s.flush())
			require.False(t, s.writing)
			require.False(t, s.handedOn)
			require.Zero(t, s.count.flushes)
			require.Zero(t, s.handed)
			require.Zero(t, s.sent)
			require.Zero(t, s.nc.BytesWritten())
		})
	}
}

// The bytes of withdrawn calls stay as long as they are less than half of what is
// pending: many that are given up together do not move the rest each. Then they go, so
// that they never hold more memory than the others.
func TestBytesOfWithdrawnCalls(t *testing.T) {
	s, _ := still(t, Config{})
	s.reading, s.writing = readerLoop, true // somebody is writing
	var calls []*call
	var frames [][]byte
	for i := range 5 {
		request := fmt.Append(nil, "request ", i)
		c, inline, _, err := s.submit(nil, request, dueNever, false)
		require.NoError(t, err)
		require.False(t, inline)
		calls = append(calls, c)
		frame, err := framing.Format{}.Append(nil, request)
		require.NoError(t, err)
		frames = append(frames, frame)
	}
	size := len(frames[0])
	for i, want := range []int{5, 5, 2} {
		gone, written := s.abandon(calls[i], nil)
		require.True(t, gone)
		require.False(t, written)
		require.Len(t, s.pending, want*size, "%d withdrawn", i+1)
	}
	require.Equal(t, append(frames[3], frames[4]...), s.takeLocked())
}

// Where a write fails because the peer has left, its last words are read at once, by the
// connection's goroutine if nobody else reads, and no new call comes here.
func TestLastWordsAreReadAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		before, after turn
		wakes         bool
	}{
		"nobody reads":            {nobody, readerLoop, true},
		"a lone caller reads":     {readerCaller, readerCaller, false},
		"the connection's reader": {readerLoop, readerLoop, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := still(t, Config{Goodbye: []byte("bye")})
			s.p.live.Store(&[]*sharedConn{s})
			s.reading = c.before
			s.writeFailed(syscall.EPIPE)
			require.Equal(t, c.after, s.reading)
			require.Equal(t, c.wakes, len(s.reads) == 1)
			require.NoError(t, s.err)
			require.Equal(t, syscall.EPIPE, s.broken)
			require.Empty(t, *s.p.live.Load())
			s.writeFailed(errors.New("another"))
			require.Equal(t, syscall.EPIPE, s.broken)
		})
	}
}

// second is a connection whose second write times out, although nobody has set a
// deadline.
type second struct {
	net.Conn
	writes *int
}

func (c second) Write(b []byte) (int, error) {
	if *c.writes++; *c.writes == 2 {
		return 0, os.ErrDeadlineExceeded
	}
	return len(b), nil
}

// Only a write that was cut goes on. Where one times out by itself, the connection ends.
func TestWriteThatTimesOutByItself(t *testing.T) {
	p, err := New(conn.Target{Address: "unused:1"}, framing.Format{}, Config{})
	require.NoError(t, err)
	here, there := memnet.Pipe()
	defer here.Close()
	defer there.Close()
	s := newSharedConn(p, conn.New(second{here, new(int)}))
	s.writeDirect([]byte("first"))
	require.NoError(t, s.err)
	s.writeDirect([]byte("second"))
	require.ErrorIs(t, s.err, os.ErrDeadlineExceeded)
	require.Empty(t, s.pending)
}
