//go:build !gtcp_noloop

package server_test

import (
	"context"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/server"
)

// canSleep says that connections sleep on this system.
const canSleep = true

// With the defaults a connection sleeps that has had at most one request.
func TestYoungConnectionsSleepByDefault(t *testing.T) {
	s := &server.Server{Handler: echo()}
	addr := start(t, s)
	for i := range 3 {
		c := dial(t, addr)
		for range i {
			c.send("x")
			c.expect("x")
		}
	}
	require.Eventually(t, func() bool { return s.Stat().Parked == 3 && s.Stat().Sleeping == 2 }, patience, time.Millisecond)
}

func TestNegativeSleepAfterSleepsNever(t *testing.T) {
	h := parking(echo())
	h.IdleTimeout = 100 * time.Millisecond
	s := &server.Server{Handler: h}
	c := dial(t, start(t, s))
	waitParked(t, s, 1)
	for s.Stat().IdleTimeouts == 0 {
		require.Zero(t, s.Stat().Sleeping)
	}
	c.expectEnd()
}

// The addresses of a sleeping connection are those it had, in all that tells of it.
func TestAddressesOfASleepingConnection(t *testing.T) {
	s := &server.Server{Handler: sleeping(echo())}
	c := dial(t, start(t, s))
	waitParked(t, s, 1)
	for range 2 {
		for st := range s.Conns() {
			require.Equal(t, c.LocalAddr().String(), st.RemoteAddr.String())
			require.Equal(t, c.RemoteAddr().String(), st.LocalAddr.String())
		}
		c.send("x")
		c.expect("x")
	}
}

// A connection whose net.Conn somebody may hold is only parked: what NetConn returned
// keeps working.
func TestConnectionThatIsHeldDoesNotSleep(t *testing.T) {
	held := make(chan net.Conn, 1)
	var first sync.Once
	s := &server.Server{
		Handler: sleeping(echo()),
		ConnContext: func(ctx context.Context, c *conn.Conn) context.Context {
			first.Do(func() { held <- c.NetConn() })
			return ctx
		},
	}
	addr := start(t, s)
	c := dial(t, addr)
	nc := (<-held).(*net.TCPConn)
	require.Eventually(t, func() bool { return s.Stat().Parked == 1 }, patience, time.Millisecond)
	dial(t, addr)
	require.Eventually(t, func() bool { return s.Stat().Parked == 2 && s.Stat().Sleeping == 1 }, patience, time.Millisecond)
	require.NoError(t, nc.SetNoDelay(false))
	c.send("x")
	c.expect("x")
}

// keepingListener keeps the connections that it has accepted.
type keepingListener struct {
	net.Listener
	kept chan net.Conn
}

func (l keepingListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err == nil {
		l.kept <- nc
	}
	return nc, err
}

// The same where a listener of its own has them.
func TestConnectionOfAnotherListenerDoesNotSleep(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := keepingListener{inner, make(chan net.Conn, 1)}
	s := &server.Server{Handler: sleeping(echo())}
	startOn(t, s, l)
	c := dial(t, inner.Addr().String())
	nc := <-l.kept
	require.Eventually(t, func() bool { return s.Stat().Parked == 1 }, patience, time.Millisecond)
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	startOn(t, s, plain)
	dial(t, plain.Addr().String())
	require.Eventually(t, func() bool { return s.Stat().Parked == 2 && s.Stat().Sleeping == 1 }, patience, time.Millisecond)
	require.NoError(t, nc.(*net.TCPConn).SetNoDelay(false))
	c.send("x")
	c.expect("x")
}

// NetConn of a sleeping connection wakes it, and it stays awake and parked.
func TestNetConnOfASleepingConnection(t *testing.T) {
	conns := make(chan *conn.Conn, 1)
	s := &server.Server{
		Handler: sleeping(echo()),
		ConnContext: func(ctx context.Context, c *conn.Conn) context.Context {
			conns <- c
			return ctx
		},
	}
	c := dial(t, start(t, s))
	waitParked(t, s, 1)
	nc := (<-conns).NetConn().(*net.TCPConn)
	require.Equal(t, 1, s.Stat().Parked)
	require.Zero(t, s.Stat().Sleeping)
	require.NoError(t, nc.SetNoDelay(false))
	c.send("x")
	c.expect("x")
}

