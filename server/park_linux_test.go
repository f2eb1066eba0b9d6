package server_test

import (
	"context"
	"crypto/tls"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/server"
)

// parking makes a handler that parks connections as soon as it can, and lets none
// sleep.
func parking(h *server.FrameHandler) *server.FrameHandler {
	h.ParkAfter, h.SleepAfter = time.Millisecond, -1
	return h
}

// sleeping is parking, and lets them sleep as soon as they can.
func sleeping(h *server.FrameHandler) *server.FrameHandler {
	h.ParkAfter, h.SleepAfter = time.Millisecond, time.Millisecond
	return h
}

// waitParked waits until n connections are parked, and sleep where they are to.
func waitParked(t *testing.T, s *server.Server, n int) {
	t.Helper()
	h, _ := s.Handler.(*server.FrameHandler)
	sleeps := canSleep && h != nil && h.SleepAfter > 0
	require.Eventually(t, func() bool {
		st := s.Stat()
		return st.Parked == n && (!sleeps || st.Sleeping == n)
	}, patience, time.Millisecond)
}

// eachSocket runs f over the kinds of connections that park, and those that sleep.
func eachSocket(t *testing.T, f func(t *testing.T, s *server.Server, dial func() *client)) {
	serve := func(t *testing.T, s *server.Server, network string) string {
		addr := "127.0.0.1:0"
		if network == "unix" {
			addr = t.TempDir() + "/s"
		}
		l, err := net.Listen(network, addr)
		require.NoError(t, err)
		startOn(t, s, l)
		return l.Addr().String()
	}
	for name, kind := range map[string]struct {
		network string
		handler func(h *server.FrameHandler) *server.FrameHandler
	}{
		"tcp": {"tcp", parking}, "tcp asleep": {"tcp", sleeping},
		"unix": {"unix", parking}, "unix asleep": {"unix", sleeping},
	} {
		t.Run(name, func(t *testing.T) {
			network := kind.network
			s := &server.Server{Handler: kind.handler(echo())}
			addr := ""
			f(t, s, func() *client {
				if addr == "" {
					addr = serve(t, s, network)
				}
				nc, err := net.Dial(network, addr)
				require.NoError(t, err)
				return newClient(t, nc)
			})
		})
	}
	t.Run("tls", func(t *testing.T) {
		srv, cli := certificates(t)
		s := &server.Server{Handler: parking(echo()), TLSConfig: srv}
		addr := ""
		f(t, s, func() *client {
			if addr == "" {
				addr = serve(t, s, "tcp")
			}
			nc, err := tls.Dial("tcp", addr, cli)
			require.NoError(t, err)
			return newClient(t, nc)
		})
	})
}

// A parked connection is served as any other, as often as it parks.
func TestParkedConnectionIsServed(t *testing.T) {
	eachSocket(t, func(t *testing.T, s *server.Server, dial func() *client) {
		c, other := dial(), dial()
		for range 5 {
			waitParked(t, s, 2)
			require.Equal(t, 2, s.Stat().Idle)
			c.send("one", "two")
			c.expect("one", "two")
			other.send("three")
			other.expect("three")
		}
		waitParked(t, s, 2)
		require.EqualValues(t, 15, s.Stat().Requests)
		for st := range s.Conns() {
			require.Equal(t, server.StateIdle, st.State)
			require.Zero(t, st.InProgress)
			require.False(t, st.IdleSince.IsZero())
		}
	})
}

// A request that arrives in parts at a parked connection is put together.
func TestParkedConnectionGetsARequestInParts(t *testing.T) {
	eachSocket(t, func(t *testing.T, s *server.Server, dial func() *client) {
		c := dial()
		waitParked(t, s, 1)
		for _, b := range []byte("\x00\x03on") {
			_, err := c.Write([]byte{b})
			require.NoError(t, err)
			require.Eventually(t, func() bool { return s.Stat().Parked == 0 }, patience, time.Millisecond)
		}
		_, err := c.Write([]byte("e")) // then it may park again at once
		require.NoError(t, err)
		c.expect("one")
	})
}

