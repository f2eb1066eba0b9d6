package server_test

import (
	"context"
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

// gated is a frame handler that answers when it is let.
func gated() (h *server.FrameHandler, entered chan string, let chan struct{}) {
	entered, let = make(chan string, 100), make(chan struct{})
	h = server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) {
		entered <- string(req)
		<-let
		return req, nil
	})
	return h, entered, let
}

// begin calls Shutdown on a goroutine, and returns once the server refuses to
// serve, with the channel that the result will come on.
func begin(t *testing.T, s *server.Server, ctx context.Context) <-chan error {
	t.Helper()
	result := make(chan error, 1)
	go func() { result <- s.Shutdown(ctx) }()
	require.Eventually(t, func() bool {
		return s.Serve(memnet.Listen("probe")) == server.ErrServerClosed
	}, patience, time.Millisecond)
	return result
}

func TestShutdownAnswersWhatWasReceived(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		h, entered, let := gated()
		h.Concurrency = n
		s := &server.Server{Handler: h}
		addr := start(t, s)
		idle, silent, busy := dial(t, addr), dial(t, addr), dial(t, addr)
		idle.send("x")
		<-entered
		let <- struct{}{}
		idle.expect("x")
		busy.send("a", "b", "c")
		<-entered

		result := begin(t, s, context.Background())
		idle.expectEnd()
		silent.expectEnd()
		require.Eventually(t, func() bool {
			nc, err := net.Dial("tcp", addr)
			if err == nil {
				_ = nc.Close()
			}
			return err != nil
		}, patience, time.Millisecond)
		require.Empty(t, result, "a request is in progress")
		close(let)
		busy.expect("a", "b", "c")
		busy.expectEnd()
		require.NoError(t, busy.Close())
		require.NoError(t, <-result)
	})
}

func TestShutdownWaitsForARequestHalfReceived(t *testing.T) {
	s := &server.Server{Handler: echo()}
	c := dial(t, start(t, s))
	_, err := c.Write([]byte("\x00\x05he"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return s.Stat().Active == 1 }, patience, time.Millisecond)
	result := begin(t, s, context.Background())
	_, err = c.Write([]byte("llo"))
	require.NoError(t, err)
	c.expect("hello")
	c.expectEnd()
	require.NoError(t, c.Close())
	require.NoError(t, <-result)
}

func TestShutdownWaitsForARequestHalfReceivedBehindAnother(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		const second = "\x00\x05hello"
		for _, arrived := range []int{1, 2, 4, len(second) - 1} {
			h, entered, let := gated()
			h.Concurrency = n
			s := &server.Server{Handler: h}
			c := dial(t, start(t, s))
			_, err := c.Write([]byte("\x00\x01a" + second[:arrived]))
			require.NoError(t, err)
			<-entered
			result := begin(t, s, context.Background())
			close(let)
			c.expect("a")
			_, err = c.Write([]byte(second[arrived:]))
			require.NoError(t, err)
			c.expect("hello")
			c.expectEnd()
			require.NoError(t, c.Close())
			require.NoError(t, <-result)
		}
	})
}

// So does one that is larger than the read buffer, of which more has arrived than fits.
func TestShutdownWaitsForALargeRequestHalfReceived(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		const size, half = 1 << 20, 1 << 19
		format := framing.Format{HeaderSize: 4}
		h := server.Frames(format, func(_ context.Context, req []byte) ([]byte, error) { return req, nil })
		h.Concurrency = n
		s := &server.Server{Handler: h}
		c := dial(t, start(t, s))
		wire, err := format.Append(nil, make([]byte, size))
		require.NoError(t, err)
		_, err = c.Write(wire[:half])
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			read := uint64(0)
			for st := range s.Conns() {
				read += st.BytesRead
			}
			return read == half
		}, patience, time.Millisecond)
		result := begin(t, s, context.Background())
		go func() { _, _ = c.Write(wire[half:]) }()
		got := make([]byte, 4+size)
		_, err = io.ReadFull(c, got)
		require.NoError(t, err)
		c.expectEnd()
		require.NoError(t, c.Close())
		require.NoError(t, <-result)
	})
}

// lateListener accepts nothing until it is let.
type lateListener struct {
	*net.TCPListener
	let chan struct{}
}

func (l *lateListener) Accept() (net.Conn, error) {
	<-l.let
	return l.TCPListener.Accept()
}

func TestShutdownServesTheBacklog(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	late := &lateListener{l.(*net.TCPListener), make(chan struct{})}
	s := &server.Server{Handler: echo()}
	served := make(chan error, 1)
	go func() { served <- s.Serve(late) }()
	var asked []*client
	for range 20 {
		c := dial(t, l.Addr().String())
		c.send("early")
		asked = append(asked, c)
	}
	silent := dial(t, l.Addr().String())
	require.Eventually(t, func() bool { return s.Stat().Listeners == 1 }, patience, time.Millisecond)
	result := begin(t, s, context.Background())
	close(late.let)
	for _, c := range asked {
		c.expect("early")
		c.expectEnd()
		require.NoError(t, c.Close())
	}
	silent.expectEnd()
	require.NoError(t, silent.Close())
	require.NoError(t, <-result)
	require.ErrorIs(t, <-served, server.ErrServerClosed)
}

