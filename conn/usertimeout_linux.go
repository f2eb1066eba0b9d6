package conn

import (
	"os"
	"syscall"
	"time"
)

// tcpUserTimeout is TCP_USER_TIMEOUT, which package syscall does not name.
const tcpUserTimeout = 0x12

func userTimeoutControl(d time.Duration) func(network, address string, c syscall.RawConn) error {
	ms := int((d + time.Millisecond - 1) / time.Millisecond)
	return func(_, _ string, c syscall.RawConn) error {
		var errno error
		err := c.Control(func(fd uintptr) {
			errno = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, ms)
		})
		if err != nil {
			return err
		}
		return os.NewSyscallError("setsockopt", errno)
	}
}
