package conn_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/stretchr/testify/require"
)

// echoes sends back what comes until the peer's stream ends.
func echoes(t testing.TB, peer net.Conn) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(struct{ io.Writer }{peer}, struct{ io.Reader }{peer})
	}()
	t.Cleanup(func() {
		peer.Close()
		<-done
	})
}

func TestAsk(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		echoes(t, peer)
		for _, request := range []string{"a", "request", "another"} {
			before := c.BytesWritten()
			n, err := c.Ask([]byte(request))
			require.NoError(t, err)
			require.Equal(t, len(request), n)
			require.EqualValues(t, n, c.BytesWritten()-before)
			require.Positive(t, c.Buffered(), "the answer has begun")
			answer := make([]byte, n)
			_, err = c.ReadFull(answer)
			require.NoError(t, err)
			require.Equal(t, request, string(answer))
			require.NoError(t, c.Reusable())
		}
		require.Equal(t, c.BytesWritten(), c.BytesRead())
	})
}

func TestAskRefusesAConnectionThatIsNotFit(t *testing.T) {
	deadline := func(t *testing.T, c *conn.Conn, _ net.Conn) {
		require.NoError(t, c.SetWriteDeadline(time.Now().Add(time.Hour)))
	}
	tests := []struct {
		name string
		do   func(t *testing.T, c *conn.Conn, peer net.Conn)
		want error
	}{
		{"deadline", deadline, conn.ErrDeadlineSet},
		{"buffered", func(t *testing.T, c *conn.Conn, peer net.Conn) {
			send(t, peer, "x")
			_, err := c.Peek(1)
			require.NoError(t, err)
		}, conn.ErrUnread},
		{"message", func(_ *testing.T, c *conn.Conn, _ net.Conn) { c.SetMidMessage(true) }, conn.ErrMidMessage},
		{"timed out", func(t *testing.T, c *conn.Conn, _ net.Conn) {
			require.NoError(t, c.SetReadDeadline(soon()))
			requireTimeout(t, readByte(c)())
			require.NoError(t, c.SetReadDeadline(time.Time{}))
		}, conn.ErrUnfit},
		{"closed", func(t *testing.T, c *conn.Conn, _ net.Conn) { require.NoError(t, c.Close()) }, net.ErrClosed},
		{"handed on", func(t *testing.T, c *conn.Conn, _ net.Conn) {
			var to conn.Conn
			require.NoError(t, c.Handoff(&to))
			t.Cleanup(func() { to.Close() })
		}, net.ErrClosed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
				test.do(t, c, peer)
				before := c.BytesWritten()
				n, err := c.Ask([]byte("request"))
				require.ErrorIs(t, err, test.want)
				requireSafe(t, true, err)
				require.Zero(t, n)
				require.Equal(t, before, c.BytesWritten())
			})
		})
	}
}

func TestAskOfTheZeroConn(t *testing.T) {
	var c conn.Conn
	_, err := c.Ask([]byte("x"))
	require.ErrorIs(t, err, net.ErrClosed)
	requireSafe(t, true, err)
}

func TestAskWhileAnotherIsAtWork(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		read := make(chan error, 1)
		go func() { read <- readByte(c)() }()
		eventually(t, conn.ErrBusy, c.Check)
		_, err := c.Ask([]byte("request"))
		require.ErrorIs(t, err, conn.ErrBusy)
		requireSafe(t, true, err)
		send(t, peer, "x")
		require.NoError(t, <-read)

		written := make(chan error, 1)
		go func() {
			_, err := c.Write(make([]byte, 64<<20)) // more than any buffer takes
			written <- err
		}()
		eventually(t, conn.ErrBusy, c.Reusable)
		_, err = c.Ask([]byte("request"))
		require.ErrorIs(t, err, conn.ErrBusy)
		requireSafe(t, true, err)
		require.NoError(t, c.Close())
		require.Error(t, <-written)
	})
}

func TestAskFindsThePeerClosed(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		require.NoError(t, peer.Close())
		eventually(t, conn.ErrPeerClosed, c.Check)
		n, err := c.Ask([]byte("request"))
		require.ErrorIs(t, err, conn.ErrPeerClosed)
		require.ErrorContains(t, err, "conn: ask "+c.RemoteAddr().String()+": closed by the peer")
		requireSafe(t, true, err)
		require.Zero(t, n)
		require.True(t, readByte(c)() == io.EOF, "it is left as it was")
	})
}

// Whoever reads beside must not take them for an answer either.
func TestAskFindsBytesNobodyAskedFor(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		send(t, peer, "late answer")
		switch c.NetConn().(type) {
		case *net.TCPConn, *net.UnixConn:
			eventually(t, conn.ErrUnread, c.Check)
		case *tls.Conn: // Check would buffer it, and wait only so long
			t.Skip("nothing else tells that it has arrived")
		}
		n, err := c.Ask([]byte("request"))
		require.ErrorIs(t, err, conn.ErrUnread)
		requireSafe(t, true, err)
		require.Zero(t, n)
		require.Zero(t, c.BytesWritten())
		got, err := c.Read(make([]byte, 16))
		require.ErrorIs(t, err, conn.ErrUnread)
		require.Zero(t, got)
		_, err = c.Write([]byte("x"))
		require.ErrorIs(t, err, conn.ErrUnread)
		require.ErrorIs(t, c.Err(), conn.ErrUnread)
		require.ErrorIs(t, c.Reusable(), conn.ErrUnread)
	})
}

