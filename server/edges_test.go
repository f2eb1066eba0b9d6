package server_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/server"
)

// Small promises that a small mistake would break without another test to notice.

// failingListener fails when it is closed.
type failingListener struct {
	net.Listener
	err error
}

func (l failingListener) Close() error { return errors.Join(l.err, l.Listener.Close()) }

func TestCloseReturnsTheListenersError(t *testing.T) {
	broken := errors.New("broken")
	for name, tc := range map[string]struct {
		fails []error // of each listener
		want  error
	}{
		"one":                     {[]error{broken}, broken},
		"one of many":             {[]error{nil, nil, nil, nil, broken, nil, nil, nil, nil}, broken},
		"closed by somebody else": {[]error{net.ErrClosed, nil}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := &server.Server{Handler: echo()}
			served := make(chan error, len(tc.fails))
			for _, fails := range tc.fails {
				l := memnet.Listen("server")
				go func() { served <- s.Serve(failingListener{l, fails}) }()
				nc, err := l.Dial(t.Context()) // so that it is known to the server
				require.NoError(t, err)
				defer nc.Close()
				exchangeOne(t, nc)
			}
			require.ErrorIs(t, s.Close(), tc.want)
			for range tc.fails {
				require.ErrorIs(t, <-served, server.ErrServerClosed)
			}
			require.NoError(t, s.Close(), "there is no listener left")
			require.NoError(t, s.Shutdown(t.Context()))
		})
	}
}

// Shutdown of a server whose connections have all ended does not wait for its watch.
func TestShutdownBehindTheLastConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server.Server{Handler: echo()}
		nc, err := newMemServer(t, s).Dial(t.Context())
		require.NoError(t, err)
		exchangeOne(t, nc)
		synctest.Wait()
		require.NoError(t, nc.Close())
		synctest.Wait()
		began := time.Now()
		require.NoError(t, s.Shutdown(t.Context()))
		require.Zero(t, time.Since(began))
	})
}

// The end of the last connection ends a Shutdown that waits for it.
func TestShutdownEndsWithTheLastConnection(t *testing.T) {
	h := server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) {
		time.Sleep(time.Second)
		return req, nil
	})
	inBubble(t, h, func(t *testing.T, s *server.Server, nc net.Conn) {
		_, err := nc.Write([]byte("\x00\x01a"))
		require.NoError(t, err)
		synctest.Wait()
		result := make(chan error, 1)
		go func() { result <- s.Shutdown(context.Background()) }()
		got, err := io.ReadAll(nc)
		require.NoError(t, err)
		require.Equal(t, "\x00\x01a", string(got))
		began := time.Now()
		require.NoError(t, nc.Close())
		require.NoError(t, <-result)
		require.Zero(t, time.Since(began))
	})
}

// straggler is a listener that accepts one more connection when the server has closed
// it.
type straggler struct {
	net.Listener
	conns chan net.Conn
}

func (l straggler) Accept() (net.Conn, error) {
	if nc, ok := <-l.conns; ok {
		return nc, nil
	}
	return nil, net.ErrClosed
}

func TestConnectionAcceptedAfterClose(t *testing.T) {
	l := straggler{memnet.Listen("server"), make(chan net.Conn)}
	s := &server.Server{Handler: server.HandlerFunc(func(context.Context, *conn.Conn) { t.Error("it is served") })}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	require.Eventually(t, func() bool { return s.Stat().Listeners == 1 }, patience, time.Millisecond)
	require.NoError(t, s.Close())
	near, far := memnet.Pipe()
	l.conns <- far
	close(l.conns)
	require.ErrorIs(t, <-served, server.ErrServerClosed)
	_, err := near.Read(make([]byte, 1))
	require.Error(t, err)
	require.NoError(t, near.Close())
	shutdown(t, s)
	require.Zero(t, s.Stat().Handlers)
}

// A Close that finds no connection to cut takes nothing from a Shutdown.
func TestShutdownAndACloseThatCutsNothing(t *testing.T) {
	closed, end := make(chan struct{}), make(chan struct{})
	s := &server.Server{Handler: server.HandlerFunc(func(_ context.Context, c *conn.Conn) {
		_ = c.Close()
		close(closed)
		<-end
	})}
	addr := start(t, s)
	nc, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer nc.Close()
	<-closed
	require.Eventually(t, func() bool { return s.Stat().Open == 0 }, patience, time.Millisecond)
	result := begin(t, s, context.Background())
	require.NoError(t, s.Close())
	close(end)
	require.NoError(t, <-result)
}

// deaf sends n empty requests and reads nothing.
func deaf(t *testing.T, nc net.Conn, n int) {
	t.Helper()
	_, err := nc.Write(make([]byte, 2*n))
	require.NoError(t, err)
}

// A peer that does not read is given up after one WriteTimeout, in each mode: what
// is left is not tried again, and the goroutine that reads, which may wait for a
// reply to leave, is woken.
func TestPeerThatDoesNotReadIsGivenUpAfterOneWriteTimeout(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		for _, size := range []int{100, 60000} { // collected, and written alone
			h := server.Frames(framing.Format{}, func(context.Context, []byte) ([]byte, error) { return make([]byte, size), nil })
			h.Concurrency, h.WriteTimeout, h.IdleTimeout, h.ReadTimeout = n, time.Second, -1, -1
			inBubble(t, h, func(t *testing.T, s *server.Server, nc net.Conn) {
				began := time.Now()
				deaf(t, nc, 5000)
				synctest.Wait()
				for s.Stat().Handlers > 0 && time.Since(began) < time.Hour {
					time.Sleep(10 * time.Millisecond)
				}
				require.Zero(t, s.Stat().Handlers, "it hangs")
				require.GreaterOrEqual(t, time.Since(began), time.Second)
				require.Less(t, time.Since(began), 1500*time.Millisecond)
				require.EqualValues(t, 1, s.Stat().WriteTimeouts)
			})
		}
	})
}

