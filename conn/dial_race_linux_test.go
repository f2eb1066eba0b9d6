package conn_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/faultproxy"
	"github.com/stretchr/testify/require"
)

// addresses are what a name stands for, and how often it was asked for.
type addresses struct {
	atomic.Pointer[[]netip.Addr]
	asked atomic.Int64
}

// nameServer replies to every question for addresses with ips.
func nameServer(t *testing.T, ips *addresses) *net.Resolver {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(b)
			if err != nil {
				return
			}
			reply, isIPv4 := dnsReply(b[:n], *ips.Load())
			if isIPv4 {
				ips.asked.Add(1)
			}
			_, _ = pc.WriteTo(reply, from)
		}
	}()
	t.Cleanup(func() {
		pc.Close()
		<-done
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}

// dnsReply makes the reply to a query with one question.
func dnsReply(query []byte, ips []netip.Addr) (reply []byte, isIPv4 bool) {
	const header, typeA, typeAAAA, classIN = 12, 1, 28, 1
	end := header
	for query[end] != 0 { // the labels of the name
		end += 1 + int(query[end])
	}
	end += 1 + 4 // the type and the class
	reply = append([]byte(nil), query[:end]...)
	reply[2], reply[3] = reply[2]|0x84, 0 // a reply, with authority
	clear(reply[6:header])
	asked := binary.BigEndian.Uint16(query[end-4:])
	for _, ip := range ips {
		if asked == typeA && ip.Is4() || asked == typeAAAA && ip.Is6() {
			reply[7]++ // replies
			reply = append(reply, 0xc0, header, 0, byte(asked), 0, classIN, 0, 0, 0, 0, 0, byte(ip.BitLen()/8))
			reply = append(reply, ip.AsSlice()...)
		}
	}
	return reply, asked == typeA
}

// silentListener is a listener that drops the packets that open a connection,
// until drain is called: its queue is full.
func silentListener(t *testing.T, ip string, port int) (addr netip.AddrPort, drain func()) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	require.NoError(t, err)
	require.NoError(t, syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1))
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: netip.MustParseAddr(ip).As4(), Port: port}))
	require.NoError(t, syscall.Listen(fd, 0))
	require.NoError(t, syscall.SetNonblock(fd, true))
	sa, err := syscall.Getsockname(fd)
	require.NoError(t, err)
	addr = netip.AddrPortFrom(netip.MustParseAddr(ip), uint16(sa.(*syscall.SockaddrInet4).Port))
	t.Cleanup(func() { syscall.Close(fd) })
	for {
		nc, err := net.DialTimeout("tcp", addr.String(), 200*time.Millisecond)
		if err != nil {
			break
		}
		t.Cleanup(func() { nc.Close() })
	}
	return addr, func() {
		for {
			nfd, _, err := syscall.Accept(fd)
			if err != nil {
				return
			}
			t.Cleanup(func() { syscall.Close(nfd) })
		}
	}
}

