package pipeline_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
)

// layer is a connection above another, as those that encrypt or compress are.
// Its failing Write has sent what it was given, and says that it has not.
type layer struct {
	net.Conn
	fail error
}

func (l *layer) NetConn() net.Conn { return l.Conn }

func (l *layer) Write(b []byte) (int, error) {
	n, err := l.Conn.Write(b)
	if l.fail != nil {
		return 0, l.fail
	}
	return n, err
}

// A layer above the socket may have sent more than its failed Write counts:
// what was in that Write is not safe to repeat, whatever the layer's type.
func TestFailedWriteOfALayerIsNotSafe(t *testing.T) {
	broken := errors.New("broken")
	for _, size := range []int{1, 5000} { // written by the caller, by the writer
		inBubbleDialing(t, pipeline.Config{}, func(ctx context.Context, l *memnet.Listener) (net.Conn, error) {
			nc, err := l.Dial(ctx)
			return &layer{nc, broken}, err
		}, func(b *bubble) {
			request := string(make([]byte, size))
			o := b.call(bg, request)
			b.accept().asked(request)
			o.failed(broken, true)
		})
	}
}

// A caller is let go while a write blocks that cannot be cut without breaking
// the connection, and the connection goes on.
func TestCancelledInTheMiddleOfATLSWrite(t *testing.T) {
	for name, wrap := range map[string]func(*tls.Conn) net.Conn{
		"TLS":          func(c *tls.Conn) net.Conn { return c },
		"layer on TLS": func(c *tls.Conn) net.Conn { return struct{ *tls.Conn }{c} },
	} {
		t.Run(name, func(t *testing.T) { testCancelledInTheMiddleOfATLSWrite(t, wrap) })
	}
}

func testCancelledInTheMiddleOfATLSWrite(t *testing.T, wrap func(*tls.Conn) net.Conn) {
	serverConfig, clientConfig := tlsPair(t)
	clientConfig.ServerName = "127.0.0.1"
	synctest.Test(t, func(t *testing.T) {
		peers := make(chan net.Conn, 1)
		b := &bubble{T: t, pipes: peers}
		b.run(func(ctx context.Context) (net.Conn, error) {
			here, there := memnet.PipeSize(16)
			s, c := tls.Server(there, serverConfig), tls.Client(here, clientConfig)
			t.Cleanup(func() { _ = there.Close() })
			done := make(chan error, 1)
			go func() { done <- s.HandshakeContext(ctx) }()
			err := errors.Join(c.HandshakeContext(ctx), <-done)
			peers <- s
			return wrap(c), err
		}, pipeline.Config{}, func(b *bubble) {
			ctx, cancel := context.WithCancel(bg)
			cut := b.call(ctx, "more than sixteen bytes")
			cut.pending()
			cancel()
			synctest.Wait()
			cut.failed(context.Canceled, true)
			next := b.call(bg, "next")
			p := b.accept()
			p.asked("more than sixteen bytes")
			p.asked("next")
			go func() { _, _ = p.Write([]byte{0, 1, 'x', 0, 2, 'o', 'k'}) }()
			next.replied("ok")
			require.Equal(b, uint64(1), b.Stat().Dials)
		})
	})
}

// A connection under a layer of a type unknown here survives cancelled calls,
// as one under TLS does.
func TestCancelledCallsOfALayer(t *testing.T) {
	serverConfig, clientConfig := tlsPair(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", serverConfig)
	require.NoError(t, err)
	serveOn(t, l, echo(framing.Format{}))
	addr := l.Addr().String()
	p := openTo(t, conn.Target{Dial: func(ctx context.Context) (net.Conn, error) {
		c, err := (&tls.Dialer{Config: clientConfig}).DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		return struct{ *tls.Conn }{c.(*tls.Conn)}, nil
	}}, framing.Format{}, pipeline.Config{})
	_, err = p.Call(bg, []byte("connect")) // else the last could be cancelled before the handshake is done
	require.NoError(t, err)
	for range 2000 {
		ctx, cancel := context.WithCancel(bg)
		go cancel()
		reply, err := p.Call(ctx, []byte("request"))
		if err == nil {
			require.Equal(t, "request", string(reply))
		} else {
			require.ErrorIs(t, err, context.Canceled)
		}
	}
	require.Zero(t, p.Stat().Ends)
}

// stuck is a layer on what looks like a socket. Its Write blocks until its
// deadline.
type stuck struct {
	net.Conn
	deadline chan time.Time
}

func (s *stuck) SyscallConn() (syscall.RawConn, error) { return nil, errors.ErrUnsupported }

func (s *stuck) SetWriteDeadline(at time.Time) error {
	if !at.IsZero() {
		s.deadline <- at
	}
	return nil
}

func (s *stuck) Write([]byte) (int, error) {
	time.Sleep(time.Until(<-s.deadline))
	return 0, os.ErrDeadlineExceeded
}

// Where a write on a socket cannot be resumed, a caller waits a little for one
// that blocks, but not for ever.
func TestCancelledInAWriteThatHangs(t *testing.T) {
	inBubbleDialing(t, pipeline.Config{}, func(ctx context.Context, l *memnet.Listener) (net.Conn, error) {
		nc, err := l.Dial(ctx)
		return &stuck{nc, make(chan time.Time, 1)}, err
	}, func(b *bubble) {
		ctx, cancel := context.WithTimeout(bg, time.Minute)
		defer cancel()
		start := time.Now()
		o := b.call(ctx, "request")
		<-o.done
		var e *pipeline.Error
		require.ErrorAs(b, o.err, &e)
		require.True(b, e.Written)
		require.True(b, e.Timeout())
		require.Equal(b, time.Minute+time.Second, time.Since(start))
	})
}
