package faultproxy_test

import (
	"errors"
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/internal/faultproxy"
)

func requireRefused(t *testing.T, addr string) {
	t.Helper()
	_, err := net.Dial("tcp", addr)
	windows := syscall.Errno(10061)
	require.True(t, errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, windows), "%v", err)
}

func TestHeldAddr(t *testing.T) {
	addr, stop, err := faultproxy.HeldAddr()
	require.NoError(t, err)
	for range 3 {
		requireRefused(t, addr)
		l, err := net.Listen("tcp", addr)
		require.NoError(t, err)
		far, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		near, err := l.Accept()
		require.NoError(t, err)
		require.Equal(t, far.LocalAddr(), near.RemoteAddr())
		require.NoError(t, l.Close())
		requireRefused(t, addr)
		require.NoError(t, near.Close())
		require.NoError(t, far.Close())
	}
	require.NoError(t, stop())
	requireRefused(t, addr)
}
