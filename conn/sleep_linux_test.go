//go:build !gtcp_noloop

package conn_test

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/sleep"
)

// watcher notes what a connection tells its watcher.
type watcher struct {
	mu      sync.Mutex // guards the fields below
	watched map[int]bool
	woken   int
	refuses bool
}

func (w *watcher) Watch(fd int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuses {
		return false
	}
	if w.watched == nil {
		w.watched = map[int]bool{}
	}
	w.watched[fd] = true
	return true
}

func (w *watcher) Forget(fd int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.watched, fd)
}

func (w *watcher) Woken(int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.woken++
}

func (w *watcher) waits() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.watched)
}

// eachSleeper runs f with connections that sleep.
func eachSleeper(t *testing.T, f func(t *testing.T, c *conn.Conn, peer net.Conn, w *watcher)) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			c, peer := socketPair(t, network, nil)
			w := new(watcher)
			require.Equal(t, sleep.Asleep, sleep.Fall(c, w))
			require.Nil(t, sleep.NetConn(c))
			f(t, c, peer, w)
		})
	}
}

// descriptors counts those of the process.
func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(all)
}

// requireDescriptors requires that the process has at most n descriptors, soon: an
// earlier test may have some that are still being closed.
func requireDescriptors(t *testing.T, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return descriptors(t) <= n }, 10*time.Second, time.Millisecond)
}

// wakers are the operations that need the net.Conn.
var wakers = map[string]func(t *testing.T, c *conn.Conn, peer net.Conn) error{
	"Read": func(t *testing.T, c *conn.Conn, peer net.Conn) error {
		send(t, peer, "x")
		return readByte(c)()
	},
	"Peek": func(t *testing.T, c *conn.Conn, peer net.Conn) error {
		send(t, peer, "x")
		_, err := c.Peek(1)
		return err
	},
	"Write": func(t *testing.T, c *conn.Conn, peer net.Conn) error {
		if _, err := c.Write([]byte("x")); err != nil {
			return err
		}
		_, err := io.ReadFull(peer, make([]byte, 1))
		return err
	},
	"WriteBuffers": func(t *testing.T, c *conn.Conn, peer net.Conn) error {
		if _, err := c.WriteBuffers([][]byte{[]byte("x")}); err != nil {
			return err
		}
		_, err := io.ReadFull(peer, make([]byte, 1))
		return err
	},
	"Ask": func(t *testing.T, c *conn.Conn, peer net.Conn) error {
		go func() {
			_, _ = io.ReadFull(peer, make([]byte, 1))
			_, _ = peer.Write([]byte("y"))
		}()
		_, err := c.Ask([]byte("x"))
		return err
	},
	"Check": func(t *testing.T, c *conn.Conn, peer net.Conn) error { return c.Check() },
	"SetDeadline": func(t *testing.T, c *conn.Conn, peer net.Conn) error {
		if err := c.SetDeadline(soon()); err != nil {
			return err
		}
		requireTimeout(t, readByte(c)())
		return nil
	},
	"Do": func(t *testing.T, c *conn.Conn, peer net.Conn) error {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		send(t, peer, "x")
		return c.Do(ctx, readByte(c))
	},
	"CloseWrite": func(t *testing.T, c *conn.Conn, peer net.Conn) error {
		if err := c.CloseWrite(); err != nil {
			return err
		}
		_, err := peer.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
		return nil
	},
	"ReadLoop": func(t *testing.T, c *conn.Conn, peer net.Conn) error {
		send(t, peer, "x")
		return c.ReadLoop(func(s *conn.Step) bool {
			n, _, err := s.Fill()
			require.NoError(t, err)
			return n == 0
		})
	},
	"NetConn": func(t *testing.T, c *conn.Conn, peer net.Conn) error {
		return c.NetConn().SetDeadline(time.Time{})
	},
}

// Each of them wakes the connection, and does what it does on another one.
func TestOperationsWakeASleepingConnection(t *testing.T) {
	for name, op := range wakers {
		t.Run(name, func(t *testing.T) {
			eachSleeper(t, func(t *testing.T, c *conn.Conn, peer net.Conn, w *watcher) {
				require.NoError(t, op(t, c, peer))
				require.NotNil(t, sleep.NetConn(c))
				require.Equal(t, 1, w.woken)
				require.Zero(t, w.waits())
			})
		})
	}
}

