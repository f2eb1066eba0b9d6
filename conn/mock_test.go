package conn_test

import (
	"errors"
	"net"
	"testing"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/stretchr/testify/require"
)

// bare is a stand-in for a connection of which a test needs little: its other
// methods are nil, and panic.
type bare struct {
	net.Conn
	err error
}

func (b bare) Read([]byte) (int, error)    { return 0, b.err }
func (b bare) Write(p []byte) (int, error) { return 0, b.err }
func (b bare) Close() error                { return b.err }

func TestAStandInWithoutAddressesDoesNotPanic(t *testing.T) {
	require.NoError(t, conn.New(bare{}).Close())

	broken := errors.New("broken")
	c := conn.New(bare{err: broken})
	_, err := c.Read(make([]byte, 1))
	require.EqualError(t, err, "conn: read: broken")
	_, err = c.Write([]byte("x"))
	require.EqualError(t, err, "conn: write: broken")
	require.EqualError(t, c.Close(), "conn: close: broken")
	require.ErrorIs(t, c.Err(), broken)
	require.ErrorIs(t, c.Close(), net.ErrClosed)
	_, err = c.Ask([]byte("x"))
	require.ErrorIs(t, err, net.ErrClosed)

	c = conn.New(bare{})
	require.NoError(t, c.Close())
	err = c.Err()
	require.ErrorIs(t, err, net.ErrClosed)
	require.Same(t, err, c.Err(), "it stays the same")
}

// countsAddr counts how often it is asked for its address.
type countsAddr struct {
	*stub
	asked *int
}

func (c countsAddr) RemoteAddr() net.Addr { *c.asked++; return stubAddr{} }

func TestCloseAsksForNoAddress(t *testing.T) {
	asked := 0
	c := conn.New(countsAddr{&stub{}, &asked})
	require.NoError(t, c.Close())
	require.Zero(t, asked)
	require.EqualError(t, c.Err(), "conn: close stub:1: use of closed network connection")
	require.NotZero(t, asked)
}

func TestNetConnOfAHandleThatHasEnded(t *testing.T) {
	c, _ := tcpPair(t)
	require.NotNil(t, c.NetConn())
	var to conn.Conn
	require.NoError(t, c.Handoff(&to))
	require.Nil(t, c.NetConn())
	require.NotNil(t, to.NetConn())
	require.NoError(t, to.Close())
	require.Nil(t, to.NetConn())
	require.Nil(t, new(conn.Conn).NetConn())
}
