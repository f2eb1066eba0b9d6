package server_test

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/server"
)

// leave ends a connection in each way that a peer goes.
var leave = map[string]func(nc net.Conn) error{
	"close": net.Conn.Close,
	"reset": func(nc net.Conn) error {
		_ = nc.(*net.TCPConn).SetLinger(0)
		return nc.Close()
	},
}

func TestContextEndsWhenThePeerGoes(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere only a read tells that a peer has gone")
	}
	for how, f := range leave {
		t.Run(how, func(t *testing.T) {
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
				c := dial(t, start(t, &server.Server{Handler: h}))
				// What has been sent behind the request hides the end from a reader.
				c.send("wait", strings.Repeat("x", 60000), "y")
				<-entered
				require.NoError(t, f(c.Conn))
				select {
				case <-ended:
				case <-time.After(patience):
					t.Fatal("the handler works on for nobody")
				}
			})
		})
	}
}

// Where no socket can be asked, the reader of a connection with Concurrency tells.
func TestContextEndsWhenTheReaderSeesTheEnd(t *testing.T) {
	ended := make(chan struct{})
	h := server.Frames(framing.Format{}, func(ctx context.Context, req []byte) ([]byte, error) {
		<-ctx.Done()
		close(ended)
		return req, nil
	})
	h.Concurrency = 2
	l := newMemServer(t, &server.Server{Handler: h})
	nc, err := l.Dial(t.Context())
	require.NoError(t, err)
	_, err = nc.Write([]byte("\x00\x01a"))
	require.NoError(t, err)
	require.NoError(t, nc.(*memnet.Conn).CloseWrite())
	<-ended
	got, err := io.ReadAll(nc)
	require.NoError(t, err)
	require.Equal(t, "\x00\x01a", string(got))
}

// With HalfClose the end of the peer's stream is no reason to stop. A connection
// without it, whose peer ends its stream later, tells when the server has looked.
func TestHalfCloseKeepsTheContext(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere only a read tells that a peer has gone")
	}
	eachMode(t, func(t *testing.T, n int) {
		entered, let := make(chan context.Context), make(chan struct{})
		handle := func(ctx context.Context, req []byte) ([]byte, error) {
			entered <- ctx
			<-let
			return req, nil
		}
		strict := server.Frames(framing.Format{}, handle)
		lenient := &server.FrameHandler{Handle: handle, Concurrency: n, HalfClose: true}
		handlers := make(chan *server.FrameHandler, 3)
		addr := start(t, &server.Server{Handler: server.HandlerFunc(func(ctx context.Context, c *conn.Conn) {
			(<-handlers).ServeConn(ctx, c)
		})})
		handlers <- strict
		marker := dial(t, addr)
		marker.send("m")
		looked := <-entered
		handlers <- strict
		alive := dial(t, addr)
		alive.send("s")
		stays := <-entered
		handlers <- lenient
		c := dial(t, addr)
		c.send("a")
		ctx := <-entered
		require.NoError(t, c.Conn.(*net.TCPConn).CloseWrite())
		require.NoError(t, marker.Close())
		<-looked.Done()
		require.NoError(t, ctx.Err())
		require.NoError(t, stays.Err(), "its peer is there")
		close(let)
		c.expect("a")
		c.expectEnd()
		alive.expect("s")
	})
}

// Requests of a peer that has reset its connection, and that have not begun, are
// dropped.
func TestRequestsOfAPeerThatHasGoneAreDropped(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere only a read tells that a peer has gone")
	}
	var handled atomic.Int32
	eachMode(t, func(t *testing.T, n int) {
		handled.Store(0)
		entered := make(chan struct{}, 100)
		h := server.Frames(framing.Format{}, func(ctx context.Context, req []byte) ([]byte, error) {
			handled.Add(1)
			entered <- struct{}{}
			<-ctx.Done()
			return req, nil
		})
		h.Concurrency = n
		s := &server.Server{Handler: h}
		c := dial(t, start(t, s))
		c.send(strings.Split("abcdefghijklmnopqrstuvwxyz", "")...)
		for range max(n, 1) {
			<-entered
		}
		require.NoError(t, leave["reset"](c.Conn))
		require.Eventually(t, func() bool { return s.Stat().Handlers == 0 }, patience, time.Millisecond)
		require.EqualValues(t, max(n, 1), handled.Load())
	})
}

