package server_test

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/server"
)

func TestFramesAreEchoed(t *testing.T) {
	c := dial(t, start(t, &server.Server{Handler: echo()}))
	c.send("one")
	c.expect("one")
	c.send("two", "", "three")
	c.expect("two", "", "three")
}

func TestListenAndServe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s := &server.Server{Handler: echo()}
	served := make(chan error, 1)
	go func() { served <- s.ListenAndServe("unix", path) }()
	var nc net.Conn
	require.Eventually(t, func() (ok bool) {
		var err error
		nc, err = net.Dial("unix", path)
		return err == nil
	}, patience, 1e6)
	c := newClient(t, nc)
	c.send("over unix")
	c.expect("over unix")
	shutdown(t, s)
	require.ErrorIs(t, <-served, server.ErrServerClosed)
	require.ErrorIs(t, s.ListenAndServe("unix", path), net.ErrClosed)
}

func TestListenAndServeNamesTheAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	s := &server.Server{Handler: echo()}
	require.ErrorContains(t, s.ListenAndServe("tcp", l.Addr().String()), l.Addr().String())
	require.ErrorContains(t, s.ListenAndServe("tcp", "no such address"), "no such address")
}

func TestSeveralListeners(t *testing.T) {
	s := &server.Server{Handler: echo()}
	a, b := dial(t, start(t, s)), dial(t, start(t, s))
	a.send("a")
	b.send("b")
	a.expect("a")
	b.expect("b")
	require.Equal(t, 2, s.Stat().Listeners)
	shutdown(t, s)
	a.expectEnd()
	b.expectEnd()
	require.Zero(t, s.Stat().Listeners)
	require.EqualValues(t, 2, s.Stat().Requests, "those of ended connections count")
}

func TestServeAfterTheEnd(t *testing.T) {
	for name, stop := range map[string]func(*server.Server) error{
		"Close":    (*server.Server).Close,
		"Shutdown": func(s *server.Server) error { return s.Shutdown(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			s := &server.Server{Handler: echo()}
			require.NoError(t, stop(s))
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			err = s.Serve(l)
			require.ErrorIs(t, err, server.ErrServerClosed)
			require.ErrorIs(t, err, net.ErrClosed)
			_, err = l.Accept()
			require.ErrorIs(t, err, net.ErrClosed, "Serve closes its listener")
		})
	}
}

func TestHandlerReturnCloses(t *testing.T) {
	s := &server.Server{Handler: server.HandlerFunc(func(_ context.Context, c *conn.Conn) {
		_, _ = c.Write([]byte("bye"))
	})}
	c := dial(t, start(t, s))
	got, err := io.ReadAll(c)
	require.NoError(t, err)
	require.Equal(t, "bye", string(got))
}

func TestKeepOpen(t *testing.T) {
	handed := make(chan *conn.Conn, 1)
	ended := make(chan context.Context, 1)
	s := &server.Server{KeepOpen: true, Handler: server.HandlerFunc(func(ctx context.Context, c *conn.Conn) {
		handed <- c
		ended <- ctx
	})}
	c := dial(t, start(t, s))
	kept, ctx := <-handed, <-ended
	require.Eventually(t, func() bool { return s.Stat().Idle == 1 }, patience, 1e6)
	require.NoError(t, ctx.Err(), "the handler has returned, the connection is open")

	_, err := kept.Write([]byte("still here"))
	require.NoError(t, err)
	buf := make([]byte, 10)
	_, err = io.ReadFull(c, buf)
	require.NoError(t, err)
	require.Equal(t, "still here", string(buf))

	require.NoError(t, s.Close())
	require.ErrorIs(t, ctx.Err(), context.Canceled)
	_, err = kept.Write([]byte("x"))
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = c.Read(buf)
	require.Error(t, err)
	require.False(t, errors.Is(err, context.DeadlineExceeded))
}
