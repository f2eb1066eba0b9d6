package conn_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
)

// After a write that was cut the TLS stream is of no use to the peer, so Close must not
// wait until an alert behind it can be written: crypto/tls waits 5 s for that.
func TestCloseOverTLSAfterACutWrite(t *testing.T) {
	for name, wrap := range map[string]func(*tls.Conn) net.Conn{
		"plain":   func(tc *tls.Conn) net.Conn { return tc },
		"wrapped": func(tc *tls.Conn) net.Conn { return wrapper{tc} },
	} {
		t.Run(name, func(t *testing.T) {
			cert := testCert()
			synctest.Test(t, func(t *testing.T) {
				near, far := memnet.Pipe()
				shaken := make(chan error, 1)
				go func() { shaken <- tls.Server(far, cert.server).Handshake() }()
				c := conn.New(wrap(tls.Client(near, &tls.Config{InsecureSkipVerify: true})))
				_, err := c.Write([]byte("x"))
				require.NoError(t, err)
				require.NoError(t, <-shaken)

				writeTooMuch(t, c)
				begun := time.Now()
				require.Error(t, c.CloseWrite())
				require.NoError(t, c.Close())
				require.Zero(t, time.Since(begun))
				_, _ = io.Copy(io.Discard, far) // it has been closed
			})
		})
	}
}

// closing counts the closes of a connection and fails them.
type closing struct {
	net.Conn
	closed int
	err    error
}

func (c *closing) Close() error {
	c.closed++
	_ = c.Conn.Close()
	return c.err
}

func (c *closing) NetConn() net.Conn { return c.Conn }

// After a write that was cut all that stands above the socket is closed too, and the
// error is the one that the socket had.
func TestCloseAfterACutWriteClosesAll(t *testing.T) {
	inner, outer := errors.New("inner"), errors.New("outer")
	cert := testCert()
	synctest.Test(t, func(t *testing.T) {
		near, far := memnet.Pipe()
		shaken := make(chan error, 1)
		go func() { shaken <- tls.Server(far, cert.server).Handshake() }()
		below := &closing{Conn: near, err: inner}
		above := &closing{Conn: tls.Client(below, &tls.Config{InsecureSkipVerify: true}), err: outer}
		c := conn.New(above)
		_, err := c.Write([]byte("x"))
		require.NoError(t, err)
		require.NoError(t, <-shaken)
		writeTooMuch(t, c)
		require.ErrorIs(t, c.Close(), inner)
		require.Positive(t, below.closed)
		require.Equal(t, 1, above.closed)
	})
	synctest.Test(t, func(t *testing.T) {
		near, _ := memnet.Pipe()
		c := conn.New(&closing{Conn: near, err: outer}) // no TLS below
		writeTooMuch(t, c)
		require.ErrorIs(t, c.Close(), outer)
	})
}

// writeTooMuch makes a write whose time is over within the bytes.
func writeTooMuch(t *testing.T, c *conn.Conn) {
	t.Helper()
	require.NoError(t, c.SetWriteDeadline(time.Now().Add(time.Second)))
	_, err := c.Write(make([]byte, 64<<20))
	requireTimeout(t, err)
}
