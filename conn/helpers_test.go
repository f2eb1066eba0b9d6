package conn_test

import (
	"net"
	"testing"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/stretchr/testify/require"
)

// tcpPair returns a connection under test and its peer, over TCP on loopback.
func tcpPair(t testing.TB) (*conn.Conn, *net.TCPConn) {
	t.Helper()
	c, peer := socketPair(t, "tcp", "127.0.0.1:0")
	return c, peer.(*net.TCPConn)
}

func socketPair(t testing.TB, network, address string) (*conn.Conn, net.Conn) {
	t.Helper()
	l, err := net.Listen(network, address)
	require.NoError(t, err)
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		nc, err := l.Accept()
		if err != nil {
			close(accepted)
			return
		}
		accepted <- nc
	}()
	var d conn.Dialer
	c, err := d.Dial(t.Context(), network, l.Addr().String())
	require.NoError(t, err)
	peer, ok := <-accepted
	require.True(t, ok, "accept failed")
	t.Cleanup(func() {
		c.Close()
		peer.Close()
	})
	return c, peer
}
