package conn_test

import (
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/stretchr/testify/require"
)

const tcpUserTimeout = 0x12 // linux/tcp.h

func TestDialerSocketOptions(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0", closeAtOnce)
	option := func(d conn.Dialer, level, name int) int {
		t.Helper()
		c, err := d.Dial(t.Context(), "tcp", l.Addr().String())
		require.NoError(t, err)
		defer c.Close()
		raw, err := c.NetConn().(*net.TCPConn).SyscallConn()
		require.NoError(t, err)
		var value int
		var optErr error
		require.NoError(t, raw.Control(func(fd uintptr) {
			value, optErr = syscall.GetsockoptInt(int(fd), level, name)
		}))
		require.NoError(t, optErr)
		return value
	}
	user := func(d time.Duration) int {
		return option(conn.Dialer{UserTimeout: d}, syscall.IPPROTO_TCP, tcpUserTimeout)
	}
	require.Equal(t, 10_000, user(0), "the default")
	require.Equal(t, 0, user(-time.Second))
	require.Equal(t, 1, user(time.Nanosecond), "rounded up")
	require.Equal(t, 7000, user(7*time.Second))

	on := conn.Dialer{}
	require.Equal(t, 1, option(on, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE))
	off := conn.Dialer{KeepAlive: net.KeepAliveConfig{Idle: -1}}
	require.Equal(t, 0, option(off, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE))
	own := conn.Dialer{KeepAlive: net.KeepAliveConfig{Enable: true, Idle: 42 * time.Second, Interval: 3 * time.Second, Count: 5}}
	require.Equal(t, 42, option(own, syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE))
	require.Equal(t, 3, option(own, syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL))
	require.Equal(t, 5, option(own, syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT))
	require.Equal(t, 1, option(on, syscall.IPPROTO_TCP, syscall.TCP_NODELAY))
}

func userTimeoutOf(t *testing.T, nc *net.TCPConn) (ms int) {
	raw, err := nc.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) {
		ms, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout)
	}))
	require.NoError(t, err)
	return ms
}

func TestSetUserTimeoutOfAnAcceptedConnection(t *testing.T) {
	c, peer := tcpPair(t)
	for _, d := range []time.Duration{0, -1} {
		require.NoError(t, conn.SetUserTimeout(peer, d))
		require.Zero(t, userTimeoutOf(t, peer))
	}
	require.NoError(t, conn.SetUserTimeout(peer, 30*time.Second))
	require.Equal(t, 30_000, userTimeoutOf(t, peer))
	require.NoError(t, conn.SetUserTimeout(peer, 1<<63-1))
	require.Equal(t, 1<<31-1, userTimeoutOf(t, peer), "as long as can be")
	require.NoError(t, conn.SetUserTimeout(c, time.Second))
	require.Equal(t, 1000, userTimeoutOf(t, c.NetConn().(*net.TCPConn)), "through a Conn")

	_, overTLS := tlsPair(t)
	require.NoError(t, conn.SetUserTimeout(overTLS, time.Second))
	require.Equal(t, 1000, userTimeoutOf(t, overTLS.NetConn().(*net.TCPConn)))

	_, inMemory := memoryPair(t)
	require.NoError(t, conn.SetUserTimeout(inMemory, time.Second))
	require.NoError(t, c.Close())
	require.NoError(t, conn.SetUserTimeout(c, time.Second), "there is no TCP connection any more")
}

func TestUserTimeoutOnAUnixSocket(t *testing.T) {
	l := listen(t, "unix", filepath.Join(t.TempDir(), "s"), closeAtOnce)
	d := conn.Dialer{UserTimeout: time.Second}
	c, err := d.Dial(t.Context(), "unix", l.Addr().String())
	require.NoError(t, err)
	require.NoError(t, c.Close())
}

// A socket that was reset before this process got it has no remote address.
func TestTimeoutWithoutARemoteAddress(t *testing.T) {
	below, peer := tcpPair(t)
	file, err := below.NetConn().(*net.TCPConn).File()
	require.NoError(t, err)
	defer file.Close()
	require.NoError(t, peer.SetLinger(0))
	require.NoError(t, peer.Close())
	require.Eventually(t, func() bool { return below.Check() != nil }, 5*time.Second, time.Millisecond)
	nc, err := net.FileConn(file)
	require.NoError(t, err)
	require.Nil(t, nc.RemoteAddr())
	c := conn.New(nc)
	defer c.Close()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(-time.Second)))
	requireTimeout(t, readByte(c)())
}

// A connection that is closed, or never was, cannot be set, and says so.
func TestSetUserTimeoutThatFails(t *testing.T) {
	c, _ := tcpPair(t)
	nc := c.NetConn()
	require.NoError(t, nc.Close())
	require.Error(t, conn.SetUserTimeout(nc, time.Second))
	require.Error(t, conn.SetUserTimeout(new(net.TCPConn), time.Second))
	require.NoError(t, conn.SetUserTimeout(new(net.TCPConn), 0), "nothing is to be set")
}
