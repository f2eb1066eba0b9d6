package conn

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// overLoopback is one end of a TCP connection; the other is not accepted.
func overLoopback(t *testing.T) net.Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	nc, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = nc.Close() })
	return nc
}

// A system that refuses TCP_USER_TIMEOUT is no reason for a connection without it.
func TestUserTimeoutThatIsRefused(t *testing.T) {
	nc := overLoopback(t)
	require.ErrorIs(t, setUserTimeout(nc.(*net.TCPConn), -time.Second), syscall.EINVAL)

	addr := nc.RemoteAddr().String()
	var socket, other syscall.Stat_t
	nd := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		return errors.Join(raw.Control(func(fd uintptr) { err = becomeUDP(int(fd), &socket) }), err)
	}}
	var d Dialer
	nc, err := d.connect(t.Context(), &nd, "tcp", addr)
	var refused *os.SyscallError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "setsockopt", refused.Syscall)
	require.Nil(t, nc)
	all, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	for _, one := range all {
		if syscall.Stat("/proc/self/fd/"+one.Name(), &other) == nil {
			require.NotEqual(t, socket.Ino, other.Ino, "its socket is closed")
		}
	}
}

// becomeUDP puts a UDP socket in the place of another: it connects, and has no option of
// TCP.
func becomeUDP(fd int, socket *syscall.Stat_t) error {
	udp, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return errors.Join(syscall.Dup3(udp, fd, syscall.O_CLOEXEC), syscall.Close(udp), syscall.Fstat(fd, socket))
}
