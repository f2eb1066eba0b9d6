//go:build !linux

package conn

import (
	"net"
	"time"
)

// setUserTimeout has no effect where there is no TCP_USER_TIMEOUT.
func setUserTimeout(*net.TCPConn, time.Duration) error { return nil }
