package loopback_test

import (
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/loopback"
)

func TestServeEcho(t *testing.T) {
	addr, err := loopback.Serve(loopback.Echo)
	require.NoError(t, err)
	for range 2 {
		c, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		_, err = io.WriteString(c, "hello")
		require.NoError(t, err)
		require.NoError(t, c.(*net.TCPConn).CloseWrite())
		got, err := io.ReadAll(c)
		require.NoError(t, err, "the server closes when its handler is done")
		require.Equal(t, "hello", string(got))
		require.NoError(t, c.Close())
	}
}

func TestPair(t *testing.T) {
	a, b, err := loopback.Pair()
	require.NoError(t, err)
	require.Equal(t, a.LocalAddr().String(), b.RemoteAddr().String())
	_, err = io.WriteString(a, "hello")
	require.NoError(t, err)
	require.NoError(t, a.Close())
	got, err := io.ReadAll(b)
	require.NoError(t, err)
	require.Equal(t, "hello", string(got))
	require.NoError(t, b.Close())
}