// The end of its peer ends a parked connection, and its context.
func TestPeerOfAParkedConnectionGoes(t *testing.T) {
	eachSocket(t, func(t *testing.T, s *server.Server, dial func() *client) {
		ctxs := make(chan context.Context, 1)
		s.ConnContext = func(ctx context.Context, _ *conn.Conn) context.Context {
			ctxs <- ctx
			return ctx
		}
		for name, end := range map[string]func(c *client){
			"close": func(c *client) { _ = c.Close() },
			"half-close": func(c *client) {
				require.NoError(t, c.Conn.(interface{ CloseWrite() error }).CloseWrite())
				c.expectEnd()
			},
			"reset": func(c *client) {
				if tc, ok := c.Conn.(*net.TCPConn); ok {
					require.NoError(t, tc.SetLinger(0))
				}
				_ = c.Close()
			},
		} {
			c := dial()
			ctx := <-ctxs
			waitParked(t, s, 1)
			require.NoError(t, ctx.Err(), name)
			end(c)
			<-ctx.Done()
			require.Eventually(t, func() bool { return s.Stat().Handlers == 0 }, patience, time.Millisecond, name)
		}
	})
}

func TestShutdownWithParkedConnections(t *testing.T) {
	eachSocket(t, func(t *testing.T, s *server.Server, dial func() *client) {
		s.Handler.(*server.FrameHandler).Goodbye = []byte("bye")
		var clients []*client
		for range 20 {
			clients = append(clients, dial())
		}
		waitParked(t, s, 20)
		clients[0].send("last") // it arrived before Shutdown
		clients[0].expect("last")
		waitParked(t, s, 20)
		ended := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			ended <- s.Shutdown(ctx)
		}()
		for _, c := range clients {
			c.expect("bye")
			c.expectEnd()
			_ = c.Close()
		}
		require.NoError(t, <-ended)
	})
}

func TestCloseWithParkedConnections(t *testing.T) {
	eachSocket(t, func(t *testing.T, s *server.Server, dial func() *client) {
		c := dial()
		waitParked(t, s, 1)
		require.NoError(t, s.Close())
		shutdown(t, s)
		_, err := c.Read(make([]byte, 1))
		require.Error(t, err)
		require.Zero(t, s.Stat().Handlers)
	})
}

// Whoever holds a parked connection may close it.
func TestParkedConnectionIsClosedHere(t *testing.T) {
	eachSocket(t, func(t *testing.T, s *server.Server, dial func() *client) {
		var last atomic.Pointer[conn.Conn]
		s.ConnContext = func(ctx context.Context, c *conn.Conn) context.Context {
			last.Store(c)
			return ctx
		}
		c := dial()
		waitParked(t, s, 1)
		require.NoError(t, last.Load().Close())
		_, err := c.Read(make([]byte, 1))
		require.Error(t, err)
		require.Eventually(t, func() bool { return s.Stat().Handlers == 0 }, patience, time.Millisecond)
	})
}

func TestIdleTimeoutOfAParkedConnection(t *testing.T) {
	eachSocket(t, func(t *testing.T, s *server.Server, dial func() *client) {
		s.Handler.(*server.FrameHandler).IdleTimeout = time.Second // longer than to park takes
		c := dial()
		waitParked(t, s, 1)
		c.expectEnd()
		require.EqualValues(t, 1, s.Stat().IdleTimeouts)
	})
}

// A frame can be sent to a parked connection, which stays parked.
func TestSendToAParkedConnection(t *testing.T) {
	eachSocket(t, func(t *testing.T, s *server.Server, dial func() *client) {
		ctxs := make(chan context.Context, 1)
		s.Handler.(*server.FrameHandler).Handle = func(ctx context.Context, req []byte) ([]byte, error) {
			ctxs <- ctx
			return req, ctx.Err()
		}
		c := dial()
		c.send("x")
		c.expect("x")
		waitParked(t, s, 1)
		ctx := <-ctxs
		for range 3 {
			require.NoError(t, server.Send(ctx, []byte("push")))
			c.expect("push")
			require.Equal(t, 1, s.Stat().Parked)
			waitParked(t, s, 1)
		}
		c.send("y")
		c.expect("y")
	})
}

