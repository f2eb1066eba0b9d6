package conn_test

import (
	"bytes"
	"net"
	"testing"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/stretchr/testify/require"
)

func TestPeekReadsAhead(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		p, err := c.Peek(0)
		require.NoError(t, err)
		require.Empty(t, p)
		require.Zero(t, c.Buffered())

		send(t, peer, "abcdef")
		p, err = c.Peek(6)
		require.NoError(t, err)
		require.Equal(t, "abcdef", string(p))
		require.Equal(t, 6, cap(p), "appending must not reach into the buffer")
		require.Equal(t, 6, c.Buffered())
		require.ErrorIs(t, c.Reusable(), conn.ErrUnread)

		n, err := c.Discard(2)
		require.NoError(t, err)
		require.Equal(t, 2, n)
		p, err = c.Peek(c.Buffered())
		require.NoError(t, err)
		require.Equal(t, "cdef", string(p))
	})
}

func TestPeekUpToTheBufferSize(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		size := c.BufferSize()
		want := bytes.Repeat([]byte("0123456789"), size/5)
		sent := make(chan error, 1)
		go func() {
			_, err := peer.Write(want)
			sent <- err
		}()
		// An odd start makes the buffer compact and grow.
		_, err := c.Peek(5000)
		require.NoError(t, err)
		_, err = c.Discard(4999)
		require.NoError(t, err)

		p, err := c.Peek(size)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want[4999:4999+size], p))
		p, err = c.Peek(size + 1)
		require.ErrorIs(t, err, conn.ErrBufferFull)
		require.True(t, bytes.Equal(want[4999:4999+size], p), "what is there comes with the error")

		rest := make([]byte, len(want)-4999)
		_, err = c.ReadFull(rest)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want[4999:], rest))
		require.NoError(t, <-sent)
	})
}

func TestPeekAndDiscardWithErrors(t *testing.T) {
	eachTransport(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		_, err := c.Peek(-1)
		require.ErrorIs(t, err, conn.ErrNegativeCount)
		_, err = c.Discard(-1)
		require.ErrorIs(t, err, conn.ErrNegativeCount)

		send(t, peer, "abc")
		p, err := c.Peek(3)
		require.NoError(t, err)
		require.Equal(t, "abc", string(p))
		require.NoError(t, c.SetReadDeadline(soon()))
		p, err = c.Peek(4)
		requireTimeout(t, err)
		require.Equal(t, "abc", string(p), "a timeout keeps what came")
		require.NoError(t, c.SetReadDeadline(time.Time{}))

		send(t, peer, "d")
		p, err = c.Peek(4)
		require.NoError(t, err)
		require.Equal(t, "abcd", string(p))

		halfClose(t, peer)
		p, err = c.Peek(5)
		require.Equal(t, "EOF", err.Error())
		require.Equal(t, "abcd", string(p), "so does the end")
		n, err := c.Discard(5)
		require.Equal(t, "EOF", err.Error())
		require.Equal(t, 4, n)
	})
}

// A slice from Peek is valid until the next read: another connection that reads
// meanwhile does not get its memory, nor does one after a concurrent Close.
func TestPeekedBytesStay(t *testing.T) {
	c, peer := tcpPair(t)
	other, otherPeer := tcpPair(t)
	send(t, peer, "mine, all mine")
	p, err := c.Peek(14)
	require.NoError(t, err)
	_, err = c.Discard(14)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	for range 100 {
		send(t, otherPeer, "something else")
		q, err := other.Peek(14)
		require.NoError(t, err)
		require.Equal(t, "something else", string(q))
		_, err = other.Discard(14)
		require.NoError(t, err)
	}
	require.Equal(t, "mine, all mine", string(p))
}