// What needs no net.Conn leaves the connection asleep.
func TestSleepingConnectionTellsOfItself(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			c, peer := socketPair(t, network, nil)
			local, remote := c.LocalAddr(), c.RemoteAddr()
			before := descriptors(t)
			w := new(watcher)
			require.Equal(t, sleep.Asleep, sleep.Fall(c, w))
			requireDescriptors(t, before)
			require.Equal(t, 1, w.waits())
			require.Equal(t, local.String(), c.LocalAddr().String())
			require.Equal(t, remote.String(), c.RemoteAddr().String())
			require.IsType(t, remote, c.RemoteAddr())
			require.NoError(t, c.Err())
			require.NoError(t, c.Reusable())
			require.Zero(t, c.Buffered())
			require.Equal(t, sleep.Busy, sleep.Fall(c, w))
			require.Nil(t, sleep.NetConn(c))

			next := new(conn.Conn)
			require.NoError(t, c.Handoff(next))
			require.Error(t, c.Err())
			require.Nil(t, sleep.NetConn(next))
			send(t, peer, "x")
			require.NoError(t, readByte(next)())
			requireDescriptors(t, before)
			require.Equal(t, remote.String(), next.RemoteAddr().String())
		})
	}
}

// Bytes, the end of the stream and a reset that come during the sleep are found.
func TestWhatComesDuringTheSleep(t *testing.T) {
	eachSleeper(t, func(t *testing.T, c *conn.Conn, peer net.Conn, w *watcher) {
		send(t, peer, "ab")
		halfClose(t, peer)
		got, err := io.ReadAll(c)
		require.NoError(t, err)
		require.Equal(t, "ab", string(got))
	})
	t.Run("reset", func(t *testing.T) {
		c, peer := tcpPair(t)
		remote := c.RemoteAddr().String()
		require.Equal(t, sleep.Asleep, sleep.Fall(c, new(watcher)))
		require.NoError(t, peer.SetLinger(0))
		require.NoError(t, peer.Close())
		err := readByte(c)()
		require.ErrorIs(t, err, syscall.ECONNRESET)
		require.Equal(t, remote, c.RemoteAddr().String())
		var e *conn.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, remote, e.Addr.String())
	})
}

// Close ends a sleeping connection for its peer, once, with its hook, and leaves no
// descriptor.
func TestCloseOfASleepingConnection(t *testing.T) {
	before := descriptors(t)
	eachSleeper(t, func(t *testing.T, c *conn.Conn, peer net.Conn, w *watcher) {
		closed := 0
		c.OnClose(func() { closed++ })
		require.NoError(t, c.Close())
		_, err := peer.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
		require.ErrorIs(t, c.Close(), net.ErrClosed)
		require.ErrorIs(t, readByte(c)(), net.ErrClosed)
		require.ErrorIs(t, c.SetDeadline(soon()), net.ErrClosed)
		require.ErrorIs(t, c.Check(), net.ErrClosed)
		require.ErrorIs(t, c.Err(), net.ErrClosed)
		require.NoError(t, sleep.Wake(c))
		require.Nil(t, c.NetConn())
		require.NotNil(t, c.RemoteAddr())
		require.Equal(t, 1, closed)
	})
	requireDescriptors(t, before)
}

// A connection stays as it is while it is used, or may be used past the Conn.
func TestConnectionsThatDoNotFallAsleep(t *testing.T) {
	for name, c := range map[string]struct {
		use  func(t *testing.T, c *conn.Conn, peer net.Conn)
		want sleep.Outcome
	}{
		"NetConn was called": {func(t *testing.T, c *conn.Conn, peer net.Conn) { c.NetConn() }, sleep.Never},
		"bytes are buffered": {func(t *testing.T, c *conn.Conn, peer net.Conn) {
			send(t, peer, "x")
			_, _ = c.Peek(1)
		}, sleep.Busy},
		"a deadline is set":      {func(t *testing.T, c *conn.Conn, peer net.Conn) { _ = c.SetDeadline(time.Now().Add(time.Hour)) }, sleep.Busy},
		"it is within a message": {func(t *testing.T, c *conn.Conn, peer net.Conn) { c.SetMidMessage(true) }, sleep.Busy},
		"it has failed": {func(t *testing.T, c *conn.Conn, peer net.Conn) {
			_ = peer.Close()
			_ = readByte(c)()
		}, sleep.Busy},
		"it is closed": {func(t *testing.T, c *conn.Conn, peer net.Conn) { _ = c.Close() }, sleep.Busy},
	} {
		t.Run(name, func(t *testing.T) {
			tc, peer := tcpPair(t)
			c.use(t, tc, peer)
			require.Equal(t, c.want, sleep.Fall(tc, new(watcher)))
		})
	}
	t.Run("it is in a loop", func(t *testing.T) {
		c, _ := tcpPair(t)
		in := make(chan struct{})
		ended := inLoop(c, onFirst(func(*conn.Step) bool {
			close(in)
			return true
		}))
		<-in
		require.Equal(t, sleep.Busy, sleep.Fall(c, new(watcher)))
		require.NoError(t, c.Close())
		require.ErrorIs(t, <-ended, net.ErrClosed)
	})
	tlsConn, _ := tlsPair(t)
	memory, _ := memoryPair(t)
	require.Equal(t, sleep.Never, sleep.Fall(tlsConn, new(watcher)))
	require.Equal(t, sleep.Never, sleep.Fall(memory, new(watcher)))
}