// MaxConnsPerIP counts a sleeping connection, and no more once it has ended.
func TestLimitsCountSleepingConnections(t *testing.T) {
	s := &server.Server{Handler: sleeping(echo()), MaxConns: 2, MaxConnsPerIP: 1}
	addr := start(t, s)
	c := dial(t, addr)
	waitParked(t, s, 1)
	dial(t, addr).expectEnd()
	require.Eventually(t, func() bool { return s.Stat().Open == 1 }, patience, time.Millisecond) // its peer may hear of it first
	require.NoError(t, c.Close())
	require.Eventually(t, func() bool { return s.Stat().Open == 0 }, patience, time.Millisecond)
	dial(t, addr)
	waitParked(t, s, 1)
}

// Where the process has no descriptor left, connections that sleep are served: the
// server has a spare one.
func TestSleepingConnectionsWithoutDescriptors(t *testing.T) {
	s := &server.Server{Handler: sleeping(echo())}
	addr := start(t, s)
	a, b := dial(t, addr), dial(t, addr)
	waitParked(t, s, 2)
	fill(t)
	for range 3 {
		for _, c := range []*client{a, b} {
			c.send("x")
			c.expect("x")
		}
		require.Eventually(t, func() bool { return s.Stat().Parked == 2 }, patience, time.Millisecond)
	}
}

// fill has the process use all the descriptors that it may have, until the test ends.
func fill(t *testing.T) {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	limit := 0
	for _, e := range all {
		fd, err := strconv.Atoi(e.Name())
		require.NoError(t, err)
		limit = max(limit, fd+1)
	}
	limitDescriptors(t, limit)
	for {
		fd, err := syscall.Dup(1)
		if err != nil {
			require.ErrorIs(t, err, syscall.EMFILE)
			return
		}
		t.Cleanup(func() { _ = syscall.Close(fd) })
	}
}

func limitDescriptors(t *testing.T, n int) {
	t.Helper()
	var was syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was))
	limit := was
	limit.Cur = uint64(n)
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
	t.Cleanup(func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was) })
}

// Where even that does not help, requests wait until there is a descriptor. A Send
// fails when its context ends, and the connection lives on. So do a drain and a
// timeout.
func TestSleepingConnectionsWaitForDescriptors(t *testing.T) {
	ctxs := make(chan context.Context, 10)
	h := sleeping(server.Frames(framing.Format{}, func(ctx context.Context, req []byte) ([]byte, error) {
		ctxs <- ctx
		return req, nil
	}))
	s := &server.Server{Handler: h}
	addr := start(t, s)
	a, b := dial(t, addr), dial(t, addr)
	a.send("x")
	a.expect("x")
	ctx := <-ctxs
	waitParked(t, s, 2)
	var was syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was))
	limitDescriptors(t, 0)
	b.send("y")
	require.Eventually(t, func() bool { return s.Stat().Parked == 1 }, patience, time.Millisecond)
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	err := server.Send(short, []byte("push"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was))
	b.expect("y")
	require.NoError(t, server.Send(ctx, []byte("push")))
	a.expect("push")

	limitDescriptors(t, 0)
	ended := make(chan error, 1)
	go func() {
		end, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		ended <- s.Shutdown(end)
	}()
	<-server.Draining(ctx)
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was))
	a.expectEnd()
	b.expectEnd()
	_, _ = a.Close(), b.Close()
	require.NoError(t, <-ended)
}

// The idle timeout ends a sleeping connection that could not wake for it.
func TestIdleTimeoutWithoutDescriptors(t *testing.T) {
	h := sleeping(echo())
	h.IdleTimeout = 3 * time.Second // longer than to fall asleep takes, also on a busy machine
	s := &server.Server{Handler: h}
	c := dial(t, start(t, s))
	waitParked(t, s, 1)
	var was syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was))
	limitDescriptors(t, 0)
	require.Eventually(t, func() bool { return s.Stat().Parked == 0 }, patience, time.Millisecond)
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was))
	c.expectEnd()
	require.EqualValues(t, 1, s.Stat().IdleTimeouts)
}