// The values of ConnContext and the states are those of a connection that never parks,
// also where a connection outlives its handler.
func TestContextAndStatesOfAParkedConnection(t *testing.T) {
	type key struct{}
	for _, keep := range []bool{false, true} {
		var states []server.State
		s := &server.Server{
			KeepOpen: keep,
			Handler: parking(server.Frames(framing.Format{}, func(ctx context.Context, _ []byte) ([]byte, error) {
				return []byte(ctx.Value(key{}).(string)), nil
			})),
			ConnContext: func(ctx context.Context, _ *conn.Conn) context.Context {
				return context.WithValue(ctx, key{}, "value")
			},
			ConnState: func(_ *conn.Conn, state server.State) { states = append(states, state) },
		}
		c := dial(t, start(t, s))
		for range 2 {
			waitParked(t, s, 1)
			c.send("x")
			c.expect("value")
		}
		waitParked(t, s, 1)
		require.NoError(t, c.Close())
		shutdown(t, s)
		require.Equal(t, []server.State{
			server.StateNew, server.StateIdle, server.StateActive, server.StateIdle,
			server.StateActive, server.StateIdle, server.StateClosed,
		}, states)
	}
}

func TestConcurrencyOnAParkedConnection(t *testing.T) {
	h := parking(echo())
	h.Concurrency = 4
	s := &server.Server{Handler: h}
	c := dial(t, start(t, s))
	for range 3 {
		c.send("a", "b", "c")
		c.expect("a", "b", "c")
		waitParked(t, s, 1)
	}
}

// A connection with a request in progress does not park, however long that takes.
func TestRequestInProgressDoesNotPark(t *testing.T) {
	for name, n := range map[string]int{"one": 1, "concurrent": 4} {
		t.Run(name, func(t *testing.T) {
			h, entered, let := gated()
			parking(h).Concurrency = n
			s := &server.Server{Handler: h}
			addr := start(t, s)
			c := dial(t, addr)
			c.send("slow")
			<-entered
			dial(t, addr)
			waitParked(t, s, 1) // the other one
			require.Equal(t, 1, s.Stat().Active)
			close(let)
			c.expect("slow")
			waitParked(t, s, 2)
		})
	}
}

func TestNegativeParkAfterParksNever(t *testing.T) {
	h := echo()
	h.ParkAfter, h.IdleTimeout = -1, 50*time.Millisecond
	s := &server.Server{Handler: h}
	c := dial(t, start(t, s))
	for end := time.Now().Add(40 * time.Millisecond); time.Now().Before(end); {
		require.Zero(t, s.Stat().Parked)
	}
	c.expectEnd()
}

// A connection whose goroutine is not the server's keeps it.
func TestHandlerAroundAFrameHandlerDoesNotPark(t *testing.T) {
	h := parking(echo())
	h.IdleTimeout = 50 * time.Millisecond
	returned := make(chan struct{})
	s := &server.Server{Handler: server.HandlerFunc(func(ctx context.Context, c *conn.Conn) {
		defer close(returned)
		h.ServeConn(ctx, c)
		require.Error(t, c.Err())
	})}
	c := dial(t, start(t, s))
	c.expectEnd()
	<-returned
}

// With the defaults, connections park that have had no request, one, or more.
func TestConnectionsParkByDefault(t *testing.T) {
	s := &server.Server{Handler: echo()}
	addr := start(t, s)
	for i := range 3 {
		c := dial(t, addr)
		for range i {
			c.send("x")
			c.expect("x")
		}
	}
	waitParked(t, s, 3)
}

// A handler that ends its goroutine ends its connection, also one that was parked.
func TestGoexitOnAParkedConnection(t *testing.T) {
	h := parking(server.Frames(framing.Format{}, func(context.Context, []byte) ([]byte, error) {
		runtime.Goexit()
		return nil, nil
	}))
	s := &server.Server{Handler: h}
	c := dial(t, start(t, s))
	waitParked(t, s, 1)
	c.send("x")
	c.expectEnd()
	require.NoError(t, c.Close())
	require.Eventually(t, func() bool { return s.Stat().Handlers == 0 }, patience, time.Millisecond)
}
