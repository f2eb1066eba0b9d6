package server_test

import (
	"context"
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

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
func TestEndOfTheStreamInOneSegmentWithARequest(t *testing.T) {
	s := &server.Server{Handler: &server.FrameHandler{Handle: oneWay}}
	addr := start(t, s)
	for i := range 10 {
		c := dial(t, addr)
		for range manyRounds {
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
		require.EqualValues(t, (i+1)*(manyRounds+1), s.Stat().Requests)
	}
}