// A read that timed out makes a connection unfit for others, not for its owner, with whom
// it may sleep; afterwards it is as unfit.
func TestSleepAfterATimeout(t *testing.T) {
	c, _ := tcpPair(t)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(-time.Second)))
	requireTimeout(t, readByte(c)())
	require.NoError(t, c.SetReadDeadline(time.Time{}))
	require.Equal(t, sleep.Asleep, sleep.Fall(c, new(watcher)))
	require.NoError(t, sleep.Wake(c))
	err := c.Reusable()
	require.ErrorIs(t, err, conn.ErrUnfit)
	require.Equal(t, conn.KindTimeout, conn.KindOf(err))
}

// A watcher that cannot watch leaves the connection as it was.
func TestWatcherRefuses(t *testing.T) {
	c, peer := tcpPair(t)
	before := descriptors(t)
	require.Equal(t, sleep.Busy, sleep.Fall(c, &watcher{refuses: true}))
	requireDescriptors(t, before)
	send(t, peer, "x")
	require.NoError(t, readByte(c)())
	require.NoError(t, c.Reusable())
}

// The options of the socket are those from before the sleep, also where package net
// sets others on each new connection.
func TestOptionsOfASleepingConnection(t *testing.T) {
	all := []struct{ level, name, other int }{
		{syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 0},
		{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 0},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 77},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, 33},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, 3},
		{syscall.IPPROTO_TCP, 18, 4321}, // TCP_USER_TIMEOUT
	}
	for name, change := range map[string]bool{"as package net sets them": false, "others": true} {
		t.Run(name, func(t *testing.T) {
			c, _ := tcpPair(t)
			with := func(f func(fd int)) {
				raw, err := sleep.NetConn(c).(syscall.Conn).SyscallConn()
				require.NoError(t, err)
				require.NoError(t, raw.Control(func(fd uintptr) { f(int(fd)) }))
			}
			get := func() (values []int) {
				with(func(fd int) {
					for _, o := range all {
						v, err := syscall.GetsockoptInt(fd, o.level, o.name)
						require.NoError(t, err)
						values = append(values, v)
					}
				})
				return values
			}
			if change {
				with(func(fd int) {
					for _, o := range all {
						require.NoError(t, syscall.SetsockoptInt(fd, o.level, o.name, o.other))
					}
				})
			}
			before := get()
			for range 2 {
				require.Equal(t, sleep.Asleep, sleep.Fall(c, new(watcher)))
				require.NoError(t, sleep.Wake(c))
				require.Equal(t, before, get())
			}
			require.NoError(t, c.SetReadDeadline(soon())) // it has not become blocking
			requireTimeout(t, readByte(c)())
		})
	}
}

// Without a descriptor to spare a connection does not fall asleep, and one that sleeps
// cannot wake: operations fail without having lost anything, and succeed later.
func TestNoDescriptorsLeft(t *testing.T) {
	stays, stayingPeer := tcpPair(t)
	eachSleeper(t, func(t *testing.T, c *conn.Conn, peer net.Conn, w *watcher) {
		send(t, peer, "x")
		send(t, stayingPeer, "y")
		exhaust(t, func() {
			require.Equal(t, sleep.Busy, sleep.Fall(stays, new(watcher)))
			require.NoError(t, readByte(stays)())

			require.ErrorIs(t, sleep.Wake(c), syscall.EMFILE)
			require.ErrorIs(t, readByte(c)(), syscall.EMFILE)
			n, err := c.Write([]byte("z"))
			require.ErrorIs(t, err, syscall.EMFILE)
			require.Zero(t, n)
			requireSafe(t, true, err)
			require.ErrorIs(t, c.Check(), syscall.EMFILE)
			require.NoError(t, c.Err())
			require.Nil(t, c.NetConn())
			require.Equal(t, 1, w.waits())
		})
		before := descriptors(t)
		require.NoError(t, readByte(c)())
		requireDescriptors(t, before)
		require.NoError(t, c.Close())
		requireDescriptors(t, before-1)
	})
	t.Run("closed", func(t *testing.T) {
		c, peer := tcpPair(t)
		before := descriptors(t)
		require.Equal(t, sleep.Asleep, sleep.Fall(c, new(watcher)))
		exhaust(t, func() { require.ErrorIs(t, sleep.Wake(c), syscall.EMFILE) })
		require.NoError(t, c.Close())
		requireDescriptors(t, before-1)
		_, err := peer.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
	})
}

// exhaust runs f while the process can open no descriptor.
func exhaust(t *testing.T, f func()) {
	t.Helper()
	var was syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was))
	none := was
	none.Cur = 0
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none))
	defer func() { require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was)) }()
	f()
}
