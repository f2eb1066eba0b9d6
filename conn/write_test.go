package conn_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/stretchr/testify/require"
)

func TestWriteOfNothing(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, _ net.Conn) {
		n, err := c.Write(nil)
		require.NoError(t, err)
		require.Zero(t, n)
		m, err := c.WriteBuffers([][]byte{nil, {}})
		require.NoError(t, err)
		require.Zero(t, m)
		require.Zero(t, c.BytesWritten())
		require.NoError(t, c.Reusable())
	})
}

func TestWriteBuffersWritesTheConcatenation(t *testing.T) {
	part := func(size int, b byte) []byte { return bytes.Repeat([]byte{b}, size) }
	tests := []struct {
		name string
		bufs [][]byte
	}{
		{"small", [][]byte{part(2, 'a'), nil, part(64, 'b')}},
		{"one page", [][]byte{part(2, 'a'), part(5000, 'b')}},
		{"vectored", [][]byte{part(2, 'a'), part(20_000, 'b'), nil, part(300_000, 'c')}},
		{"many", bytes.SplitAfter(part(3000, 'd'), []byte("d"))},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
				want := bytes.Join(test.bufs, nil)
				given := make([][]byte, len(test.bufs))
				copy(given, test.bufs)
				received := make(chan []byte, 1)
				go func() {
					p := make([]byte, len(want))
					n, _ := io.ReadFull(peer, p)
					received <- p[:n]
				}()
				n, err := c.WriteBuffers(given)
				require.NoError(t, err)
				require.EqualValues(t, len(want), n)
				require.True(t, bytes.Equal(want, <-received))
				require.Equal(t, test.bufs, given, "the caller's slices are not touched")
				require.EqualValues(t, len(want), c.BytesWritten())
			})
		})
	}
}

// cutShort begins a write and has it time out once the peer has read a byte of
// it, which is returned with the outcome.
func cutShort(t *testing.T, c *conn.Conn, peer net.Conn, write func(c *conn.Conn) (int64, error)) (first byte, n int64, err error) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		n, err = write(c)
	}()
	p := make([]byte, 1)
	_, rerr := peer.Read(p)
	require.NoError(t, rerr)
	require.NoError(t, c.SetWriteDeadline(time.Now().Add(-time.Second)))
	<-done
	return p[0], n, err
}

// A write that the peer does not take ends with the exact count, and the rest
// can be written later: the peer sees every byte once.
func TestPartialWriteIsCountedAndResumed(t *testing.T) {
	payload := make([]byte, 8<<20)
	for i := range payload {
		payload[i] = byte(i * 7 >> 3)
	}
	halves := [][]byte{payload[:1<<20], payload[1<<20:]}
	writes := map[string]func(c *conn.Conn) (int64, error){
		"Write":        func(c *conn.Conn) (int64, error) { n, err := c.Write(payload); return int64(n), err },
		"WriteBuffers": func(c *conn.Conn) (int64, error) { return c.WriteBuffers(halves) },
	}
	for name, write := range writes {
		for _, tr := range transports {
			if tr.name == "tls" {
				continue // it cannot resume; see the test below
			}
			t.Run(name+"/"+tr.name, func(t *testing.T) {
				c, peer := tr.pair(t)
				first, n, err := cutShort(t, c, peer, write)
				requireTimeout(t, err)
				requireSafe(t, false, err)
				var e *conn.Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, n, e.Written)
				require.Positive(t, n)
				require.EqualValues(t, n, c.BytesWritten())
				require.NoError(t, c.Err())
				require.ErrorIs(t, c.Reusable(), conn.ErrUnfit)

				// The deadline has passed: not one byte more.
				_, err = c.Write(payload[n:])
				requireTimeout(t, err)
				requireSafe(t, true, err)
				require.EqualValues(t, n, c.BytesWritten())

				require.NoError(t, c.SetWriteDeadline(time.Time{}))
				received := make(chan []byte, 1)
				go func() {
					p, _ := io.ReadAll(peer)
					received <- append([]byte{first}, p...)
				}()
				_, err = c.Write(payload[n:])
				require.NoError(t, err)
				require.NoError(t, c.CloseWrite())
				require.True(t, bytes.Equal(payload, <-received))
			})
		}
	}
}

// Over TLS a record may have left in part, so a write timeout is for good.
func TestWriteTimeoutBreaksTLS(t *testing.T) {
	c, peer := tlsPair(t)
	_, n, err := cutShort(t, c, peer, func(c *conn.Conn) (int64, error) {
		n, err := c.Write(make([]byte, 8<<20))
		return int64(n), err
	})
	requireTimeout(t, err)
	requireSafe(t, false, err)
	require.Equal(t, err, c.Err())
	require.EqualValues(t, n, c.BytesWritten())

	require.NoError(t, c.SetWriteDeadline(time.Time{}))
	for range 2 {
		n, err := c.Write([]byte("more"))
		require.Zero(t, n)
		var e *conn.Error
		require.ErrorAs(t, err, &e)
		require.True(t, e.Timeout(), "crypto/tls says so too")
		requireSafe(t, true, err)
		m, err := c.WriteBuffers([][]byte{[]byte("more")})
		require.Zero(t, m)
		requireSafe(t, true, err)
	}
}