// named is a name with several addresses on one port: the first is silent.
func named(t *testing.T) (target conn.Target, drain func(), ips *addresses) {
	t.Helper()
	l := listen(t, "tcp", "127.0.0.1:0", closeAtOnce)
	port := l.Addr().(*net.TCPAddr).Port
	_, drain = silentListener(t, "127.0.0.2", port)
	ips = new(addresses)
	ips.Store(&[]netip.Addr{netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.1")})
	return conn.Target{
		Address: net.JoinHostPort("db.test.", l.Addr().String()[len("127.0.0.1:"):]),
		Dialer:  &conn.Dialer{Resolver: nameServer(t, ips)},
	}, drain, ips
}

func host(t *testing.T, c *conn.Conn, err error) string {
	t.Helper()
	require.NoError(t, err)
	defer c.Close()
	return c.RemoteAddr().(*net.TCPAddr).IP.String()
}

// Without a Resolver the program's default counts.
func TestDialUsesTheDefaultResolver(t *testing.T) {
	target, _, _ := named(t)
	before := net.DefaultResolver
	defer func() { net.DefaultResolver = before }()
	net.DefaultResolver = target.Dialer.Resolver
	c, err := new(conn.Dialer).Dial(t.Context(), "tcp", target.Address)
	require.Equal(t, "127.0.0.1", host(t, c, err))
}

// From an IPv4 address no IPv6 address is tried, whose error would hide the true one.
func TestDialFromAnAddressOfOneFamily(t *testing.T) {
	nobody, stop, err := faultproxy.RefusedAddr()
	require.NoError(t, err)
	defer func() { require.NoError(t, stop()) }()
	ips := new(addresses)
	ips.Store(&[]netip.Addr{netip.IPv6Loopback(), netip.MustParseAddr("127.0.0.1")})
	d := conn.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, Resolver: nameServer(t, ips)}
	_, err = d.Dial(t.Context(), "tcp", "db.test."+nobody[len("127.0.0.1"):])
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
}

// With the first address dead a dial took a share of its whole time limit
// before it came to the second.
func TestDialPastADeadFirstAddress(t *testing.T) {
	target, drain, _ := named(t)
	start := time.Now()
	c, err := target.Connect(t.Context())
	require.Equal(t, "127.0.0.1", host(t, c, err))
	require.GreaterOrEqual(t, time.Since(start), 250*time.Millisecond, "the first had its chance")

	prepared, err := target.Prepare()
	require.NoError(t, err)
	c, err = prepared.Connect(t.Context())
	require.Equal(t, "127.0.0.1", host(t, c, err))
	drain() // now the first is alive, but had been overtaken
	for range 3 {
		c, err = prepared.Connect(t.Context())
		require.Equal(t, "127.0.0.1", host(t, c, err), "a prepared target remembers it")
	}
	c, err = target.Connect(t.Context())
	require.Equal(t, "127.0.0.2", host(t, c, err), "a Dialer by itself remembers nothing")
}

func TestDialTriesTheNextAddressAtOnceWhenOneFails(t *testing.T) {
	target, _, ips := named(t)
	ips.Store(&[]netip.Addr{netip.MustParseAddr("127.0.0.3"), netip.MustParseAddr("127.0.0.4"), netip.MustParseAddr("127.0.0.1")})
	c, err := target.Connect(t.Context())
	require.Equal(t, "127.0.0.1", host(t, c, err))

	ips.Store(&[]netip.Addr{netip.MustParseAddr("127.0.0.3"), netip.MustParseAddr("127.0.0.4")})
	_, err = target.Connect(t.Context())
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	require.Equal(t, conn.KindRefused, conn.KindOf(err))
	var op *net.OpError
	require.ErrorAs(t, err, &op)
	require.Equal(t, "127.0.0.3", op.Addr.(*net.TCPAddr).IP.String(), "the first error is returned")
}

// One address fails while the other is slow.
func TestDialWaitsForTheSlowAddressWhenTheOtherFails(t *testing.T) {
	target, drain, ips := named(t)
	ips.Store(&[]netip.Addr{netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.3")})
	type result struct {
		c   *conn.Conn
		err error
	}
	done := make(chan result, 1)
	go func() {
		c, err := target.Connect(t.Context())
		done <- result{c, err}
	}()
	// A third attempt asks for the name again. By then the second has been refused.
	require.Eventually(t, func() bool { return ips.asked.Load() >= 2 }, 20*time.Second, time.Millisecond)
	drain()
	r := <-done
	require.Equal(t, "127.0.0.2", host(t, r.c, r.err))
}

// The host dies and its name moves to another while a dial is in progress.
func TestDialFollowsANameThatMoves(t *testing.T) {
	target, _, ips := named(t)
	dead, alive := netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.1")
	ips.Store(&[]netip.Addr{dead})
	port := netip.MustParseAddrPort("127.0.0.2" + target.Address[len("db.test."):])
	var c *conn.Conn
	var err error
	connected := make(chan struct{})
	go func() {
		defer close(connected)
		c, err = target.Connect(t.Context())
	}()
	require.Eventually(t, func() bool { return opening(t, port) > 0 }, 20*time.Second, time.Millisecond)
	ips.Store(&[]netip.Addr{alive})
	<-connected
	require.Equal(t, "127.0.0.1", host(t, c, err))

	prepared, err := target.Prepare()
	require.NoError(t, err)
	ips.Store(&[]netip.Addr{dead})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := prepared.Connect(ctx)
		done <- err
	}()
	require.Eventually(t, func() bool { return opening(t, port) >= 2 }, 20*time.Second, 10*time.Millisecond, "the same address again")
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	require.Zero(t, opening(t, port))
}

func TestDialFromALocalAddressTriesThatFamily(t *testing.T) {
	target, _, ips := named(t)
	ips.Store(&[]netip.Addr{netip.MustParseAddr("127.0.0.1")})
	target.Dialer.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}
	c, err := target.Connect(t.Context())
	require.Equal(t, "127.0.0.1", host(t, c, err))
	target.Network = "tcp6"
	_, err = target.Connect(t.Context())
	require.Error(t, err)
	require.Equal(t, conn.KindDial, conn.KindOf(err))
}

func TestDialOfManyDeadAddressesIsBoundedByItsContext(t *testing.T) {
	target, _, ips := named(t)
	dead := netip.MustParseAddr("127.0.0.2")
	ips.Store(&[]netip.Addr{dead, dead, dead, dead, dead, dead})
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	_, err := target.Connect(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	requireTimeout(t, err)
	require.Equal(t, conn.KindTimeout, conn.KindOf(err))
}

// opening counts this machine's sockets that are connecting to addr.
func opening(t testing.TB, addr netip.AddrPort) int { return len(connecting(t, addr)) }

// connecting names those sockets by their local port.
func connecting(t testing.TB, addr netip.AddrPort) map[string]bool {
	f, err := os.Open("/proc/net/tcp")
	if err != nil {
		t.Error(err)
		return nil
	}
	defer f.Close()
	ip := addr.Addr().As4()
	want := fmt.Sprintf("%08X:%04X 02 ", binary.NativeEndian.Uint32(ip[:]), addr.Port()) // 02 is SYN_SENT
	locals := map[string]bool{}                                                          // the table can name a socket twice if it changes while it is read
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if before, _, found := strings.Cut(lines.Text(), want); found {
			locals[before[strings.Index(before, ":")+1:]] = true
		}
	}
	return locals
}

// The system sends a packet that was lost again after 1, 3 and 7 s. A second
// attempt beside a slow one does not wait for that.
func TestDialBesideASlowAttempt(t *testing.T) {
	addr, _ := silentListener(t, "127.0.0.1", 0)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		var d conn.Dialer
		_, err := d.Dial(ctx, "tcp", addr.String())
		done <- err
	}()
	require.Eventually(t, func() bool { return opening(t, addr) >= 1 }, 20*time.Second, time.Millisecond)
	require.Eventually(t, func() bool { return opening(t, addr) == 3 }, 30*time.Second, 10*time.Millisecond)
	all, most := map[string]bool{}, 0
	require.Eventually(t, func() bool {
		now := connecting(t, addr)
		most = max(most, len(now))
		maps.Copy(all, now)
		return len(all) >= 5
	}, 30*time.Second, 10*time.Millisecond, "the oldest gives way to the next")
	require.LessOrEqual(t, most, 3+1, "one more while it does")
	require.Eventually(t, func() bool { return opening(t, addr) <= 3 }, 10*time.Second, time.Millisecond, "no more than so many at a time")
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	require.Zero(t, opening(t, addr), "Dial has waited for all of them")
}