func TestShutdownGivesUpWhenItsContextEnds(t *testing.T) {
	h, entered, let := gated()
	s := &server.Server{Handler: h}
	c := dial(t, start(t, s))
	c.send("a")
	<-entered
	ctx, cancel := context.WithCancel(context.Background())
	result := begin(t, s, ctx)
	cancel()
	require.ErrorIs(t, <-result, context.Canceled)
	_, err := c.Read(make([]byte, 1))
	require.Error(t, err, "the connection was closed")
	require.Equal(t, 1, s.Stat().Handlers)
	close(let)
	shutdown(t, s) // waits for the handler
	require.Zero(t, s.Stat().Handlers)
}

func TestShutdownTwiceAndCloseMeanwhile(t *testing.T) {
	h, entered, let := gated()
	s := &server.Server{Handler: h}
	c := dial(t, start(t, s))
	c.send("a")
	<-entered
	one, two := begin(t, s, context.Background()), begin(t, s, context.Background())
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	_, err := c.Read(make([]byte, 1))
	require.Error(t, err)
	require.Empty(t, one)
	require.Empty(t, two)
	close(let)
	require.ErrorIs(t, <-one, server.ErrServerClosed)
	if err := <-two; err != nil { // nil if its goroutine came to it only after Close
		require.ErrorIs(t, err, server.ErrServerClosed)
	}
	shutdown(t, s)
}

func TestShutdownOfAServerThatNeverServed(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s := &server.Server{}
	require.NoError(t, s.Shutdown(ctx), "nothing is left, whatever ctx says")
	require.NoError(t, s.Close())
}

// skipWithoutCloseRead leaves out what cannot be had on Windows: there CloseRead wakes
// nobody and loses what is unread, so the server sets a deadline.
func skipWithoutCloseRead(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("on Windows a handler's reads time out when Shutdown begins, and find no end")
	}
}

func TestShutdownEndsTheStreamOfARawHandler(t *testing.T) {
	skipWithoutCloseRead(t)
	requests := make(chan string, 10)
	let := make(chan struct{})
	s := &server.Server{Handler: server.HandlerFunc(func(_ context.Context, c *conn.Conn) {
		for {
			line, err := c.ReadUntil(nil, []byte("\n"), 0)
			if err != nil {
				requests <- err.Error()
				return
			}
			requests <- string(line)
			<-let
			_, _ = c.Write(line)
		}
	})}
	addr := start(t, s)
	silent, busy := dial(t, addr), dial(t, addr)
	_, err := busy.Write([]byte("a\nb\n"))
	require.NoError(t, err)
	require.Equal(t, "a\n", <-requests)
	require.Eventually(t, func() bool { return s.Stat().Active == 2 }, patience, time.Millisecond)
	result := begin(t, s, context.Background())
	silent.expectEnd()
	require.Equal(t, "EOF", <-requests)
	close(let)
	got, err := io.ReadAll(busy)
	require.NoError(t, err)
	require.Equal(t, "a\nb\n", string(got))
	require.NoError(t, <-result)
}

func TestDrainingTellsAHandlerThatOnlySends(t *testing.T) {
	s := &server.Server{Handler: server.HandlerFunc(func(ctx context.Context, c *conn.Conn) {
		_, _ = c.Write([]byte("x"))
		<-server.Draining(ctx)
		if ctx.Err() == nil {
			_, _ = c.Write([]byte("y"))
		}
	})}
	c := dial(t, start(t, s))
	_, err := io.ReadFull(c, make([]byte, 1))
	require.NoError(t, err)
	shutdown(t, s)
	got, err := io.ReadAll(c)
	require.NoError(t, err)
	require.Equal(t, "y", string(got))
	require.Nil(t, server.Draining(context.Background()))
}

func TestShutdownWithoutHalfClose(t *testing.T) {
	// A transport with no CloseRead: the raw handler is waited for until ctx ends.
	l := memnet.Listen("server")
	s := &server.Server{Handler: server.HandlerFunc(func(_ context.Context, c *conn.Conn) {
		_, _ = c.Read(make([]byte, 1))
	})}
	startOn(t, s, l)
	nc, err := l.Dial(context.Background())
	require.NoError(t, err)
	defer nc.Close()
	require.Eventually(t, func() bool { return s.Stat().Active == 1 }, patience, time.Millisecond)
	ctx, cancel := context.WithCancel(context.Background())
	result := begin(t, s, ctx)
	require.Equal(t, 1, s.Stat().Open)
	cancel()
	require.ErrorIs(t, <-result, context.Canceled)
}
