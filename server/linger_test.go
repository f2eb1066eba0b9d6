package server_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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
