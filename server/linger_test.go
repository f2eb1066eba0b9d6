package server_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/server"
)

// tellingListener accepts connections that tell when the server has ended its side
// of them, and whose socket takes a large answer at once.
type tellingListener struct {
	net.Listener
	ended chan struct{}
}

type tellingConn struct {
	*net.TCPConn
	ended chan struct{}
}

func (l tellingListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	_ = nc.(*net.TCPConn).SetWriteBuffer(1 << 20)
	return tellingConn{nc.(*net.TCPConn), l.ended}, nil
}

func (c tellingConn) CloseWrite() error {
	err := c.TCPConn.CloseWrite()
	c.tell()
	return err
}

func (c tellingConn) Close() error {
	err := c.TCPConn.Close()
	c.tell()
	return err
}

func (c tellingConn) tell() {
	select {
	case c.ended <- struct{}{}:
	default:
	}
}

// TestEndDestroysNoAnswer ends a connection in each way that the server ends one
// whose peer may still be sending. Most of the answer before the end waits in the
// server's socket, because the client has not begun to read, when the client sends
// more: to a socket that is closed by then, the answer to which is a reset that
// destroys what waits there.
func TestEndDestroysNoAnswer(t *testing.T) {
	format := framing.Format{HeaderSize: 4, MaxSize: 1 << 20}
	answer := make([]byte, 300<<10)
	frames := func(n int) *server.FrameHandler {
		h := server.Frames(format, func(_ context.Context, req []byte) ([]byte, error) {
			switch string(req) {
			case "fail":
				return nil, errors.New("failed")
			case "panic":
				panic("panicked")
			case "large":
				return make([]byte, format.MaxSize+1), nil
			}
			return answer, nil
		})
		h.Concurrency = n
		return h
	}
	wrap := func(n int) server.Handler { return server.HandlerFunc(frames(n).ServeConn) }
	for name, tc := range map[string]struct {
		handler func(n int) server.Handler
		last    string // what the client sends to make the server end the connection
	}{
		"handler fails":              {last: "\x00\x00\x00\x04fail"},
		"handler panics":             {last: "\x00\x00\x00\x05panic"},
		"reply too large":            {last: "\x00\x00\x00\x05large"},
		"request too large":          {last: "\x00\x10\x00\x01"},
		"drain":                      {},
		"drain in another's handler": {handler: wrap},
	} {
		t.Run(name, func(t *testing.T) {
			eachMode(t, func(t *testing.T, n int) {
				s := &server.Server{Handler: frames(n)}
				if tc.handler != nil {
					s.Handler = tc.handler(n)
				}
				inner, err := net.Listen("tcp", "127.0.0.1:0")
				require.NoError(t, err)
				l := tellingListener{inner, make(chan struct{}, 1)}
				startOn(t, s, l)
				c := dial(t, l.Addr().String())
				_, err = c.Write([]byte("\x00\x00\x00\x01a" + tc.last))
				require.NoError(t, err)
				if tc.last == "" {
					require.Eventually(t, func() bool { return s.Stat().Idle == 1 }, patience, time.Millisecond)
					begin(t, s, context.Background())
				}
				<-l.ended
				_, err = c.Write([]byte("\x00\x00\x00\x04late"))
				require.NoError(t, err)
				got, err := io.ReadAll(c)
				require.NoError(t, err)
				require.Len(t, got, 4+len(answer))
			})
		})
	}
}

// bufferedConn keeps what it has read ahead where the socket does not tell of it.
type bufferedConn struct {
	*net.TCPConn
	ahead []byte
}

func (c *bufferedConn) Read(b []byte) (int, error) {
	if len(c.ahead) == 0 {
		ahead := make([]byte, 4096)
		n, err := c.TCPConn.Read(ahead)
		if err != nil {
			return 0, err
		}
		c.ahead = ahead[:n]
	}
	n := copy(b, c.ahead[:min(5, len(c.ahead))]) // one request at a time
	c.ahead = c.ahead[n:]
	return n, nil
}

type bufferedListener struct{ net.Listener }

func (l bufferedListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &bufferedConn{TCPConn: nc.(*net.TCPConn)}, nil
}

func TestShutdownAnswersWhatAWrapperHolds(t *testing.T) {
	h, entered, let := gated()
	s := &server.Server{Handler: h}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	startOn(t, s, bufferedListener{inner})
	c := dial(t, inner.Addr().String())
	c.send("aaa", "bbb", "ccc")
	require.Equal(t, "aaa", <-entered)
	result := begin(t, s, context.Background())
	close(let)
	c.expect("aaa", "bbb", "ccc")
	c.expectEnd()
	require.NoError(t, c.Close())
	require.NoError(t, <-result)
}

// A connection that is closed while it waits for its peer to close is over.
func TestCloseOfALingeringConnection(t *testing.T) {
	for name, h := range map[string]server.Handler{
		"raw":    server.HandlerFunc(func(context.Context, *conn.Conn) {}),
		"frames": server.Frames(framing.Format{}, func(context.Context, []byte) ([]byte, error) { return nil, errors.New("failed") }),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server.Server{Handler: h}
				nc, err := newMemServer(t, s).Dial(t.Context())
				require.NoError(t, err)
				_, err = nc.Write([]byte("\x00\x01a"))
				require.NoError(t, err)
				_, err = nc.Read(make([]byte, 1))
				require.Equal(t, io.EOF, err)
				time.Sleep(100 * time.Millisecond)
				require.Equal(t, 1, s.Stat().Handlers)
				require.True(t, s.CloseConn(1))
				synctest.Wait()
				require.Zero(t, s.Stat().Handlers)
				require.NoError(t, nc.Close())
			})
		})
	}
}

// It waits for half a second, and where the peer has nothing to lose not at all.
func TestHowLongAConnectionLingers(t *testing.T) {
	for name, tc := range map[string]struct {
		request string
		want    time.Duration
	}{
		"failed": {"\x00\x04fail", 500 * time.Millisecond},
		"late":   {"\x00\x04fa", 0},
		"idle":   {"\x00\x04good", 0},
	} {
		t.Run(name, func(t *testing.T) {
			eachMode(t, func(t *testing.T, n int) {
				log := &logbook{}
				h := server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) {
					if string(req) == "fail" {
						return nil, errors.New("failed")
					}
					return req, nil
				})
				h.Concurrency, h.ReadTimeout, h.IdleTimeout = n, 5*time.Second, 5*time.Second
				synctest.Test(t, func(t *testing.T) {
					s := &server.Server{Handler: h, Logger: log.logger()}
					nc, err := newMemServer(t, s).Dial(t.Context())
					require.NoError(t, err)
					_, err = nc.Write([]byte(tc.request))
					require.NoError(t, err)
					_, err = io.ReadAll(nc)
					require.NoError(t, err)
					ended := time.Now()
					synctest.Wait()
					for s.Stat().Handlers > 0 {
						time.Sleep(time.Millisecond)
						synctest.Wait()
					}
					require.Equal(t, tc.want, time.Since(ended))
					if name == "idle" {
						log.requireOne(t, "no request in time", "level=DEBUG")
					}
					require.NoError(t, nc.Close())
				})
			})
		})
	}
}
