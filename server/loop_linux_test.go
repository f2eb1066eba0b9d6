package server_test

import (
	"context"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/server"
)

// manyRounds is how often a connection is used until the server has its end watched.
const manyRounds = 40

// oneWay replies to "x" only.
func oneWay(_ context.Context, req []byte) ([]byte, error) {
	if string(req) == "x" {
		return req, nil
	}
	return nil, server.ErrNoReply
}

// The end of the stream in one segment with a request is seen: nothing else tells of it.
// So it is where the goroutine is not the server's, and where there is no poller.
func TestEndOfTheStreamInOneSegmentWithARequest(t *testing.T) {
	for name, tc := range map[string]struct{ around, noPoller bool }{
		"alone": {}, "within another handler": {around: true}, "without a poller": {noPoller: true},
	} {
		t.Run(name, func(t *testing.T) {
			h := &server.FrameHandler{Handle: oneWay, ParkAfter: -1}
			s := &server.Server{Handler: h}
			if tc.around {
				s.Handler = server.HandlerFunc(func(ctx context.Context, c *conn.Conn) { h.ServeConn(ctx, c) })
			}
			addr := start(t, s)
			for i := range 10 {
				endInOneSegment(t, addr, tc.noPoller)
				require.EqualValues(t, (i+1)*(manyRounds+1), s.Stat().Requests)
			}
		})
	}
}

func endInOneSegment(t *testing.T, addr string, noPoller bool) {
	t.Helper()
	c := dial(t, addr)
	c.send("x")
	c.expect("x")
	if noPoller {
		var was syscall.Rlimit
		require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was))
		none := was
		none.Cur = 0
		require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none))
		defer func() { require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was)) }()
	}
	for range manyRounds - 1 {
		c.send("x")
		c.expect("x")
	}
	tcp := c.Conn.(*net.TCPConn)
	raw, err := tcp.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_CORK, 1)
	}))
	require.NoError(t, err)
	c.send("last") // it leaves with the end
	require.NoError(t, tcp.CloseWrite())
	c.expectEnd()
}

// A read from a unix socket stops behind a message with descriptors, whatever is there
// behind it: what is there is served all the same.
func TestUnixSocketThatGetsDescriptors(t *testing.T) {
	l, err := net.Listen("unix", t.TempDir()+"/s")
	require.NoError(t, err)
	entered, let := make(chan struct{}), make(chan struct{})
	h := server.Frames(framing.Format{}, func(ctx context.Context, req []byte) ([]byte, error) {
		if string(req) == "wait" {
			close(entered)
			<-let
		}
		return oneWay(ctx, req) // a reply would have the server look again
	})
	h.ParkAfter = -1 // so would that
	s := &server.Server{Handler: h}
	startOn(t, s, l)
	nc, err := net.Dial("unix", l.Addr().String())
	require.NoError(t, err)
	c := newClient(t, nc)
	for range manyRounds {
		c.send("x")
		c.expect("x")
	}
	c.send("wait")
	<-entered // all of these arrive before the next read
	const n = 20
	for range n {
		_, _, err := nc.(*net.UnixConn).WriteMsgUnix([]byte("\x00\x01m"), syscall.UnixRights(0), nil)
		require.NoError(t, err)
	}
	close(let)
	require.Eventually(t, func() bool { return s.Stat().Requests == manyRounds+1+n }, patience, time.Millisecond)
}
