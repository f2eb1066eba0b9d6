package gtcp

import (
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A listener fails for good in ways that no test can bring about from outside.
func TestRunAfterOneThatFailed(t *testing.T) {
	s := NewServer("127.0.0.1:0", func(*Conn) {})
	s.serving, s.served = s.newServing(), true
	require.ErrorIs(t, s.Run(), errServed)
	require.NoError(t, s.Close())
	require.ErrorIs(t, s.Run(), net.ErrClosed)
}

// The server remembers no connection that its handler has closed, and none that
// is closed since.
func TestServerForgetsWhatIsClosed(t *testing.T) {
	returned := make(chan *Conn, 2)
	s := NewServer("127.0.0.1:0", func(c *Conn) {
		if line, err := c.RecvLine(); err != nil || string(line) == "close" {
			_ = c.Close()
		}
		returned <- c
	})
	done := make(chan error, 1)
	go func() { done <- s.Run() }()
	defer func() {
		require.NoError(t, s.Close())
		require.ErrorIs(t, <-done, net.ErrClosed)
	}()
	for s.GetListenedPort() < 0 {
		time.Sleep(time.Millisecond)
	}
	left := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.left)
	}
	require.NoError(t, Send(s.GetListenedAddress(), []byte("close\n")))
	<-returned
	require.NoError(t, Send(s.GetListenedAddress(), []byte("leave\n")))
	c := <-returned
	require.Eventually(t, func() bool { return left() == 1 }, time.Minute, time.Millisecond)
	require.Contains(t, s.describeOpen(s.serving), "returned: 1 (127.0.0.1:")
	require.NoError(t, c.Close())
	require.NotContains(t, s.describeOpen(s.serving), "left open")
	c = nil
	require.Eventually(t, func() bool { runtime.GC(); return left() == 0 }, time.Minute, time.Millisecond)
}
