package conn

import (
	"net"
	"os"
	"syscall"
	"time"
)

// tcpUserTimeout is TCP_USER_TIMEOUT, which package syscall does not name.
const tcpUserTimeout = 0x12

func setUserTimeout(nc *net.TCPConn, d time.Duration) error {
	raw, err := nc.SyscallConn()
	if err != nil {
		return err
	}
	ms := int((min(d, maxUserTimeout) + time.Millisecond - 1) / time.Millisecond)
	var errno error
	err = raw.Control(func(fd uintptr) {
		errno = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, ms)
	})
	if err != nil {
		return err
	}
	return os.NewSyscallError("setsockopt", errno)
}