func TestAskOfAConnectionThatWasReset(t *testing.T) {
	c, peer := tcpPair(t)
	require.NoError(t, peer.SetLinger(0))
	require.NoError(t, peer.Close())
	require.Eventually(t, func() bool { return c.Check() != nil }, 5*time.Second, time.Millisecond)
	_, err := c.Ask([]byte("request"))
	requireSafe(t, true, err)
	require.NotErrorIs(t, err, io.EOF)
	require.Zero(t, c.BytesWritten())
}

func TestAskWithoutAnAnswer(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		read := make(chan error, 1)
		go func() {
			_, err := io.ReadFull(peer, make([]byte, 7))
			peer.Close()
			read <- err
		}()
		n, err := c.Ask([]byte("request"))
		require.Equal(t, io.EOF, err, "bare, as of Read")
		require.Equal(t, 7, n)
		require.NoError(t, <-read)
	})
}

func TestAskEndedByItsContext(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		read := make(chan error, 1)
		go func() {
			_, err := io.ReadFull(peer, make([]byte, 7))
			cancel()
			read <- err
		}()
		err := c.Do(ctx, func() error {
			_, err := c.Ask([]byte("request"))
			return err
		})
		require.NoError(t, <-read)
		require.ErrorIs(t, err, context.Canceled)
		requireSafe(t, false, err)
		require.Error(t, c.Reusable())
	})
}

func TestAskAfterItsContextHasEnded(t *testing.T) {
	for _, tr := range transports[:2] {
		t.Run(tr.name, func(t *testing.T) {
			c, _ := tr.pair(t)
			ctx, cancel := context.WithCancel(t.Context())
			err := c.Do(ctx, func() error {
				cancel()
				eventually(t, os.ErrDeadlineExceeded, func() error {
					_, err := c.NetConn().Write(nil)
					return err
				})
				n, err := c.Ask([]byte("request"))
				require.Zero(t, n)
				return err
			})
			require.ErrorIs(t, err, context.Canceled)
			requireSafe(t, true, err)
			require.Zero(t, c.BytesWritten())
		})
	}
}

// A request larger than the kernel takes at once, to a peer that answers while
// it reads.
func TestAskOfALargeRequest(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		request := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
		got := make(chan []byte, 1)
		go func() {
			buf := make([]byte, len(request))
			n, _ := io.ReadFull(peer, buf)
			_, _ = peer.Write([]byte("answer"))
			got <- buf[:n]
		}()
		n, err := c.Ask(request)
		require.NoError(t, err)
		require.Equal(t, len(request), n)
		require.True(t, bytes.Equal(request, <-got))
		require.EqualValues(t, n, c.BytesWritten())
		answer := make([]byte, 6)
		_, err = c.ReadFull(answer)
		require.NoError(t, err)
		require.Equal(t, "answer", string(answer))
		require.NoError(t, c.Reusable())
	})
}

func TestAskOfNothing(t *testing.T) {
	c, peer := tcpPair(t)
	asked := make(chan error, 1)
	go func() {
		_, err := c.Ask(nil)
		asked <- err
	}()
	eventually(t, conn.ErrBusy, c.Check)
	send(t, peer, "x")
	require.NoError(t, <-asked)
	require.Equal(t, 1, c.Buffered())
	_, err := c.Write([]byte("y"))
	require.NoError(t, err, "nothing stays locked")
}

// While the answer is waited for another may write, and Close ends the wait.
func TestAskIsNotInTheWayOfOthers(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		asked := make(chan error, 1)
		go func() {
			_, err := c.Ask([]byte("request"))
			asked <- err
		}()
		p := make([]byte, 7)
		_, err := io.ReadFull(peer, p)
		require.NoError(t, err)
		_, err = c.Write([]byte("more"))
		require.NoError(t, err)
		_, err = io.ReadFull(peer, p[:4])
		require.NoError(t, err)
		require.NoError(t, c.Close())
		require.ErrorIs(t, <-asked, net.ErrClosed)
	})
}

// The runtime hears of an answer however it comes: before the wait begins,
// byte for byte, or after what was left over from before. A lost wakeup would
// hang this.
func TestAskHearsEveryAnswer(t *testing.T) {
	var callers sync.WaitGroup
	for range 4 {
		c, peer := tcpPair(t)
		callers.Go(func() { answerInParts(peer) })
		callers.Go(func() {
			defer c.Close()
			p := make([]byte, 64)
			for i := range 5000 {
				n, err := c.Ask(p[:1+i%60])
				if err == nil {
					_, err = c.ReadFull(p[:n])
				}
				if err != nil {
					t.Errorf("call %d: %v", i, err)
					return
				}
			}
		})
	}
	callers.Wait()
}

func answerInParts(peer net.Conn) {
	p := make([]byte, 64)
	for {
		n, err := peer.Read(p)
		if err != nil {
			return
		}
		cut := rand.IntN(n + 1)
		for _, part := range [][]byte{p[:cut], p[cut:n]} {
			if _, err := peer.Write(part); err != nil {
				return
			}
			if rand.IntN(4) == 0 {
				runtime.Gosched()
			}
		}
	}
}

func TestAskAllocatesNothing(t *testing.T) {
	c, peer := tcpPair(t)
	echoes(t, peer)
	request, answer := []byte("request"), make([]byte, 7)
	require.Zero(t, allocs(t, func() error {
		if _, err := c.Ask(request); err != nil {
			return err
		}
		_, err := c.ReadFull(answer)
		if !bytes.Equal(request, answer) {
			return errors.Join(err, errors.New("another answer"))
		}
		return err
	}))
}
