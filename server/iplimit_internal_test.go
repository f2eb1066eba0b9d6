package server

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
)

// An address without connections takes no memory: the map would grow for as long as
// the server runs.
func TestAddressesWithoutConnectionsAreForgotten(t *testing.T) {
	s := &Server{MaxConnsPerIP: 2, Handler: HandlerFunc(func(_ context.Context, c *conn.Conn) {
		_, _ = c.Read(make([]byte, 1))
	})}
	l := memnet.Listen("server")
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	for i := range byte(20) {
		nc, err := l.DialFrom(t.Context(), &net.TCPAddr{IP: net.IPv4(192, 0, 2, i), Port: 1})
		require.NoError(t, err)
		require.Eventually(t, func() bool { return addresses(s) == 1 }, 10*time.Second, time.Millisecond)
		require.NoError(t, nc.Close())
		require.Eventually(t, func() bool { return addresses(s) == 0 }, 10*time.Second, time.Millisecond)
	}
	require.NoError(t, s.Shutdown(t.Context()))
	require.ErrorIs(t, <-served, ErrServerClosed)
}

func addresses(s *Server) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.peers)
}