// Over TLS a goodbye that cannot be written would take five seconds more.
func TestTLSPeerThatDoesNotReadIsGivenUpAfterOneWriteTimeout(t *testing.T) {
	srv, cli := certificates(t)
	eachMode(t, func(t *testing.T, n int) {
		synctest.Test(t, func(t *testing.T) {
			h := server.Frames(framing.Format{}, func(context.Context, []byte) ([]byte, error) { return make([]byte, 60000), nil })
			h.Concurrency, h.WriteTimeout = n, time.Second
			s := &server.Server{Handler: h, Logger: (&logbook{}).logger()}
			l := memnet.Listen("server")
			served := make(chan error, 1)
			go func() { served <- s.Serve(tls.NewListener(l, srv)) }()
			nc, err := l.Dial(t.Context())
			require.NoError(t, err)
			c := tls.Client(nc, cli)
			require.NoError(t, c.Handshake())
			began := time.Now()
			deaf(t, c, 100)
			synctest.Wait()
			for s.Stat().Handlers > 0 && time.Since(began) < time.Hour {
				time.Sleep(10 * time.Millisecond)
			}
			require.Less(t, time.Since(began), 1500*time.Millisecond)
			require.NoError(t, nc.Close())
			require.NoError(t, s.Close())
			require.ErrorIs(t, <-served, server.ErrServerClosed)
			require.NoError(t, s.Shutdown(context.Background()))
		})
	})
}

// While the peer is silent between two requests, nothing counts as a request in
// progress, and the figures are whole.
func TestStatBetweenTwoRequests(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		h := echo()
		h.Concurrency = n
		inBubble(t, h, func(t *testing.T, s *server.Server, nc net.Conn) {
			for i := range 3 {
				exchangeOne(t, nc)
				synctest.Wait()
				st := s.Stat()
				require.EqualValues(t, i+1, st.Requests)
				require.Equal(t, []any{1, 1, 0}, []any{int(st.Open), int(st.Idle), int(st.Active)})
			}
		})
	})
}

// A handler that fails ends its connection with what was answered before it, whole,
// while the peer goes on sending.
func TestFailedHandlerLosesNoReplyBeforeIt(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		h := server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) {
			if string(req) == "fail" {
				return nil, errors.New("failed")
			}
			return req, nil
		})
		h.Concurrency = n
		c := dial(t, start(t, &server.Server{Handler: h, Logger: (&logbook{}).logger()}))
		c.send("a", "b", "fail", "c", "d")
		c.expect("a", "b")
		_, err := c.r.Next()
		require.ErrorIs(t, err, io.EOF)
	})
}

// One byte of a request that has arrived is a request, for a drain and for the end
// of the idle time alike.
func TestOneByteOfARequestIsWaitedFor(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		for _, first := range []bool{true, false} {
			h := echo()
			h.Concurrency, h.IdleTimeout, h.ReadTimeout = n, time.Second, time.Minute
			inBubble(t, h, func(t *testing.T, s *server.Server, nc net.Conn) {
				if !first {
					exchangeOne(t, nc)
				}
				synctest.Wait()
				_, err := nc.Write([]byte{0})
				require.NoError(t, err)
				result := begin(t, s, context.Background())
				time.Sleep(5 * time.Second) // longer than it idles or lingers
				_, err = nc.Write([]byte("\x02hi"))
				require.NoError(t, err)
				got := make([]byte, 4)
				_, err = io.ReadFull(nc, got)
				require.NoError(t, err)
				require.Equal(t, "\x00\x02hi", string(got))
				require.NoError(t, nc.Close())
				require.NoError(t, <-result)
			})
		}
	})
}

// That a peer has gone is heard soon also where no timeout makes the server look.
func TestContextEndsSoonWhereTimeoutsAreLong(t *testing.T) { contextEndsSoon(t, 24*time.Hour) }

// And where a timeout makes it look more often than it asks for peers.
func TestContextEndsSoonWhereTimeoutsAreShort(t *testing.T) { contextEndsSoon(t, 500*time.Millisecond) }

func contextEndsSoon(t *testing.T, timeout time.Duration) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere only a read tells that a peer has gone")
	}
	eachMode(t, func(t *testing.T, n int) {
		entered, ended := make(chan struct{}), make(chan struct{})
		h := server.Frames(framing.Format{}, func(ctx context.Context, req []byte) ([]byte, error) {
			if string(req) == "wait" {
				close(entered)
				<-ctx.Done()
				close(ended)
			}
			return req, nil
		})
		h.Concurrency = n
		h.IdleTimeout, h.ReadTimeout, h.WriteTimeout = 24*time.Hour, 24*time.Hour, timeout
		s := &server.Server{Handler: h}
		c := dial(t, start(t, s))
		c.send("quick")
		c.expect("quick")
		require.Eventually(t, func() bool { return s.Stat().Idle == 1 }, patience, time.Millisecond)
		c.send("wait", strings.Repeat("x", 60000), "y")
		<-entered
		require.NoError(t, c.Close())
		select {
		case <-ended:
		case <-time.After(patience):
			t.Fatal("the handler works on for nobody")
		}
	})
}
