package conn

import (
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/internal/memnet"
)

// The tests in this file are inside the package, since the buffer of a connection is
// seen from nowhere else.

// pairs are a connection that is read through its descriptor, and one that is not.
func pairs(t *testing.T) map[string]func() (*Conn, net.Conn) {
	return map[string]func() (*Conn, net.Conn){
		"tcp": func() (*Conn, net.Conn) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer l.Close()
			near, err := net.Dial("tcp", l.Addr().String())
			require.NoError(t, err)
			far, err := l.Accept()
			require.NoError(t, err)
			return New(near), far
		},
		"memory": func() (*Conn, net.Conn) {
			near, far := memnet.Pipe()
			return New(near), far
		},
	}
}

// A connection without unread bytes holds no buffer between two calls, unless a slice
// from Peek may be in use: the next call that reads releases that.
func TestNoBufferBetweenCalls(t *testing.T) {
	for transport, pair := range pairs(t) {
		for name, end := range map[string]func(t *testing.T, c *Conn, peer net.Conn){
			"Read": func(t *testing.T, c *Conn, _ net.Conn) {
				_, err := c.Read(make([]byte, 10))
				require.NoError(t, err)
			},
			"ReadFull": func(t *testing.T, c *Conn, _ net.Conn) {
				_, err := c.ReadFull(make([]byte, 1))
				require.NoError(t, err)
			},
			"ReadUntil": func(t *testing.T, c *Conn, _ net.Conn) {
				_, err := c.ReadUntil(nil, []byte("a"), 0)
				require.NoError(t, err)
			},
			"ReadAvailable": func(t *testing.T, c *Conn, _ net.Conn) {
				_, err := c.ReadAvailable(nil, 0, 0)
				require.NoError(t, err)
			},
			"Discard, of more than is there": func(t *testing.T, c *Conn, peer net.Conn) {
				_, err := peer.Write([]byte("b"))
				require.NoError(t, err)
				_, err = c.Discard(2)
				require.NoError(t, err)
			},
			"Ask": func(t *testing.T, c *Conn, peer net.Conn) {
				_, err := c.Discard(1)
				require.NoError(t, err)
				done := make(chan struct{})
				go func() {
					defer close(done)
					b := make([]byte, 1)
					if _, err := peer.Read(b); err == nil {
						_, _ = peer.Write(b)
					}
				}()
				_, err = c.Ask([]byte("b"))
				require.NoError(t, err)
				<-done
				_, err = c.Read(make([]byte, 1))
				require.NoError(t, err)
			},
		} {
			t.Run(transport+"/"+name, func(t *testing.T) {
				c, peer := pair()
				defer peer.Close()
				defer c.Close()
				_, err := peer.Write([]byte("a"))
				require.NoError(t, err)
				_, err = c.Peek(1)
				require.NoError(t, err)
				require.NotNil(t, c.core.buf)
				end(t, c, peer)
				require.Nil(t, c.core.buf)
			})
		}
		t.Run(transport+"/Peek of nothing", func(t *testing.T) {
			c, peer := pair()
			defer peer.Close()
			defer c.Close()
			require.NoError(t, c.SetReadDeadline(time.Now()))
			_, err := c.Peek(1)
			require.Error(t, err)
			require.Nil(t, c.core.buf)
		})
	}
}

// After an Ask the reply can be skipped, and no buffer stays.
func TestNoBufferAfterAskAndDiscard(t *testing.T) {
	c, peer := pairs(t)["tcp"]()
	defer peer.Close()
	defer c.Close()
	for range 2 {
		done := make(chan struct{})
		go func() {
			defer close(done)
			b := make([]byte, 1)
			if _, err := peer.Read(b); err == nil {
				_, _ = peer.Write(b)
			}
		}()
		_, err := c.Ask([]byte("b"))
		require.NoError(t, err)
		<-done
		if !rawReads {
			return // Ask ends with a Peek there
		}
		_, err = c.Discard(1)
		require.NoError(t, err)
		require.Nil(t, c.core.buf)
		_, err = peer.Write([]byte("a"))
		require.NoError(t, err)
		_, err = c.Peek(1) // as for a slice in use
		require.NoError(t, err)
		_, err = c.Discard(1)
		require.NoError(t, err)
	}
}

// The slice from Peek stays as it is while only buffered bytes are skipped, of one
// byte too.
func TestPeekOfOneByteStaysValid(t *testing.T) {
	for transport, pair := range pairs(t) {
		t.Run(transport, func(t *testing.T) {
			c, peer := pair()
			defer peer.Close()
			defer c.Close()
			_, err := peer.Write([]byte("a"))
			require.NoError(t, err)
			_, err = c.Peek(1)
			require.NoError(t, err)
			_, err = c.Discard(1)
			require.NoError(t, err)
			require.NotNil(t, c.core.buf, "it belongs to the slice")
		})
	}
}

// A peer that sends a few bytes and stalls costs the small buffer.
func TestSmallBufferForFewBytes(t *testing.T) {
	for transport, pair := range pairs(t) {
		t.Run(transport, func(t *testing.T) {
			c, peer := pair()
			defer peer.Close()
			defer c.Close()
			for range 3 {
				_, err := peer.Write([]byte("a"))
				require.NoError(t, err)
				_, err = c.Peek(1)
				require.NoError(t, err)
				require.NoError(t, c.SetReadDeadline(time.Now()))
				_, err = c.Peek(2)
				require.Error(t, err)
				require.NoError(t, c.SetReadDeadline(time.Time{}))
				require.Len(t, c.core.buf.data, smallBuffer)
				_, err = c.Read(make([]byte, 1))
				require.NoError(t, err)
			}
		})
	}
}

// What is read by its descriptor is a stream of TCP or of a unix socket.
func TestIsSocket(t *testing.T) {
	require.False(t, isSocket(new(net.UnixConn)), "without an address")
	if runtime.GOOS != "linux" {
		t.Skip("sockets of packets are Linux's")
	}
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: t.TempDir() + "/s", Net: "unixpacket"})
	require.NoError(t, err)
	defer l.Close()
	nc, err := net.DialUnix("unixpacket", nil, l.Addr().(*net.UnixAddr))
	require.NoError(t, err)
	defer nc.Close()
	require.False(t, isSocket(nc), "of packets")
}
