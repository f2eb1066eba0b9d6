package server

import (
	"context"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
)

// sockets is a session on one end of a loopback connection, and the other end.
func sockets(t *testing.T, h *FrameHandler) (s *session, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	far, err = net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	near, err := l.Accept()
	require.NoError(t, err)
	s = &session{srv: &Server{Handler: h}, conn: conn.New(near), own: true}
	s.frames.Store(h)
	t.Cleanup(func() {
		require.NoError(t, far.Close())
		_ = s.conn.Close()
	})
	return s, far
}

// withUnread is a session with so many bytes in its socket.
func withUnread(t *testing.T, n int) *session {
	t.Helper()
	s, far := sockets(t, &FrameHandler{})
	if _, ok := unread(rawOf(s.socket())); !ok {
		t.Skip("the system does not tell what is unread")
	}
	_, err := far.Write(make([]byte, n))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		got, _ := unread(rawOf(s.socket()))
		return got == int64(n)
	}, 10*time.Second, time.Millisecond)
	return s
}

// A read that timed out may have begun too late if something is there or, where that
// cannot be told, if its time was long over.
func TestReadThatWasHeldUp(t *testing.T) {
	for n, want := range map[int]bool{0: false, 1: true, 7: true} {
		s := withUnread(t, n)
		require.Equal(t, want, heldUp(rawOf(s.socket()), time.Now()), n)
	}
	require.False(t, heldUp(nil, time.Now().Add(time.Hour)))
	require.True(t, heldUp(nil, time.Now().Add(-time.Hour)))
}

// lateReads is a connection whose reads begin so late that they find nothing.
type lateReads struct {
	net.Conn
	refuses error // to have a deadline
	looks   int
	until   time.Time
}

func (l *lateReads) SetReadDeadline(at time.Time) error {
	l.until = at
	return l.refuses
}

func (l *lateReads) Read([]byte) (int, error) {
	l.looks++
	time.Sleep(time.Until(l.until) + 2*silence)
	return 0, os.ErrDeadlineExceeded
}

// A look that may have begun too late is made again, up to eight times in turn. Without
// a deadline none is made: it might not end.
func TestLookAheadOfABusyMachine(t *testing.T) {
	for looks, refuses := range map[int]error{maxHoldUps: nil, 0: os.ErrNoDeadline} {
		synctest.Test(t, func(t *testing.T) {
			near, _ := memnet.Pipe()
			nc := &lateReads{Conn: near, refuses: refuses}
			s := &session{srv: &Server{}, conn: conn.New(nc)}
			servingOf(s).readAhead()
			require.Equal(t, looks, nc.looks)
		})
	}
}

// The socket says what has arrived, and nothing is read for that, by the goroutine that
// reads.
func TestDrainPointOfASocket(t *testing.T) {
	for _, due := range []int64{notDue, never, 12345} { // in a request, and waiting for one
		s := withUnread(t, 7)
		s.readDue.Store(due)
		f := &frameConn{h: s.frames.Load(), conn: s.conn, sess: s, ctx: context.Background()}
		require.True(t, f.beforePoint())
		require.EqualValues(t, 1+7, s.point)
		require.Zero(t, s.conn.Buffered())
		for range 7 {
			require.True(t, f.beforePoint())
			_, err := s.conn.ReadFull(make([]byte, 1))
			require.NoError(t, err)
		}
		require.False(t, f.beforePoint())
	}
}

// Another goroutine notes the point only where nobody reads: a reader may have taken
// from the socket what it has not counted.
func TestDrainPointWhileAnotherReads(t *testing.T) {
	s := withUnread(t, 7)
	s.phase = inFrames
	s.readDue.Store(12345)
	s.drain()
	require.Zero(t, s.point)
	s.readDue.Store(notDue)
	s.drain()
	require.EqualValues(t, 1+7, s.point)
	_, err := s.conn.Write([]byte("x"))
	require.NoError(t, err)
	s.drain()
	require.EqualValues(t, 1+7, s.point, "it is noted once")
}

// A reader that waits for the rest of a request notes the point when a drain wakes it,
// and not before.
func TestDrainPointWithinARequest(t *testing.T) {
	h := Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) { return req, nil })
	s := &Server{Handler: h}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	nc, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	_, err = nc.Write([]byte("\x00\x03o"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return s.Stat().Active == 1 }, 20*time.Second, time.Millisecond)
	sess := s.sessions()[0]
	point := func() int64 {
		sess.drainMu.Lock()
		defer sess.drainMu.Unlock()
		return sess.point
	}
	sess.wakeReader()
	_, err = nc.Write([]byte("n"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return sess.conn.BytesRead() == 4 }, 20*time.Second, time.Millisecond)
	require.Zero(t, point()) // the reader has been awake since
	result := make(chan error, 1)
	go func() { result <- s.Shutdown(context.Background()) }()
	require.Eventually(t, func() bool { return point() == 1+4 }, 20*time.Second, time.Millisecond)
	_, err = nc.Write([]byte("e\x00\x04late"))
	require.NoError(t, err)
	require.NoError(t, nc.SetDeadline(time.Now().Add(20*time.Second)))
	got, err := io.ReadAll(nc)
	require.NoError(t, err)
	require.Equal(t, "\x00\x03one", string(got))
	require.NoError(t, nc.Close())
	require.NoError(t, <-result)
	require.ErrorIs(t, <-served, ErrServerClosed)
}
