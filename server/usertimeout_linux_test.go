package server_test

import (
	"context"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/server"
)

// A client that vanishes with a reply unacknowledged is given up after 30 seconds by
// default.
func TestUserTimeoutOfAcceptedConnections(t *testing.T) {
	for d, want := range map[time.Duration]int{0: 30000, 5 * time.Second: 5000, -1: 0} {
		got := make(chan int, 1)
		s := &server.Server{Handler: echo(), UserTimeout: d, ConnContext: func(ctx context.Context, c *conn.Conn) context.Context {
			raw, err := c.NetConn().(*net.TCPConn).SyscallConn()
			if err == nil {
				_ = raw.Control(func(fd uintptr) {
					ms, _ := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, 0x12)
					got <- ms
				})
			}
			return ctx
		}}
		dial(t, start(t, s))
		require.Equal(t, want, <-got)
	}
}
