package conn_test

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/stretchr/testify/require"
)

// eventually asks until the kernel has delivered what the peer did.
func eventually(t testing.TB, want error, ask func() error) {
	t.Helper()
	require.Eventually(t, func() bool { return errors.Is(ask(), want) }, 5*time.Second, time.Millisecond)
}

func TestCheck(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		for range 3 {
			require.NoError(t, c.Check())
		}
		send(t, peer, "unasked")
		eventually(t, conn.ErrUnread, c.Check)
		p := make([]byte, 7)
		_, err := c.ReadFull(p)
		require.NoError(t, err)
		require.Equal(t, "unasked", string(p), "Check consumes nothing")
		require.NoError(t, c.Check())
		require.NoError(t, c.Reusable())

		require.NoError(t, peer.Close())
		eventually(t, conn.ErrPeerClosed, c.Check)
		require.ErrorIs(t, c.Check(), io.EOF)
		require.ErrorContains(t, c.Check(), "conn: check "+c.RemoteAddr().String()+": closed by the peer")
		require.True(t, readByte(c)() == io.EOF)
		require.ErrorIs(t, c.Check(), conn.ErrPeerClosed)
		require.True(t, errors.Is(c.Reusable(), io.EOF))

		require.NoError(t, c.Close())
		require.ErrorIs(t, c.Check(), net.ErrClosed)
	})
}

func TestCheckSeesTheEndBelowTLS(t *testing.T) {
	c, peer := tlsPair(t)
	require.NoError(t, c.Check(), "session tickets are not unread bytes")
	require.NoError(t, c.Reusable())
	require.NoError(t, peer.NetConn().Close()) // without a TLS alert
	eventually(t, io.EOF, c.Check)
}

func TestCheckSeesAReset(t *testing.T) {
	for _, tr := range transports[:3] {
		t.Run(tr.name, func(t *testing.T) {
			c, peer := tr.pair(t)
			if tr.name == "unix" {
				// It resets when it is closed with bytes unread.
				_, err := c.Write([]byte("never read"))
				require.NoError(t, err)
				require.NoError(t, peer.Close())
			} else {
				inner := peer
				if w, ok := peer.(interface{ NetConn() net.Conn }); ok {
					inner = w.NetConn()
				}
				require.NoError(t, inner.(*net.TCPConn).SetLinger(0))
				require.NoError(t, inner.Close())
			}
			eventually(t, syscall.ECONNRESET, func() error {
				err := c.Check()
				if err != nil {
					return err
				}
				return nil
			})
			require.ErrorIs(t, c.Check(), syscall.ECONNRESET, "asked again too")
			require.NoError(t, c.Err(), "Check asks, and changes nothing")
			_, err := c.Read(make([]byte, 1))
			require.ErrorIs(t, err, syscall.ECONNRESET, "the socket tells once, and it is kept for the reader")
			require.ErrorIs(t, c.Err(), syscall.ECONNRESET)
		})
	}
}

func TestCheckAfterADeadline(t *testing.T) {
	c, peer := tcpPair(t)
	require.NoError(t, c.SetDeadline(time.Now().Add(-time.Second)))
	require.NoError(t, c.Check(), "the caller's deadline is not the peer's health")
	require.ErrorIs(t, c.Reusable(), conn.ErrDeadlineSet)
	send(t, peer, "x")
	eventually(t, conn.ErrUnread, c.Check)
}

func TestCheckOfBufferedBytes(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		send(t, peer, "xy")
		_, err := c.Peek(2)
		require.NoError(t, err)
		require.ErrorIs(t, c.Check(), conn.ErrUnread)
	})
}

func TestCheckDuringARead(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		read := make(chan error, 1)
		go func() { read <- readByte(c)() }()
		eventually(t, conn.ErrBusy, c.Check)
		require.ErrorIs(t, c.Reusable(), conn.ErrBusy)
		require.Zero(t, c.Buffered(), "Buffered does not wait")
		send(t, peer, "x")
		require.NoError(t, <-read)
		require.NoError(t, c.Reusable())
	})
}

// A type that embeds a *net.TCPConn has its descriptor, but may read in its
// own way; its Read is the one used, by Check too.
func TestAWrapperIsNotReadAroundItsBack(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	nc, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	peer, err := l.Accept()
	require.NoError(t, err)
	defer peer.Close()
	c := conn.New(shouting{nc.(*net.TCPConn)})
	defer c.Close()
	send(t, peer, "quiet")
	eventually(t, conn.ErrUnread, c.Check)
	p, err := c.Peek(5)
	require.NoError(t, err)
	require.Equal(t, "QUIET", string(p))
}

type shouting struct{ *net.TCPConn }

func (s shouting) Read(p []byte) (int, error) {
	n, err := s.TCPConn.Read(p)
	for i := range n {
		p[i] -= 'a' - 'A'
	}
	return n, err
}