// One that has passed before the write begins breaks nothing: it does not get
// as far as TLS.
func TestLateWriteLeavesTLSWhole(t *testing.T) {
	c, peer := tlsPair(t)
	ctx, cancel := context.WithCancel(t.Context())
	late := []func(write func() error) error{
		func(write func() error) error {
			require.NoError(t, c.SetWriteDeadline(time.Now().Add(-time.Second)))
			defer c.SetWriteDeadline(time.Time{})
			return write()
		},
		func(write func() error) error {
			return c.Do(ctx, func() error {
				cancel()
				requireTimeout(t, readByte(c)()) // the interrupt is in effect
				return write()
			})
		},
	}
	go func() { _, _ = io.Copy(peer, peer) }()
	for _, run := range late {
		err := run(func() error { _, err := c.WriteBuffers([][]byte{[]byte("late")}); return err })
		requireTimeout(t, errors.Unwrap(err))
		requireSafe(t, true, err)
		require.NoError(t, c.Err())
		_, err = c.Write([]byte("in time"))
		require.NoError(t, err)
		p := make([]byte, 7)
		_, err = c.ReadFull(p)
		require.NoError(t, err)
		require.Equal(t, "in time", string(p))
	}
	require.ErrorIs(t, c.Reusable(), conn.ErrUnfit)
}

// A transport that transforms bytes may have sent some though it says none.
func TestFailedWriteBelowTLSIsNeverSafe(t *testing.T) {
	broken := errors.New("no more")
	inner := &stub{write: func([]byte) (int, error) { return 0, broken }}
	c := conn.New(wrapper{inner})
	_, err := c.Write([]byte("x"))
	require.ErrorIs(t, err, broken)
	requireSafe(t, false, err)

	c = conn.New(inner)
	_, err = c.Write([]byte("x"))
	require.ErrorIs(t, err, broken)
	requireSafe(t, true, err)
}

// wrapper is a connection with another below, as *tls.Conn is.
type wrapper struct{ net.Conn }

func (w wrapper) NetConn() net.Conn { return w.Conn }

// The same bytes over and over can be more than an int of 32 bits says; still
// all of them are written, or an error comes.
func TestWriteBuffersOfMoreThanAnInt(t *testing.T) {
	const enough = 4 << 20
	written := 0
	broken := errors.New("enough")
	c := conn.New(&stub{write: func(p []byte) (int, error) {
		if written += len(p); written > enough {
			return 0, broken
		}
		return len(p), nil
	}})
	n, err := c.WriteBuffers(slices.Repeat([][]byte{make([]byte, 1<<20)}, 1<<11+1)) // 2 GiB and 1 MiB
	require.ErrorIs(t, err, broken)
	require.EqualValues(t, enough, n)
}

func TestWriteToAPeerThatIsGone(t *testing.T) {
	c, peer := tcpPair(t)
	require.NoError(t, peer.SetLinger(0))
	require.NoError(t, peer.Close())
	_, err := c.Read(make([]byte, 1)) // the reset has arrived
	require.ErrorIs(t, err, syscall.ECONNRESET)
	n, err := c.Write([]byte("hello"))
	require.Zero(t, n)
	require.ErrorIs(t, err, syscall.EPIPE)
	requireSafe(t, true, err)
	require.ErrorIs(t, c.Err(), syscall.ECONNRESET, "the first error stays")
	_, err = c.Write([]byte("hello"))
	require.ErrorIs(t, err, syscall.EPIPE)
	require.ErrorContains(t, err, "broken by an earlier write: write: broken pipe")
}

func TestWriteGoesOnAfterThePeersHalfClose(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		halfClose(t, peer)
		_, err := c.Read(make([]byte, 1))
		require.True(t, err == io.EOF)
		_, err = c.Write([]byte("answer"))
		require.NoError(t, err)
		p := make([]byte, 6)
		_, err = io.ReadFull(peer, p)
		require.NoError(t, err)
		require.Equal(t, "answer", string(p))
	})
}

func TestCloseWrite(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		_, err := c.Write([]byte("bye"))
		require.NoError(t, err)
		require.NoError(t, c.CloseWrite())
		got, err := io.ReadAll(peer)
		require.NoError(t, err)
		require.Equal(t, "bye", string(got))
		send(t, peer, "still reading")
		p := make([]byte, 13)
		_, err = c.ReadFull(p)
		require.NoError(t, err)
		require.ErrorIs(t, c.Reusable(), conn.ErrUnfit)
	})

	c := conn.New(&stub{})
	require.ErrorIs(t, c.CloseWrite(), errors.ErrUnsupported)
	tc, peer := tcpPair(t)
	require.NoError(t, peer.SetLinger(0))
	require.NoError(t, peer.Close())
	_, err := tc.Read(make([]byte, 1))
	require.Error(t, err)
	require.ErrorIs(t, tc.CloseWrite(), syscall.ENOTCONN)
}

func TestExpiredWriteDeadline(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, _ net.Conn) {
		require.NoError(t, c.SetWriteDeadline(time.Now().Add(-time.Second)))
		n, err := c.Write([]byte("x"))
		require.Zero(t, n)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		requireTimeout(t, err)
	})
}