// The reply of a raw handler that returns reaches a client that had sent more.
func TestRawHandlerThatReturnsDestroysNoReply(t *testing.T) {
	reply := make([]byte, 300<<10)
	for name, panics := range map[string]bool{"returns": false, "panics": true} {
		t.Run(name, func(t *testing.T) {
			inner, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			l := tellingListener{inner, make(chan struct{}, 1)}
			startOn(t, &server.Server{Handler: server.HandlerFunc(func(_ context.Context, c *conn.Conn) {
				_, _ = c.ReadUntil(nil, []byte("\n"), 0)
				_, _ = c.Write(reply)
				if panics {
					panic("after the reply")
				}
			})}, l)
			c := dial(t, inner.Addr().String())
			_, err = c.Write([]byte("one\n"))
			require.NoError(t, err)
			<-l.ended
			_, err = c.Write([]byte("two\n"))
			require.NoError(t, err)
			got, err := io.ReadAll(c)
			require.NoError(t, err)
			require.Len(t, got, len(reply))
		})
	}
}

// A malformed request behind a good one does not cost the reply to it.
func TestMalformedRequestDestroysNoReply(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		testBadRequestDestroysNoReply(t, n, nil)
	})
}

// Nor does an oversize one that gets a reply, but has no end.
func TestOversizeWithoutEndDestroysNoReply(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		testBadRequestDestroysNoReply(t, n, func(context.Context, error) []byte { return make([]byte, 8) })
	})
}

func testBadRequestDestroysNoReply(t *testing.T, n int, errorReply func(context.Context, error) []byte) {
	reply := make([]byte, 300<<10)
	bad, want := strings.Repeat("\xff", 11), 3+len(reply)
	h := server.Frames(framing.Format{HeaderSize: framing.Varint, MaxSize: 1 << 20},
		func(context.Context, []byte) ([]byte, error) { return reply, nil })
	h.Concurrency = n
	if errorReply != nil {
		h.ErrorReply, h.Format.SkipOversize = errorReply, true
		bad, want = strings.Repeat("\xff", 9)+"\x01", want+1+8
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := tellingListener{inner, make(chan struct{}, 1)}
	startOn(t, &server.Server{Handler: h}, l)
	c := dial(t, inner.Addr().String())
	_, err = c.Write([]byte("\x01a" + bad))
	require.NoError(t, err)
	<-l.ended
	_, err = c.Write([]byte("more"))
	require.NoError(t, err)
	got, err := io.ReadAll(c)
	require.NoError(t, err)
	require.Len(t, got, want)
}

// A request that is cut off by a half-close is no reset: with HalfClose those before it
// go on.
func TestHalfCloseWithinARequestKeepsTheContext(t *testing.T) {
	for _, half := range []bool{true, false} {
		var contexts chan context.Context
		var let chan struct{}
		h := server.Frames(framing.Format{}, func(ctx context.Context, req []byte) ([]byte, error) {
			contexts <- ctx
			<-let
			return req, nil
		})
		h.Concurrency, h.HalfClose = 4, half
		inBubble(t, h, func(t *testing.T, _ *server.Server, nc net.Conn) {
			contexts, let = make(chan context.Context), make(chan struct{})
			_, err := nc.Write([]byte("\x00\x01a\x00\x05he"))
			require.NoError(t, err)
			ctx := <-contexts
			require.NoError(t, nc.(*memnet.Conn).CloseWrite())
			synctest.Wait()
			require.Equal(t, half, ctx.Err() == nil)
			close(let)
			got, err := io.ReadAll(nc)
			require.NoError(t, err)
			require.Equal(t, "\x00\x01a", string(got))
		})
	}
}

// The context of a handler that is no FrameHandler does not end with the peer's stream:
// it reads that end itself.
func TestContextOfARawHandlerOutlivesThePeersStream(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere only a read tells that a peer has gone")
	}
	contexts, let := make(chan context.Context), make(chan struct{})
	h := server.Frames(framing.Format{}, func(ctx context.Context, req []byte) ([]byte, error) {
		contexts <- ctx
		<-let
		return req, nil
	})
	first := make(chan bool, 2)
	addr := start(t, &server.Server{Handler: server.HandlerFunc(func(ctx context.Context, c *conn.Conn) {
		if <-first {
			h.ServeConn(ctx, c)
			return
		}
		contexts <- ctx
		<-let
		_, _ = c.Write([]byte("bye"))
	})})
	first <- true
	marker := dial(t, addr)
	marker.send("m")
	looked := <-contexts
	first <- false
	c := dial(t, addr)
	ctx := <-contexts
	require.NoError(t, c.Conn.(*net.TCPConn).CloseWrite())
	require.NoError(t, marker.Close())
	<-looked.Done() // the server has looked at both, the newer one first
	require.NoError(t, ctx.Err())
	close(let)
	got, err := io.ReadAll(c)
	require.NoError(t, err)
	require.Equal(t, "bye", string(got))
}

