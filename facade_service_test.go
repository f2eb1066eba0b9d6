package gtcp_test

import (
	"context"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool/balance"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

// registry is a resolver that reports what it is told.
type pushed struct{ sets chan []resolve.Endpoint }

func (p pushed) Watch(ctx context.Context, update func([]resolve.Endpoint, error)) error {
	for {
		select {
		case set := <-p.sets:
			update(set, nil)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p pushed) push(addrs ...string) { p.sets <- resolve.Addrs(addrs...) }

// resolves makes the test's name a service until the test ends.
func resolves(t *testing.T, r resolve.Resolver, policy balance.Policy) string {
	t.Helper()
	require.NoError(t, gtcp.ConfigureResolver(t.Name(), r, policy))
	t.Cleanup(func() { require.NoError(t, gtcp.ConfigureResolver(t.Name(), nil, nil)) })
	return t.Name()
}

// ask makes one call and returns the address that replied.
func ask(t *testing.T, name string) string {
	t.Helper()
	c := checkOut(t, name, hang())
	got, err := c.SendRecvPkgWithTimeout([]byte("hello"), hang())
	require.NoError(t, err)
	require.Equal(t, "hello", string(got))
	addr := c.RemoteAddr().String()
	require.NoError(t, c.Close())
	return addr
}

// infos are the pools of a service, by address.
func infos(name string) map[string]gtcp.PoolInfo {
	found := map[string]gtcp.PoolInfo{}
	for _, info := range gtcp.Pools() {
		if info.Service == name {
			found[info.Addr] = info
		}
	}
	return found
}

func TestServiceSpreadsOverItsServers(t *testing.T) {
	servers := []string{rawServer(t, echo), rawServer(t, echo), rawServer(t, echo)}
	name := resolves(t, resolve.Addrs(servers...), balance.RoundRobin)
	calls, before := map[string]int{}, gtcp.PoolsStat()
	for range 30 {
		calls[ask(t, name)]++
	}
	require.GreaterOrEqual(t, gtcp.PoolsStat().Gets-before.Gets, uint64(30))
	require.GreaterOrEqual(t, gtcp.PoolsStat().Dials-before.Dials, uint64(3))
	for _, addr := range servers {
		require.Equal(t, 10, calls[addr])
		info := infos(name)[addr]
		require.EqualValues(t, 1, info.Stat.Dials, "its connection is used again")
		require.Len(t, slices.Collect(info.Pool.Conns()), 1)
	}
	require.Zero(t, gtcp.PoolStat(name))
}

// Without a policy, a connection goes to the server with the fewest in use.
func TestServiceAvoidsTheBusyServer(t *testing.T) {
	servers := []string{rawServer(t, echo), rawServer(t, echo)}
	name := resolves(t, resolve.Addrs(servers...), nil)
	counts := map[string]int{}
	for range 10 {
		c := checkOut(t, name)
		defer c.Close()
		counts[c.RemoteAddr().String()]++
	}
	require.Equal(t, map[string]int{servers[0]: 5, servers[1]: 5}, counts)
}

// A server that refuses costs no caller anything.
func TestServiceWithADeadServer(t *testing.T) {
	alive := rawServer(t, echo)
	name := resolves(t, resolve.Addrs(refusedAddr(t), alive, refusedAddr(t)), balance.RoundRobin)
	for range 30 {
		require.Equal(t, alive, ask(t, name))
	}
}

func TestServiceOfDeadServers(t *testing.T) {
	name := resolves(t, resolve.Addrs(refusedAddr(t), refusedAddr(t)), nil)
	for range 3 {
		c, err := gtcp.NewPoolConn(name)
		require.Nil(t, c)
		require.Equal(t, conn.KindRefused, conn.KindOf(err))
		require.NoError(t, gtcp.ConfigureResolver(name, resolve.Addrs(refusedAddr(t), refusedAddr(t), refusedAddr(t), refusedAddr(t)), nil))
	}
	alone := refusedAddr(t)
	require.NoError(t, gtcp.ConfigureResolver(name, resolve.Addrs(alone), nil))
	_, err := gtcp.NewPoolConn(name)
	require.ErrorContains(t, err, alone)
}

// What is known of a service decides, and its connections follow.
func TestServiceThatMoves(t *testing.T) {
	a, b := rawServer(t, echo), rawServer(t, echo)
	r := pushed{make(chan []resolve.Endpoint)}
	name := resolves(t, r, nil)
	_, err := gtcp.NewPoolConn(name, 10*time.Millisecond)
	require.True(t, isTimeout(err), "%v", err)
	require.ErrorIs(t, err, context.DeadlineExceeded)

	r.push(a)
	require.Equal(t, a, ask(t, name))
	inUse := checkOut(t, name)
	r.push(b)
	within(t, func() {
		for ask(t, name) != b {
			time.Sleep(time.Millisecond)
		}
	})
	got, err := inUse.SendRecvPkg([]byte("still here"))
	require.NoError(t, err)
	require.Equal(t, "still here", string(got))
	require.NoError(t, inUse.Close())
	require.ErrorIs(t, inUse.Conn.Send(nil), net.ErrClosed)
	require.Len(t, infos(name), 1)
}

// The options of the service's name are those of its servers, also when they
// change.
func TestServiceOptions(t *testing.T) {
	server := rawServer(t, echo)
	name := resolves(t, resolve.Addrs(server), nil)
	require.Equal(t, server, ask(t, name))
	watch := &dials{}
	configure(t, gtcp.PoolOptions{MaxConns: 1, Hooks: []any{watch}}, name)
	require.Equal(t, server, ask(t, name))
	require.Equal(t, []string{server}, watch.seen())
	require.Equal(t, 1, infos(name)[server].Stat.MaxConns)
	c := checkOut(t, name)
	_, err := gtcp.NewPoolConn(name, 10*time.Millisecond)
	require.True(t, isTimeout(err))
	require.NoError(t, c.Close())

	require.NoError(t, gtcp.ConfigureResolver(name, nil, nil))
	require.Empty(t, infos(name))
	_, err = gtcp.NewPoolConn(name)
	require.ErrorContains(t, err, name, "it is a plain address again")
	require.NoError(t, gtcp.ConfigureResolver(name, nil, nil), "twice is no error")
}

// A plain address that becomes a service keeps what is checked out.
func TestAddressBecomesAService(t *testing.T) {
	plain, other := rawServer(t, echo), rawServer(t, echo)
	use(t, plain)
	c := checkOut(t, plain)
	require.NoError(t, gtcp.ConfigureResolver(plain, resolve.Addrs(other), nil))
	defer func() { require.NoError(t, gtcp.ConfigureResolver(plain, nil, nil)) }()
	require.Equal(t, other, ask(t, plain))
	got, err := c.SendRecv([]byte("hello"), 5)
	require.NoError(t, err)
	require.Equal(t, "hello", string(got))
	require.NoError(t, c.Close())
}

// A server that takes requests and resets is left out after some of them.
func TestServiceLeavesOutAServerThatFails(t *testing.T) {
	good := rawServer(t, echo)
	bad := rawServer(t, func(c *net.TCPConn, _ int) {
		_, _ = c.Read(make([]byte, 1))
		reset(c)
	})
	name := resolves(t, resolve.Addrs(good, bad), balance.RoundRobin)
	failed := 0
	for range 100 {
		c := checkOut(t, name)
		if _, err := c.SendRecvPkg([]byte("hello")); err != nil {
			failed++
		}
		require.NoError(t, c.Close())
	}
	require.NotZero(t, failed)
	require.Less(t, failed, 20)
}

// A request without a reply within its timeout counts against its server too.
func TestServiceLeavesOutAServerThatIsSilent(t *testing.T) {
	good := rawServer(t, echo)
	silent, _ := oneWayServer(t)
	name := resolves(t, resolve.Addrs(good, silent), balance.RoundRobin)
	failed := 0
	for range 40 {
		c := checkOut(t, name)
		if _, err := c.SendRecvPkgWithTimeout([]byte("hello"), 100*time.Millisecond); err != nil {
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			failed++
		}
		require.NoError(t, c.Close())
	}
	require.NotZero(t, failed)
	require.Less(t, failed, 15)
}

// A server that closes its connection after each reply does not fail.
func TestServiceKeepsAServerThatClosesAfterItsReply(t *testing.T) {
	closes := rawServer(t, func(c *net.TCPConn, _ int) { _, _ = io.CopyN(c, c, 7) })
	good := rawServer(t, echo)
	name := resolves(t, resolve.Addrs(closes, good), balance.RoundRobin)
	calls := map[string]int{}
	for range 40 {
		c := checkOut(t, name)
		got, err := c.SendRecvPkg([]byte("hello"))
		require.NoError(t, err)
		require.Equal(t, "hello", string(got))
		calls[c.RemoteAddr().String()]++
		if c.RemoteAddr().String() == closes {
			_, err = c.Recv(1)
			require.Equal(t, io.EOF, err)
		}
		require.NoError(t, c.Close())
	}
	require.Equal(t, map[string]int{closes: 20, good: 20}, calls)
}

// Connections that died while they were idle do not count against a server that
// is back.
func TestServiceForgivesConnectionsThatDiedIdle(t *testing.T) {
	restart, closed := make(chan struct{}), make(chan struct{}, 8)
	restarted := rawServer(t, func(c *net.TCPConn, n int) {
		if n >= 8 {
			echo(c, n)
			return
		}
		_, _ = io.CopyN(c, c, 7)
		<-restart
		_ = c.Close()
		closed <- struct{}{}
	})
	good := rawServer(t, echo)
	name := resolves(t, resolve.Addrs(restarted, good), balance.RoundRobin)
	var all []*gtcp.PoolConn
	for range 16 {
		c := checkOut(t, name)
		_, err := c.SendRecvPkg([]byte("hello"))
		require.NoError(t, err)
		all = append(all, c)
	}
	for _, c := range all {
		require.NoError(t, c.Close())
	}
	close(restart)
	within(t, func() {
		for range 8 {
			<-closed
		}
	})
	calls := map[string]int{}
	for range 60 {
		c := checkOut(t, name)
		if _, err := c.SendRecvPkg([]byte("hello")); err == nil {
			calls[c.RemoteAddr().String()]++
		}
		require.NoError(t, c.Close())
	}
	require.GreaterOrEqual(t, calls[restarted], 22, "it is in its turn all the time")
}

// Callers go on while the resolver is replaced under them.
func TestServiceReplacedUnderItsCallers(t *testing.T) {
	servers := []string{rawServer(t, echo), rawServer(t, echo)}
	name := resolves(t, resolve.Addrs(servers...), nil)
	stop := make(chan struct{})
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c, err := gtcp.NewPoolConn(name, hang())
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := c.SendRecvPkg([]byte("hello")); err != nil || string(got) != "hello" {
					t.Errorf("%q, %v", got, err)
				}
				_ = c.Close()
			}
		})
	}
	for i := range 20 {
		require.NoError(t, gtcp.ConfigureResolver(name, resolve.Addrs(servers[i%2]), nil))
		configure(t, gtcp.PoolOptions{MaxConns: 10 + i}, name)
	}
	close(stop)
	callers.Wait()
}

// dials is a hook that notes the addresses dialed.
type dials struct {
	mu    sync.Mutex
	addrs []string
}

func (d *dials) AfterDial(_ context.Context, e conn.DialEvent) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e.Err == nil {
		d.addrs = append(d.addrs, e.Peer.String())
	}
}

func (d *dials) seen() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.addrs
}
