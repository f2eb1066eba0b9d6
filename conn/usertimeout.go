package conn

import (
	"math"
	"net"
	"time"
)

// maxUserTimeout is the most that the system can take.
const maxUserTimeout = math.MaxInt32 * time.Millisecond

// SetUserTimeout sets how long data written to a TCP connection may stay
// unacknowledged before the system closes the connection. It is
// Dialer.UserTimeout for accepted connections. For a server, 30 s is a good
// value. It finds the TCP connection below TLS and other wrappers that have a
// NetConn method. If d is zero or negative, if there is no TCP connection, or
// if the system has no such option, it does nothing.
func SetUserTimeout(nc net.Conn, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	for range maxWrappers {
		switch c := nc.(type) {
		case *net.TCPConn:
			return setUserTimeout(c, d)
		case interface{ NetConn() net.Conn }:
			nc = c.NetConn()
		default:
			return nil
		}
	}
	return nil
}
