package faultproxy_test

import (
	"errors"
	"net"
	"syscall"
	"testing"

	"github.com/seed-99d6a01a/gtcp/internal/faultproxy"
	"github.com/stretchr/testify/require"
)

func TestRefusedAddr(t *testing.T) {
	addr, stop, err := faultproxy.RefusedAddr()
	require.NoError(t, err)
	for range 3 {
		_, err = net.Dial("tcp", addr)
		windows := syscall.Errno(10061)
		require.True(t, errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, windows), "%v", err)
	}
	_, err = net.Listen("tcp", addr)
	require.Error(t, err, "nobody can get the port")
	require.NoError(t, stop())
}
