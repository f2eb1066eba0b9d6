package faultproxy_test

import (
	"net"
	"testing"

	"github.com/seed-99d6a01a/gtcp/internal/faultproxy"
	"github.com/stretchr/testify/require"
)

func TestRefusedAddr(t *testing.T) {
	addr, stop, err := faultproxy.RefusedAddr()
	require.NoError(t, err)
	for range 3 {
		requireRefused(t, addr)
	}
	_, err = net.Listen("tcp", addr)
	require.Error(t, err, "nobody can get the port")
	require.NoError(t, stop())
}
