package server_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/server"
)

// TestShutdownOfAConnectionNotYetHandled begins to drain while a connection with a
// request in its socket is on its way to its handler.
func TestShutdownOfAConnectionNotYetHandled(t *testing.T) {
	raw := server.HandlerFunc(func(_ context.Context, c *conn.Conn) {
		got, err := io.ReadAll(c)
		if err == nil {
			_, _ = c.Write(got)
		}
	})
	for name, h := range map[string]server.Handler{"frames": echo(), "raw": raw} {
		t.Run(name, func(t *testing.T) {
			if name == "raw" {
				skipWithoutCloseRead(t)
			}
			arrived, let := make(chan struct{}), make(chan struct{})
			s := &server.Server{Handler: h}
			s.ConnContext = func(ctx context.Context, _ *conn.Conn) context.Context {
				arrived <- struct{}{}
				<-let
				return ctx
			}
			c := dial(t, start(t, s))
			c.send("early")
			<-arrived
			result := begin(t, s, context.Background())
			close(let)
			c.expect("early")
			c.expectEnd()
			require.NoError(t, c.Close())
			require.NoError(t, <-result)
		})
	}
}

// gatedConn is a client's socket whose second write waits.
type gatedConn struct {
	net.Conn
	writes int
	second chan struct{}
	let    chan struct{}
}

func (c *gatedConn) Write(b []byte) (int, error) {
	if c.writes++; c.writes == 2 {
		close(c.second)
		<-c.let
	}
	return c.Conn.Write(b)
}

func TestShutdownLetsAHandshakeEnd(t *testing.T) {
	srv, cli := certificates(t)
	s := &server.Server{Handler: echo(), TLSConfig: srv}
	addr := start(t, s)
	idle := dialTLS(t, addr, cli)
	nc, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	gate := &gatedConn{Conn: nc, second: make(chan struct{}), let: make(chan struct{})}
	c := newClient(t, tls.Client(gate, cli))
	shaken := make(chan error, 1)
	go func() { shaken <- c.Conn.(*tls.Conn).Handshake() }()
	<-gate.second
	result := begin(t, s, context.Background())
	idle.expectEnd() // the other was drained before it
	require.NoError(t, idle.Close())
	close(gate.let)
	require.NoError(t, <-shaken)
	c.send("just in time")
	c.expect("just in time")
	c.expectEnd()
	require.NoError(t, c.Close())
	require.NoError(t, <-result)
}

func TestShutdownDoesNotWaitForAHandshakeThatNeverBegins(t *testing.T) {
	srv, _ := certificates(t)
	s := &server.Server{Handler: echo(), TLSConfig: srv, HandshakeTimeout: -1}
	c := dial(t, start(t, s))
	require.Eventually(t, func() bool { return s.Stat().Open == 1 }, patience, time.Millisecond)
	shutdown(t, s)
	_, err := c.Read(make([]byte, 1))
	require.Error(t, err)
}

// The same for one that the kernel had accepted before Shutdown, and the server after it.
func TestShutdownDoesNotWaitForAHandshakeOfTheBacklog(t *testing.T) {
	srv, _ := certificates(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	late := &lateListener{l.(*net.TCPListener), make(chan struct{})}
	s := &server.Server{Handler: echo(), TLSConfig: srv, HandshakeTimeout: -1}
	startOn(t, s, late)
	dial(t, l.Addr().String())
	require.Eventually(t, func() bool { return s.Stat().Listeners == 1 }, patience, time.Millisecond)
	result := begin(t, s, context.Background())
	close(late.let)
	require.NoError(t, <-result)
	require.EqualValues(t, 1, s.Stat().Accepted)
}

// slowListener takes its time to close, once it has been told to stop.
type slowListener struct {
	*net.TCPListener
	let    chan struct{}
	closed chan struct{}
}

func (l *slowListener) Close() error {
	<-l.let
	err := l.TCPListener.Close()
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return err
}

func TestShutdownWaitsForTheListenerToClose(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &slowListener{inner.(*net.TCPListener), make(chan struct{}), make(chan struct{})}
	s := &server.Server{Handler: echo()}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	require.Eventually(t, func() bool { return s.Stat().Listeners == 1 }, patience, time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	go func() {
		<-ctx.Done()
		close(l.let)
	}()
	err = s.Shutdown(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded, "its port is not free yet")
	<-l.closed
	require.ErrorIs(t, <-served, server.ErrServerClosed)
	shutdown(t, s)
}

// TestHandlerThatExits has handlers end their goroutine, as a failed assertion in a
// test does: it is a panic without a value.
func TestHandlerThatExits(t *testing.T) {
	t.Run("raw", func(t *testing.T) {
		s := &server.Server{KeepOpen: true, Handler: server.HandlerFunc(func(context.Context, *conn.Conn) { runtime.Goexit() })}
		got, err := io.ReadAll(dial(t, start(t, s)))
		require.NoError(t, err)
		require.Empty(t, got)
	})
	eachMode(t, func(t *testing.T, n int) {
		h := server.Frames(framing.Format{}, func(context.Context, []byte) ([]byte, error) {
			runtime.Goexit()
			return nil, nil
		})
		h.Concurrency = n
		c := dial(t, start(t, &server.Server{Handler: h}))
		c.send("a")
		c.expectEnd()
	})
}

func TestShutdownAnswersWhatWasReceivedInMemory(t *testing.T) {
	h, entered, let := gated()
	s := &server.Server{Handler: h}
	l := memnet.Listen("server")
	startOn(t, s, l)
	nc, err := l.Dial(context.Background())
	require.NoError(t, err)
	c := newClient(t, nc)
	c.send("a")
	<-entered
	c.send("b")
	result := begin(t, s, context.Background())
	close(let)
	c.expect("a", "b")
	c.expectEnd()
	require.NoError(t, c.Close())
	require.NoError(t, <-result)
}