// What hangs on the end of a connection's context is called once, and not if it was
// stopped, however often the end is met.
func TestFunctionsAtTheEndOfAContext(t *testing.T) {
	h := server.Frames(framing.Format{}, nil)
	type context1 interface {
		context.Context
		AfterFunc(func()) func() bool
	}
	var ctx context1
	h.Handle = func(c context.Context, req []byte) ([]byte, error) {
		ctx = c.(context1)
		<-ctx.Done()
		time.Sleep(time.Second)
		return req, nil
	}
	h.Concurrency = 2 // the reader sees the end
	inBubble(t, h, func(t *testing.T, _ *server.Server, nc net.Conn) {
		_, err := nc.Write([]byte("\x00\x01a"))
		require.NoError(t, err)
		synctest.Wait()
		var called, stopped atomic.Int32
		ctx.AfterFunc(func() { called.Add(1) })
		stop := ctx.AfterFunc(func() { stopped.Add(1) })
		require.True(t, stop())
		require.False(t, stop())
		require.NoError(t, nc.(*memnet.Conn).CloseWrite())
		synctest.Wait()
		require.EqualValues(t, 1, called.Load())
		late := ctx.AfterFunc(func() { called.Add(10) })
		require.False(t, late())
		_, err = io.ReadAll(nc)
		require.NoError(t, err)
		require.NoError(t, nc.Close())
		synctest.Wait()
		require.EqualValues(t, 11, called.Load())
		require.Zero(t, stopped.Load())
	})
}

// askedListener accepts connections that count how often their socket is asked for.
type askedListener struct {
	net.Listener
	asked *atomic.Int32
}

type askedConn struct {
	net.Conn
	asked *atomic.Int32
}

func (l askedListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	return askedConn{nc, l.asked}, err
}

func (c askedConn) SyscallConn() (syscall.RawConn, error) {
	c.asked.Add(1)
	return nil, errors.ErrUnsupported
}

// While a request is handled, and only then, the server looks for its peer ten times a
// second, whatever its timeouts are.
func TestServerLooksForPeersTenTimesASecond(t *testing.T) {
	for name, timeout := range map[string]time.Duration{"short": 500 * time.Millisecond, "long": 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) {
					time.Sleep(2 * time.Second)
					return req, nil
				})
				h.WriteTimeout, h.ReadTimeout, h.ParkAfter = timeout, timeout, -1
				l := askedListener{memnet.Listen("server"), new(atomic.Int32)}
				startOn(t, &server.Server{Handler: h}, l)
				nc, err := l.Listener.(*memnet.Listener).Dial(t.Context())
				require.NoError(t, err)
				for range 3 {
					time.Sleep(10 * time.Second)
					l.asked.Store(0)
					_, err = nc.Write([]byte("\x00\x01a"))
					require.NoError(t, err)
					_, err = io.ReadFull(nc, make([]byte, 3))
					require.NoError(t, err)
					require.InDelta(t, 20, l.asked.Load(), 4)
				}
				l.asked.Store(0)
				time.Sleep(10 * time.Second)
				require.Zero(t, l.asked.Load())
				require.NoError(t, nc.Close())
			})
		})
	}
}
