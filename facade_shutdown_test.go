package gtcp_test

import (
	"context"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
)

// visit connects, sends two bytes, reads them back and closes.
func visit(t *testing.T, addr string) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Write([]byte("hi"))
	require.NoError(t, err)
	_, err = io.ReadFull(c, make([]byte, 2))
	require.NoError(t, err)
}

// answerAndReturn leaves its connection open.
func answerAndReturn(c *gtcp.Conn) {
	if data, err := c.Recv(2); err == nil {
		_ = c.Send(data)
	}
}

// opens waits, collecting garbage, until the server has n open connections.
func opens(t *testing.T, s *gtcp.Server, n int) {
	t.Helper()
	within(t, func() {
		for s.Stat().Open != n {
			runtime.GC()
			time.Sleep(time.Millisecond)
		}
	})
}

func TestHandlerReturnsWithoutClose(t *testing.T) {
	s := gtcp.NewServer("127.0.0.1:0", answerAndReturn)
	addr := run(t, s)
	for range 100 {
		visit(t, addr)
	}
	opens(t, s, 0)
	require.EqualValues(t, 100, s.Stat().Accepted)
}

// A connection is left alone while anything of its Conn is in use.
func TestConnectionLeftOpenAndInUse(t *testing.T) {
	var mu sync.Mutex
	var kept []any
	keep := func(v any) {
		mu.Lock()
		defer mu.Unlock()
		kept = append(kept, v)
	}
	for name, handler := range map[string]func(c *gtcp.Conn){
		"by a goroutine that reads": func(c *gtcp.Conn) {
			go func() {
				for {
					data, err := c.Recv(2)
					if err != nil || c.Send(data) != nil {
						_ = c.Close()
						return
					}
				}
			}()
		},
		"by its net.Conn": func(c *gtcp.Conn) {
			nc := c.Conn
			go func() {
				_, _ = io.Copy(nc, nc)
				_ = nc.Close()
			}()
		},
		"by a Conn of the Conn": func(c *gtcp.Conn) {
			other := gtcp.NewConnByNetConn(c)
			go func() {
				_, _ = io.Copy(other, other)
				_ = other.Close()
			}()
		},
		"by its socket": func(c *gtcp.Conn) {
			nc := c.NetConn()
			go func() {
				_, _ = io.Copy(nc, nc)
				_ = nc.Close()
			}()
		},
		"kept in a list": func(c *gtcp.Conn) { answerAndReturn(c); keep(c) },
	} {
		t.Run(name, func(t *testing.T) {
			s := gtcp.NewServer("127.0.0.1:0", handler)
			c, err := gtcp.NewConn(run(t, s))
			require.NoError(t, err)
			defer c.Close()
			got, err := c.SendRecv([]byte("hi"), 2)
			require.NoError(t, err)
			require.Equal(t, "hi", string(got))
			for range 5 {
				runtime.GC()
				time.Sleep(5 * time.Millisecond)
			}
			require.Equal(t, 1, s.Stat().Open)
			if name != "kept in a list" {
				got, err = c.SendRecv([]byte("ho"), 2)
				require.NoError(t, err)
				require.Equal(t, "ho", string(got))
			}
		})
	}
	mu.Lock()
	defer mu.Unlock()
	require.Len(t, kept, 1)
}

// What nobody refers to any more does not keep Shutdown from its end.
func TestShutdownAfterHandlersReturned(t *testing.T) {
	s := gtcp.NewServer("127.0.0.1:0", answerAndReturn)
	addr := run(t, s)
	for range 3 {
		visit(t, addr)
	}
	within(t, func() { require.NoError(t, s.Shutdown(context.Background())) })
	require.Zero(t, s.Stat().Open)
}

func TestShutdownSaysWhatIsOpen(t *testing.T) {
	kept := make(chan *gtcp.Conn, 10)
	release := make(chan struct{})
	s := gtcp.NewServer("127.0.0.1:0", func(c *gtcp.Conn) {
		answerAndReturn(c)
		if len(kept) == 6 {
			<-release
			_ = c.Close()
			return
		}
		kept <- c
	})
	addr := run(t, s)
	var peers []string
	for range 7 {
		c, err := gtcp.NewConn(addr)
		require.NoError(t, err)
		defer c.Close()
		_, err = c.SendRecv([]byte("hi"), 2)
		require.NoError(t, err)
		peers = append(peers, c.LocalAddr().String())
		within(t, func() {
			for len(kept) < min(len(peers), 6) {
				time.Sleep(time.Millisecond)
			}
		})
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	err := s.Shutdown(ctx)
	close(release)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "shutdown: open connections: 7; left open by handlers that have returned: 6 (127.0.0.1:")
	require.ErrorContains(t, err, ", …)")
	require.NotContains(t, err.Error(), peers[6])
	within(t, func() { require.NoError(t, s.Shutdown(context.Background())) })
	require.Zero(t, s.Stat().Open)
	runtime.KeepAlive(kept)
}

func TestStatBeforeRun(t *testing.T) {
	require.Zero(t, gtcp.NewServer("127.0.0.1:0", answerAndReturn).Stat())
}

// A named server that was closed can be run again, as a new one.
func TestNamedServerRunsAgain(t *testing.T) {
	const addr = "127.0.0.1:0"
	name := t.Name()
	first := gtcp.GetServer(name)
	first.SetAddress(addr)
	first.SetHandler(serveEcho)
	for range 3 {
		s := gtcp.GetServer(name)
		require.Equal(t, addr, s.GetAddress(), "address and handler are those of the one before")
		done := make(chan error, 1)
		go func() { done <- s.Run() }()
		within(t, func() {
			for s.GetListenedPort() < 0 {
				time.Sleep(time.Millisecond)
			}
		})
		require.Same(t, s, gtcp.GetServer(name), "the one that runs")
		got, err := gtcp.SendRecv(s.GetListenedAddress(), []byte("hello"), 5)
		require.NoError(t, err)
		require.Equal(t, "hello", string(got))
		require.NoError(t, gtcp.GetServer(name).Close())
		within(t, func() { require.ErrorIs(t, <-done, net.ErrClosed) })
		require.ErrorIs(t, s.Run(), net.ErrClosed, "a Close is remembered by the one that was closed")
	}
}
