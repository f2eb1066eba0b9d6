//go:build !gtcp_noloop

package conn_test

import (
	"context"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/sleep"
)

// resetByPeer has the peer reset the connection, and waits until the system knows.
func resetByPeer(t *testing.T, peer *net.TCPConn, raw syscall.Conn) {
	t.Helper()
	require.NoError(t, peer.SetLinger(0))
	require.NoError(t, peer.Close())
	sc, err := raw.SyscallConn()
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		const tcpInfo, closed = 11, 7 // the first byte of TCP_INFO is the state
		state := 0
		err := sc.Control(func(fd uintptr) { state, _ = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpInfo) })
		return err == nil && state&0xff == closed
	}, 10*time.Second, time.Millisecond)
}

// An error that Check has found would be lost in the sleep.
func TestErrorsKeepAConnectionAwake(t *testing.T) {
	t.Run("of a write", func(t *testing.T) {
		c, peer := tcpPair(t)
		resetByPeer(t, peer, sleep.NetConn(c).(syscall.Conn))
		_, err := c.Write([]byte("x"))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		require.Equal(t, sleep.Busy, sleep.Fall(c, new(watcher)))
	})
	t.Run("that Check has found", func(t *testing.T) {
		c, peer := tcpPair(t)
		resetByPeer(t, peer, sleep.NetConn(c).(syscall.Conn))
		require.ErrorIs(t, c.Check(), syscall.ECONNRESET)
		require.Equal(t, sleep.Busy, sleep.Fall(c, new(watcher)))
		require.ErrorIs(t, readByte(c)(), syscall.ECONNRESET)
	})
}

// The socket of packets has a net.UnixConn too, but its reads are no stream.
func TestPacketsDoNotSleep(t *testing.T) {
	name := &net.UnixAddr{Name: t.TempDir() + "/s", Net: "unixpacket"}
	l, err := net.ListenUnix("unixpacket", name)
	require.NoError(t, err)
	defer l.Close()
	nc, err := net.DialUnix("unixpacket", nil, name)
	require.NoError(t, err)
	c := conn.New(nc)
	defer c.Close()
	require.Equal(t, sleep.Never, sleep.Fall(c, new(watcher)))
}

// A socket whose peer the system has forgotten would have no address after its sleep,
// unless it has slept before.
func TestSleepOfASocketThatWasReset(t *testing.T) {
	c, peer := tcpPair(t)
	remote := c.RemoteAddr()
	require.Equal(t, sleep.Asleep, sleep.Fall(c, new(watcher)))
	require.NoError(t, peer.SetLinger(0))
	require.NoError(t, peer.Close())
	require.Eventually(t, func() bool {
		require.NoError(t, sleep.Wake(c))
		nc := sleep.NetConn(c)
		known := nc.RemoteAddr()
		require.Equal(t, remote, c.RemoteAddr())
		require.Equal(t, sleep.Asleep, sleep.Fall(c, new(watcher)))
		require.Equal(t, remote, c.RemoteAddr())
		return known == nil
	}, 10*time.Second, time.Millisecond)
	require.NoError(t, sleep.Wake(c))
	require.Equal(t, sleep.Asleep, sleep.Fall(c, new(watcher)), "once more")
	require.Equal(t, remote, c.RemoteAddr())
	require.ErrorIs(t, readByte(c)(), syscall.ECONNRESET)

	other, peer := tcpPair(t)
	nc := other.NetConn().(*net.TCPConn)
	resetByPeer(t, peer, nc)
	file, err := nc.File()
	require.NoError(t, err)
	defer file.Close()
	forgotten, err := net.FileConn(file)
	require.NoError(t, err)
	require.Nil(t, forgotten.RemoteAddr())
	c = conn.New(forgotten)
	defer c.Close()
	require.Equal(t, sleep.Never, sleep.Fall(c, new(watcher)))
}

// The zone of an address does not fit into what is left of a sleeping connection.
func TestAddressesOfASleepingConnection(t *testing.T) {
	for _, ip := range ownAddresses(t) {
		l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
		require.NoError(t, err)
		_, port, err := net.SplitHostPort(l.Addr().String())
		require.NoError(t, err)
		for _, sleeps := range []bool{false, true} {
			far, err := net.Dial("tcp", net.JoinHostPort(ip, port))
			require.NoError(t, err)
			near, err := l.Accept()
			require.NoError(t, err)
			c := conn.New(near)
			defer far.Close()
			defer c.Close()
			remote := c.RemoteAddr()
			if remote.(*net.TCPAddr).Zone != "" {
				require.Equal(t, sleep.Never, sleep.Fall(c, new(watcher)), ip)
				continue
			}
			if sleeps {
				require.Equal(t, sleep.Asleep, sleep.Fall(c, new(watcher)), ip)
			}
			require.Equal(t, remote, c.RemoteAddr())
		}
		require.NoError(t, l.Close())
	}
}

// ownAddresses are addresses of this machine of each kind that it has.
func ownAddresses(t *testing.T) []string {
	ips := []string{"127.0.0.1"}
	interfaces, err := net.Interfaces()
	require.NoError(t, err)
	for _, i := range interfaces {
		addrs, err := i.Addrs()
		require.NoError(t, err)
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.To4() == nil && n.IP.IsLinkLocalUnicast() {
				ips = append(ips, n.IP.String()+"%"+i.Name)
			} else if ok && n.IP.Equal(net.IPv6loopback) {
				ips = append(ips, "::1")
			}
		}
	}
	return ips
}

// The watcher watches one descriptor of a connection: the one that is open.
func TestWatcherForgetsTheClosedDescriptor(t *testing.T) {
	c, _ := tcpPair(t)
	raw, err := sleep.NetConn(c).(syscall.Conn).SyscallConn()
	require.NoError(t, err)
	w := new(watcher)
	require.NoError(t, raw.Control(func(fd uintptr) { w.Watch(int(fd)) }))
	require.Equal(t, sleep.Asleep, sleep.Fall(c, w))
	require.Equal(t, 1, w.waits())
}

// To wake a connection that is awake waits for nobody.
func TestWakeOfAConnectionThatReads(t *testing.T) {
	c, peer := tcpPair(t)
	read := make(chan error, 1)
	go func() { read <- readByte(c)() }()
	require.Eventually(t, func() bool { return c.Reusable() != nil }, 10*time.Second, time.Millisecond)
	require.NoError(t, sleep.Wake(c))
	send(t, peer, "x")
	require.NoError(t, <-read)
}

// Only the latest handle of an open connection has a net.Conn.
func TestNetConnOfEndedHandles(t *testing.T) {
	require.Nil(t, sleep.NetConn(new(conn.Conn)))
	c, _ := tcpPair(t)
	next := new(conn.Conn)
	require.NoError(t, c.Handoff(next))
	require.Nil(t, sleep.NetConn(c))
	require.NotNil(t, sleep.NetConn(next))
	require.NoError(t, next.Close())
	require.Nil(t, sleep.NetConn(next))
}

// An operation that could not wake its connection has sent nothing.
func TestWhatIsSafeWithoutAWake(t *testing.T) {
	eachSleeper(t, func(t *testing.T, c *conn.Conn, _ net.Conn, _ *watcher) {
		exhaust(t, func() {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			_, ask := c.Ask([]byte("x"))
			for op, err := range map[string]error{
				"ask": ask, "do": c.Do(ctx, func() error { return nil }), "read": readByte(c)(),
			} {
				require.ErrorIs(t, err, syscall.EMFILE, op)
				requireSafe(t, op != "read", err)
			}
		})
	})
}
