//go:build !gtcp_noloop

package conn

import (
	"context"
	"io"
	"net"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/internal/sleep"
)

// nobody watches no connection.
type nobody struct{}

func (nobody) Watch(int) bool { return true }
func (nobody) Forget(int)     {}
func (nobody) Woken(int)      {}

// Of two operations that wake a connection the second finds it awake.
func TestWakeOfAConnectionThatIsAwake(t *testing.T) {
	nc := overLoopback(t)
	c := New(nc)
	defer c.Close()
	k := c.core
	require.NoError(t, k.wake())
	require.Same(t, nc, k.tr().nc)
	require.NoError(t, c.SetDeadline(time.Now().Add(time.Hour)))
	require.NoError(t, c.SetDeadline(time.Time{}))
	require.NotNil(t, k.limits)
	require.Equal(t, sleep.Asleep, sleep.Fall(c, nobody{}))
	require.Nil(t, k.limits, "it is kept by nothing")
	require.NoError(t, k.wake())
	nc = k.tr().nc
	require.NoError(t, k.wake())
	require.Same(t, nc, k.tr().nc)
}

// An operation that waits for the lock until the connection sleeps gives it back, and
// wakes the connection.
func TestFallingAsleepBeforeTheLock(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var peers sync.WaitGroup
	defer peers.Wait()
	defer l.Close()
	peers.Go(func() {
		for {
			peer, err := l.Accept()
			if err != nil {
				return
			}
			peers.Go(func() {
				_, _ = io.Copy(peer, peer)
				_ = peer.Close()
			})
		}
	})
	for name, op := range map[string]func(c *Conn) error{
		"Ask": func(c *Conn) error {
			b := make([]byte, 1)
			if _, err := c.Ask(b); err != nil {
				return err
			}
			_, err := c.Read(b)
			return err
		},
		"Check": (*Conn).Check,
		"Do": func(c *Conn) error {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			return c.Do(ctx, func() error { return nil })
		},
		"NetConn": func(c *Conn) error {
			c.NetConn()
			c.core.mu.Lock()
			c.core.held = false // it may sleep all the same
			c.core.mu.Unlock()
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			nc, err := net.Dial("tcp", l.Addr().String())
			require.NoError(t, err)
			c := New(nc)
			defer c.Close()
			k := c.core
			for range 20 {
				k.rmu.Lock()
				k.wmu.Lock()
				k.mu.Lock()
				ended := make(chan error, 1)
				go func() { ended <- op(c) }()
				for range 100 { // it waits for a lock
					runtime.Gosched()
				}
				outcome := c.fallAsleepLocked(nobody{})
				k.mu.Unlock()
				k.wmu.Unlock()
				k.rmu.Unlock()
				require.NoError(t, <-ended)
				require.Equal(t, sleep.Asleep, outcome)
			}
		})
	}
}

// A read that failed ends the wait for bytes.
func TestReadThatFailedEndsTheWait(t *testing.T) {
	nc := overLoopback(t)
	c := New(nc)
	defer c.Close()
	c.core.room()
	require.True(t, c.core.readCallback()(^uintptr(0)), "no descriptor")
	require.Equal(t, syscall.EBADF, c.core.tr().gotErrno)
	require.False(t, c.core.readCallback()(mustFD(t, nc)), "nothing is there")
}

func mustFD(t *testing.T, nc net.Conn) (fd uintptr) {
	raw, err := nc.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(n uintptr) { fd = n }))
	return fd
}
