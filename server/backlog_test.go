package server_test

import (
	"context"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/server"
)

// stumbling is a listener that accepts nothing until it is given a deadline, that
// of Shutdown, and then fails a few times before it does.
type stumbling struct {
	*net.TCPListener
	accepting chan struct{} // closed by the first Accept
	stopped   chan struct{} // closed by the first SetDeadline
	accepts   atomic.Int32
	deadlines atomic.Int32
	fails     []error
}

func (l *stumbling) SetDeadline(t time.Time) error {
	if l.deadlines.Add(1) == 1 {
		close(l.stopped)
	}
	return l.TCPListener.SetDeadline(t)
}

func (l *stumbling) Accept() (net.Conn, error) {
	n := int(l.accepts.Add(1))
	if n == 1 {
		close(l.accepting)
		<-l.stopped
		return nil, os.ErrDeadlineExceeded
	}
	if n-2 < len(l.fails) {
		return nil, l.fails[n-2]
	}
	return l.TCPListener.Accept()
}

// A connection that was aborted in the backlog, or a shortage that passes, does not
// cost those behind it their answers when the server shuts down.
func TestShutdownEmptiesBacklogPastErrors(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &stumbling{
		TCPListener: tcp.(*net.TCPListener),
		accepting:   make(chan struct{}), stopped: make(chan struct{}),
		fails: []error{acceptError(syscall.ECONNABORTED), acceptError(syscall.EMFILE)},
	}
	s := &server.Server{Handler: echo()}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	<-l.accepting
	c, err := net.Dial("tcp", tcp.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	_, err = c.Write([]byte("\x00\x02hi"))
	require.NoError(t, err)

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, s.Shutdown(ctx))
	require.ErrorIs(t, <-served, server.ErrServerClosed)
	got, err := io.ReadAll(c)
	require.NoError(t, err)
	require.Equal(t, "\x00\x02hi", string(got))
	require.Equal(t, uint64(2), s.Stat().AcceptErrors)
}
