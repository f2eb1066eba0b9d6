package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
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

// All of a large backlog is served at Shutdown, however long it takes.
func TestShutdownServesALargeBacklog(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	late := &lateListener{l.(*net.TCPListener), make(chan struct{})}
	s := &server.Server{Handler: echo(), ConnState: func(_ *conn.Conn, state server.State) {
		if state == server.StateNew {
			time.Sleep(time.Millisecond) // an accepting server that is held up
		}
	}}
	served := make(chan error, 1)
	go func() { served <- s.Serve(late) }()
	var asked []*client
	for range 500 {
		c := dial(t, l.Addr().String())
		c.send("early")
		asked = append(asked, c)
	}
	require.Eventually(t, func() bool { return s.Stat().Listeners == 1 }, patience, time.Millisecond)
	result := begin(t, s, t.Context())
	close(late.let)
	for _, c := range asked {
		c.expect("early")
		c.expectEnd()
		require.NoError(t, c.Close())
	}
	require.NoError(t, <-result)
	require.ErrorIs(t, <-served, server.ErrServerClosed)
}

// Out of descriptors at Shutdown, the backlog waits for connections that end.
func TestShutdownOutOfDescriptorsServesTheBacklog(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &shortListener{TCPListener: tcp.(*net.TCPListener)}
	l.free.Store(3)
	s := &server.Server{Handler: echo(), Logger: slog.New(slog.DiscardHandler), ConnState: func(_ *conn.Conn, state server.State) {
		if state == server.StateClosed {
			l.free.Add(1)
		}
	}}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	var asked []*client
	for range 12 {
		c := dial(t, tcp.Addr().String())
		c.send("early")
		asked = append(asked, c)
	}
	require.Eventually(t, func() bool { return s.Stat().AcceptErrors > 0 }, patience, time.Millisecond)
	result := begin(t, s, t.Context())
	for _, c := range asked {
		c.expect("early")
		c.expectEnd()
		require.NoError(t, c.Close())
	}
	require.NoError(t, <-result)
	require.ErrorIs(t, <-served, server.ErrServerClosed)
}

// shortListener has so many descriptors.
type shortListener struct {
	*net.TCPListener
	free atomic.Int32
}

func (l *shortListener) Accept() (net.Conn, error) {
	if l.free.Load() == 0 {
		return nil, acceptError(syscall.EMFILE)
	}
	nc, err := l.TCPListener.Accept()
	if err == nil {
		l.free.Add(-1)
	}
	return nc, err
}

// newStumbling is a stumbling listener that fails so, with one request in its backlog.
func newStumbling(t *testing.T, s *server.Server, wrap func(net.Listener) net.Listener, fails ...error) (c *client, served chan error) {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &stumbling{
		TCPListener: tcp.(*net.TCPListener), fails: fails,
		accepting: make(chan struct{}), stopped: make(chan struct{}),
	}
	served = make(chan error, 1)
	go func() { served <- s.Serve(wrap(l)) }()
	<-l.accepting
	c = dial(t, tcp.Addr().String())
	c.send("early")
	return c, served
}

// wordyListener is no socket that could be asked for its backlog, and says more of an
// error than the system does.
type wordyListener struct{ net.Listener }

func (l wordyListener) SetDeadline(t time.Time) error { return l.Listener.(*stumbling).SetDeadline(t) }

func (l wordyListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		err = fmt.Errorf("on my listener: %w", err)
	}
	return nc, err
}

// The deadline by which the backlog is found empty is no error of accept, whatever the
// listener says of it, nor is one that is met too early; another error is.
func TestShutdownWithAListenerThatWrapsItsErrors(t *testing.T) {
	for want, fails := range map[uint64][]error{
		0: nil,
		2: {os.ErrDeadlineExceeded, acceptError(syscall.ECONNABORTED), acceptError(syscall.EMFILE)},
	} {
		s := &server.Server{Handler: echo(), Logger: slog.New(slog.DiscardHandler)}
		c, served := newStumbling(t, s, func(l net.Listener) net.Listener { return wordyListener{l} }, fails...)
		result := begin(t, s, t.Context())
		c.expect("early")
		c.expectEnd()
		require.NoError(t, c.Close())
		require.NoError(t, <-result)
		require.ErrorIs(t, <-served, server.ErrServerClosed)
		require.Equal(t, want, s.Stat().AcceptErrors)
	}
}

// sleepyListener comes to accept only when the time for it is over.
type sleepyListener struct{ *stumbling }

func (l sleepyListener) Accept() (net.Conn, error) {
	nc, err := l.stumbling.Accept()
	if err != nil && l.accepts.Load() > 1 {
		time.Sleep(20 * time.Millisecond)
	}
	return nc, err
}

// A socket that is known to have a connection is asked until it has none.
func TestShutdownWithAListenerThatIsHeldUp(t *testing.T) {
	s := &server.Server{Handler: echo()}
	c, served := newStumbling(t, s, func(l net.Listener) net.Listener { return sleepyListener{l.(*stumbling)} },
		os.ErrDeadlineExceeded, os.ErrDeadlineExceeded)
	result := begin(t, s, t.Context())
	c.expect("early")
	c.expectEnd()
	require.NoError(t, c.Close())
	require.NoError(t, <-result)
	require.ErrorIs(t, <-served, server.ErrServerClosed)
}

// A listener that breaks ends the wait for its backlog, and so does the end of
// Shutdown's context.
func TestShutdownGivesUpABacklog(t *testing.T) {
	same := func(l net.Listener) net.Listener { return l }
	t.Run("broken", func(t *testing.T) {
		s := &server.Server{Handler: echo()}
		_, served := newStumbling(t, s, same, errors.New("broken"))
		shutdown(t, s)
		require.ErrorIs(t, <-served, server.ErrServerClosed)
		require.Zero(t, s.Stat().AcceptErrors)
	})
	t.Run("the context has ended", func(t *testing.T) {
		s := &server.Server{Handler: echo(), Logger: slog.New(slog.DiscardHandler)}
		_, served := newStumbling(t, s, same, slices.Repeat([]error{acceptError(syscall.EMFILE)}, 1<<20)...)
		ctx, cancel := context.WithCancel(t.Context())
		result := begin(t, s, ctx)
		require.Eventually(t, func() bool { return s.Stat().AcceptErrors > 2 }, patience, time.Millisecond)
		cancel()
		require.ErrorIs(t, <-result, context.Canceled)
		require.ErrorIs(t, <-served, server.ErrServerClosed)
		shutdown(t, s)
	})
}