func TestCheckWhereReadingFails(t *testing.T) {
	broken := errors.New("line noise")
	c := conn.New(&stub{read: func([]byte) (int, error) { return 0, broken }})
	require.ErrorIs(t, c.Check(), broken)

	// Four wrappers deep there is still a socket; it is found.
	tc, peer := tcpPair(t)
	var nc net.Conn = tc.NetConn()
	for range 4 {
		nc = wrapper{nc}
	}
	deep := conn.New(nc)
	require.NoError(t, deep.Check())
	require.NoError(t, peer.Close())
	eventually(t, conn.ErrPeerClosed, deep.Check)
}

func TestReusable(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		require.NoError(t, c.Reusable())
		c.SetMidMessage(true)
		require.ErrorIs(t, c.Reusable(), conn.ErrMidMessage)
		c.SetMidMessage(false)
		require.NoError(t, c.Reusable())
		require.NoError(t, c.SetWriteDeadline(time.Now().Add(time.Hour)))
		require.ErrorIs(t, c.Reusable(), conn.ErrDeadlineSet)
		require.NoError(t, c.SetDeadline(time.Time{}))
		require.NoError(t, c.Reusable())

		require.NoError(t, c.SetReadDeadline(time.Now().Add(-time.Second)))
		requireTimeout(t, readByte(c)())
		require.NoError(t, c.SetReadDeadline(time.Time{}))
		send(t, peer, "x")
		require.NoError(t, readByte(c)(), "a timeout does not end the reading")
		err := c.Reusable()
		require.ErrorIs(t, err, conn.ErrUnfit)
		require.ErrorContains(t, err, "conn: reuse "+c.RemoteAddr().String())
		require.Equal(t, conn.KindTimeout, conn.KindOf(err))
		c.SetMidMessage(true)
		require.ErrorIs(t, c.Reusable(), conn.ErrMidMessage)
		require.Equal(t, conn.KindTimeout, conn.KindOf(c.Reusable()))
		require.NoError(t, c.Err())
	})
}

// Only an operation whose time is over counts as one that has timed out.
func TestReusableTellsATimeoutFromOtherFailures(t *testing.T) {
	for name, test := range map[string]struct {
		fail     func(t *testing.T, c *conn.Conn, peer net.Conn)
		timedOut bool
	}{
		"a line that is too long": {func(t *testing.T, c *conn.Conn, peer net.Conn) {
			send(t, peer, "xx")
			_, err := c.ReadUntil(nil, []byte("\n"), 1)
			var tooLong *conn.LineTooLongError
			require.ErrorAs(t, err, &tooLong)
			require.NoError(t, readByte(c)())
		}, false},
		"a half-close": {func(t *testing.T, c *conn.Conn, _ net.Conn) { require.NoError(t, c.CloseWrite()) }, false},
		"a canceled read": {func(t *testing.T, c *conn.Conn, _ net.Conn) {
			ctx, cancel := context.WithCancel(t.Context())
			require.ErrorIs(t, c.Do(ctx, canceledRead(c, cancel)), context.Canceled)
		}, false},
		"a canceled read with time left": {func(t *testing.T, c *conn.Conn, _ net.Conn) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			require.ErrorIs(t, c.Do(ctx, canceledRead(c, cancel)), context.Canceled)
		}, false},
		"the caller's own deadline under Do": {func(t *testing.T, c *conn.Conn, _ net.Conn) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Millisecond)))
			requireTimeout(t, c.Do(ctx, readByte(c)))
			require.NoError(t, c.SetReadDeadline(time.Time{}))
		}, true},
		"a read in too little time": {func(t *testing.T, c *conn.Conn, _ net.Conn) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			require.ErrorIs(t, c.Do(ctx, readByte(c)), context.DeadlineExceeded)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			c, peer := tcpPair(t)
			test.fail(t, c, peer)
			err := c.Reusable()
			require.ErrorIs(t, err, conn.ErrUnfit)
			require.Equal(t, test.timedOut, conn.KindOf(err) == conn.KindTimeout, conn.KindOf(err))
		})
	}
}

// canceledRead is a read whose context ends before it begins.
func canceledRead(c *conn.Conn, cancel func()) func() error {
	return func() error {
		cancel()
		return readByte(c)()
	}
}

// The stream of a socket can be ended where a request was cut: its peer reads what came.
func TestCloseWriteAfterARequestThatWasCut(t *testing.T) {
	c, peer := tcpPair(t)
	for c.Err() == nil { // time is up within the bytes
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		require.Error(t, c.Do(ctx, func() error {
			_, err := c.Ask(make([]byte, 16<<20))
			return err
		}))
		cancel()
	}
	require.NoError(t, c.CloseWrite())
	n, err := io.Copy(io.Discard, peer)
	require.NoError(t, err)
	require.EqualValues(t, c.BytesWritten(), n)
}

func TestReusableDuringAWrite(t *testing.T) {
	c, peer := tcpPair(t)
	wrote := make(chan error, 1)
	go func() {
		_, err := c.Write(make([]byte, 16<<20))
		wrote <- err
	}()
	eventually(t, conn.ErrBusy, c.Reusable)
	var to conn.Conn
	require.ErrorIs(t, c.Handoff(&to), conn.ErrBusy)
	go func() { _, _ = io.Copy(io.Discard, peer) }()
	require.NoError(t, <-wrote)
	require.NoError(t, c.Reusable())
}
