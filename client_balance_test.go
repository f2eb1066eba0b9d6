package gtcp_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool/balance"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
	"github.com/seed-99d6a01a/gtcp/retry"
)

// namedServer replies its name to each request, which it counts.
func namedServer(t *testing.T, name string) (addr string, calls *atomic.Int32) {
	calls = &atomic.Int32{}
	return frameServer(t, func(context.Context, []byte) ([]byte, error) {
		calls.Add(1)
		return []byte(name), nil
	}), calls
}

// registry is a resolver whose set a test changes.
type registry struct {
	sets chan []resolve.Endpoint
}

func newRegistry(addrs ...string) *registry {
	r := &registry{make(chan []resolve.Endpoint, 16)}
	r.set(addrs...)
	return r
}

func (r *registry) set(addrs ...string) { r.sets <- resolve.Addrs(addrs...) }

func (r *registry) Watch(ctx context.Context, update func([]resolve.Endpoint, error)) error {
	for {
		select {
		case set := <-r.sets:
			update(set, nil)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// used are the servers that c has connections to, as its pools or pipelines tell.
func used(t *testing.T, c *gtcp.Client, shared bool) (addrs []string) {
	for addr, p := range c.Pools() {
		require.False(t, shared)
		for pc := range p.Conns() {
			require.Equal(t, addr, pc.RemoteAddr.String())
		}
		addrs = append(addrs, addr)
	}
	for addr, p := range c.Pipelines() {
		require.True(t, shared)
		for pc := range p.Conns() {
			require.Equal(t, addr, pc.RemoteAddr.String())
		}
		addrs = append(addrs, addr)
	}
	for range c.Pools() {
		break
	}
	for range c.Pipelines() {
		break
	}
	return addrs
}

// A client of one server has one pool or pipeline, an invalid one none.
func TestClientPools(t *testing.T) {
	eachMode(t, func(t *testing.T, shared bool) {
		addr, _ := namedServer(t, "x")
		c := client(t, addr, gtcp.ClientConfig{Shared: shared})
		require.Equal(t, []string{addr}, used(t, c, shared))
		invalid := gtcp.NewClient("", gtcp.ClientConfig{Shared: shared})
		require.Empty(t, used(t, invalid, shared))
	})
}

func TestClientManyServers(t *testing.T) {
	eachMode(t, func(t *testing.T, shared bool) {
		var addrs []string
		var calls []*atomic.Int32
		for i := range 3 {
			addr, n := namedServer(t, strconv.Itoa(i))
			addrs, calls = append(addrs, addr), append(calls, n)
		}
		c := client(t, "service", gtcp.ClientConfig{
			Shared: shared, Resolver: resolve.Addrs(addrs...), Balance: gtcp.BalanceConfig{Policy: balance.RoundRobin},
		})
		require.Equal(t, "service", c.Addr())
		for range 30 {
			_, err := c.Call(t.Context(), []byte("x"))
			require.NoError(t, err)
		}
		for _, n := range calls {
			require.EqualValues(t, 10, n.Load())
		}
		require.ElementsMatch(t, addrs, used(t, c, shared))
		s := c.Stat()
		require.Equal(t, 3, s.Balance.Endpoints)
		require.Len(t, s.Endpoints, 3)
		for _, e := range s.Endpoints {
			require.True(t, e.Opened)
			require.EqualValues(t, 10, e.Succeeded)
			require.EqualValues(t, 1, e.Pool.Dials+e.Pipeline.Dials)
		}
		require.EqualValues(t, 3, s.Pool.Dials+s.Pipeline.Dials, "the sum")
		require.Equal(t, 3, s.Pool.Open+s.Pipeline.Open)
		require.NoError(t, c.Shutdown(t.Context()))
		_, err := c.Call(t.Context(), []byte("x"))
		require.ErrorIs(t, err, net.ErrClosed)
		require.Equal(t, conn.KindClosed, conn.KindOf(err))
		require.False(t, retry.SafeToRetry(err))
	})
}

// A call whose server refuses goes on to another, at once and without being
// declared idempotent.
func TestClientRetriesOnAnotherServer(t *testing.T) {
	eachMode(t, func(t *testing.T, shared bool) {
		addr, calls := namedServer(t, "up")
		c := client(t, "", gtcp.ClientConfig{
			Shared: shared, Resolver: resolve.Addrs(refusedAddr(t), addr, refusedAddr(t)),
			Balance: gtcp.BalanceConfig{Policy: balance.RoundRobin},
		})
		available := 3 // the least seen: on a busy machine a server may be back before the calls end
		for range 100 {
			reply, err := c.Call(t.Context(), []byte("x"))
			require.NoError(t, err)
			require.Equal(t, "up", string(reply))
			available = min(available, c.Stat().Balance.Available)
		}
		require.EqualValues(t, 100, calls.Load())
		require.Equal(t, 1, available, "those that refuse are ejected, or quiet for as long as their pool does not dial")
	})
}

// A server that is removed finishes what it has, and gets nothing more.
func TestClientRemovalDrains(t *testing.T) {
	eachMode(t, func(t *testing.T, shared bool) {
		begun, end := make(chan struct{}), make(chan struct{})
		var calls atomic.Int32
		old := frameServer(t, func(context.Context, []byte) ([]byte, error) {
			calls.Add(1)
			close(begun)
			<-end
			return []byte("old"), nil
		})
		fresh, _ := namedServer(t, "new")
		r := newRegistry(old)
		c := client(t, "", gtcp.ClientConfig{Shared: shared, Resolver: r})
		called := make(chan outcome, 1)
		go func() {
			reply, err := c.Call(context.Background(), []byte("x"))
			called <- outcome{string(reply), err}
		}()
		<-begun
		r.set(fresh)
		require.Eventually(t, func() bool {
			s := c.Stat()
			return s.Balance.Draining == 1 && len(s.Endpoints) == 1 && s.Endpoints[0].Endpoint.Addr == fresh
		}, 10*time.Second, time.Millisecond)
		for range 10 {
			reply, err := c.Call(t.Context(), []byte("x"))
			require.NoError(t, err)
			require.Equal(t, "new", string(reply))
		}
		close(end)
		require.Equal(t, outcome{"old", nil}, <-called)
		require.EqualValues(t, 1, calls.Load())
		require.Eventually(t, func() bool { return c.Stat().Balance.Draining == 0 }, 10*time.Second, time.Millisecond)
	})
}

// The counts of a server stay in the client's when it leaves: a metric that
// falls looks like a restart, and makes its rate jump.
func TestClientStatOfServersThatLeft(t *testing.T) {
	eachMode(t, func(t *testing.T, shared bool) {
		old, _ := namedServer(t, "old")
		fresh, _ := namedServer(t, "new")
		r := newRegistry(old)
		c := client(t, "", gtcp.ClientConfig{Shared: shared, Resolver: r})
		for range 5 {
			_, err := c.Call(t.Context(), []byte("x"))
			require.NoError(t, err)
		}
		before := c.Stat()
		require.Equal(t, shared, before.Shared)
		r.set(fresh)
		var fell atomic.Bool
		require.Eventually(t, func() bool {
			s := c.Stat()
			if s.Pool.Gets+s.Pipeline.Calls < 5 {
				fell.Store(true)
			}
			return len(s.Endpoints) == 1 && s.Endpoints[0].Endpoint.Addr == fresh && s.Pool.Open+s.Pipeline.Open == 0 &&
				s.Pool.Evictions.Total()+s.Pipeline.Ends.Total() > 0 // counted after the close
		}, 10*time.Second, time.Millisecond)
		require.False(t, fell.Load(), "at no moment")
		_, err := c.Call(t.Context(), []byte("x"))
		require.NoError(t, err)
		s := c.Stat()
		require.EqualValues(t, 6, s.Pool.Gets+s.Pipeline.Calls)
		require.EqualValues(t, 2, s.Pool.Dials+s.Pipeline.Dials)
		require.Equal(t, 1, s.Pool.Open+s.Pipeline.Open, "but only what is open is open")
		require.Greater(t, s.Pool.BytesWritten+s.Pipeline.BytesWritten, before.Pool.BytesWritten+before.Pipeline.BytesWritten)
		require.EqualValues(t, 1, s.Pool.Evictions.Total()+s.Pipeline.Ends.Total())
	})
}

type outcome struct {
	reply string
	err   error
}

// Without a server a call fails, in words and kind of its own, and safely.
func TestClientNoServers(t *testing.T) {
	down := errors.New("registry is down")
	eachMode(t, func(t *testing.T, shared bool) {
		for name, r := range map[string]resolve.Resolver{
			"empty": resolve.Static{},
			"fails": failingResolver{down},
		} {
			c := client(t, "orders", gtcp.ClientConfig{Shared: shared, Resolver: r, Retry: retry.Policy{MaxAttempts: 1},
				Balance: gtcp.BalanceConfig{AllowEmpty: true}})
			_, err := c.Call(t.Context(), []byte("x"))
			var e *gtcp.CallError
			require.ErrorAs(t, err, &e)
			require.Equal(t, "orders", e.Addr)
			require.Equal(t, "resolve", e.Kind())
			require.True(t, retry.SafeToRetry(err))
			require.EqualValues(t, 1, c.Stat().Errors["resolve"])
			if name == "fails" {
				require.ErrorIs(t, err, down)
			}
		}
	})
}

type failingResolver struct{ err error }

func (r failingResolver) Watch(ctx context.Context, update func([]resolve.Endpoint, error)) error {
	update(nil, r.err)
	<-ctx.Done()
	return ctx.Err()
}

// Calls with a key stay together.
func TestClientKey(t *testing.T) {
	var addrs []string
	for i := range 4 {
		addr, _ := namedServer(t, strconv.Itoa(i))
		addrs = append(addrs, addr)
	}
	c := client(t, "", gtcp.ClientConfig{Resolver: resolve.Addrs(addrs...), Balance: gtcp.BalanceConfig{Policy: balance.Hash(0)}})
	servers := map[string]bool{}
	for key := range 32 {
		options := gtcp.CallOptions{Key: strconv.Itoa(key)}
		first, err := c.CallWith(t.Context(), nil, []byte("x"), options)
		require.NoError(t, err)
		servers[string(first)] = true
		for range 5 {
			reply, err := c.CallWith(t.Context(), nil, []byte("x"), options)
			require.NoError(t, err)
			require.Equal(t, string(first), string(reply))
		}
	}
	require.Greater(t, len(servers), 1)
}

// The second attempt of a hedged call goes to another server.
func TestClientHedgesOnAnotherServer(t *testing.T) {
	eachMode(t, func(t *testing.T, shared bool) {
		slow := frameServer(t, func(ctx context.Context, _ []byte) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		fast, _ := namedServer(t, "fast")
		c := client(t, "", gtcp.ClientConfig{Shared: shared, Resolver: resolve.Addrs(slow, fast),
			Balance: gtcp.BalanceConfig{Policy: balance.RoundRobin}})
		for range 4 {
			reply, err := c.CallWith(t.Context(), nil, []byte("x"), gtcp.CallOptions{Idempotent: true, Hedge: 2 * time.Millisecond})
			require.NoError(t, err)
			require.Equal(t, "fast", string(reply))
		}
		require.NotZero(t, c.Stat().Hedges)
	})
}

// A server that says goodbye gets no more calls for a while.
func TestClientGoodbyeOfOneServer(t *testing.T) {
	leaving := rawServer(t, func(c *net.TCPConn, _ int) {
		_, _ = io.ReadFull(c, make([]byte, 3))
		_, _ = c.Write([]byte("\x00\x03bye"))
	})
	stays, _ := namedServer(t, "stays")
	c := client(t, "", gtcp.ClientConfig{Goodbye: []byte("bye"), Resolver: resolve.Addrs(leaving, stays),
		Balance: gtcp.BalanceConfig{Policy: balance.RoundRobin}})
	for range 10 {
		reply, err := c.Call(t.Context(), []byte("x"))
		require.NoError(t, err)
		require.Equal(t, "stays", string(reply))
	}
	require.Less(t, c.Stat().Retries, uint64(5), "every second call would meet it")
}

func TestClientResolverConfig(t *testing.T) {
	r := resolve.Addrs("127.0.0.1:1")
	require.NoError(t, gtcp.ClientConfig{Resolver: r}.Validate())
	for field, cfg := range map[string]gtcp.ClientConfig{
		"Target.Address": {Resolver: r, Target: conn.Target{Address: "a:1"}},
		"Target.Network": {Resolver: r, Target: conn.Target{Network: "tcp4"}},
		"Target.Dial":    {Resolver: r, Target: conn.Target{Dial: func(context.Context) (net.Conn, error) { return nil, nil }}},
		"Dialer.":        {Resolver: r, Target: conn.Target{Dialer: &conn.Dialer{LocalAddr: &net.IPAddr{}}}},
		"Balance":        {Resolver: r, Balance: gtcp.BalanceConfig{Health: balance.Health{Rate: 2}}},
	} {
		require.ErrorContains(t, cfg.Validate(), "ClientConfig."+field)
	}
}

// Many callers while servers come and go: every call gets through.
func TestClientChurn(t *testing.T) {
	eachMode(t, func(t *testing.T, shared bool) {
		var addrs []string
		for i := range 5 {
			addr, _ := namedServer(t, strconv.Itoa(i))
			addrs = append(addrs, addr)
		}
		r := newRegistry(addrs...)
		c := client(t, "", gtcp.ClientConfig{Shared: shared, Resolver: r})
		var callers sync.WaitGroup
		for range 16 {
			callers.Go(func() {
				for range 200 {
					if _, err := c.Call(t.Context(), []byte("x")); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		for i := range 50 {
			r.set(addrs[i%5], addrs[(i+1)%5])
		}
		callers.Wait()
		require.NoError(t, c.Close())
	})
}

// To choose a server allocates nothing.
func TestClientManyServersAllocations(t *testing.T) {
	if detectsRaces {
		t.Skip("the race detector allocates")
	}
	for _, n := range []int{1, 10} {
		eachMode(t, func(t *testing.T, shared bool) {
			set := make(resolve.Static, n)
			for i := range set {
				set[i].Addr = frameServer(t, echoed)
			}
			c := client(t, "", gtcp.ClientConfig{Shared: shared, Resolver: set, CallTimeout: -1,
				Balance: gtcp.BalanceConfig{Policy: balance.RoundRobin}})
			dst, req := make([]byte, 0, 64), make([]byte, 64)
			call := func() {
				if _, err := c.AppendCall(context.Background(), dst, req); err != nil {
					t.Error(err)
				}
			}
			for range 20 * n { // a server makes its poller at the 16th request of a connection
				call()
			}
			allocs := testing.AllocsPerRun(200, call)
			if shared {
				require.Zero(t, allocs, "the server's included")
			} else {
				require.LessOrEqual(t, allocs, 3.)
			}
		})
	}
}
