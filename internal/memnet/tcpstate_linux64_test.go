//go:build linux && (amd64 || arm64)

package memnet_test

import (
	"net"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// tcpClosed says whether the kernel has seen the reset: state TCP_CLOSE, the
// first byte of struct tcp_info (tcp(7)).
func tcpClosed(t *testing.T, c *net.TCPConn) bool {
	raw, err := c.SyscallConn()
	require.NoError(t, err)
	var info [192]byte
	size := uint32(len(info))
	var errno syscall.Errno
	require.NoError(t, raw.Control(func(fd uintptr) {
		_, _, errno = syscall.Syscall6(syscall.SYS_GETSOCKOPT, fd, syscall.IPPROTO_TCP, syscall.TCP_INFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	}))
	require.Zero(t, errno)
	const tcpClose = 7
	return info[0] == tcpClose
}
