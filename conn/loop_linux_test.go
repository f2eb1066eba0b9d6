//go:build !gtcp_noloop

package conn_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// loopPairs makes the kinds of connections that have a ReadLoop.
func loopPairs(t *testing.T, f func(t *testing.T, c *conn.Conn, peer net.Conn)) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			c, peer := socketPair(t, network, nil)
			f(t, c, peer)
		})
	}
}

// inLoop runs a ReadLoop, and returns where its result will be.
func inLoop(c *conn.Conn, step func(*conn.Step) bool) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- c.ReadLoop(step) }()
	return ended
}

// onFirst makes a step of the first call, and one that waits of those after it: a
// step may be called without cause.
func onFirst(step func(*conn.Step) bool) func(*conn.Step) bool {
	called := false
	return func(s *conn.Step) bool {
		first := !called
		called = true
		return !first || step(s)
	}
}

// echoStep sends back what has arrived, until there is nothing more.
func echoStep(c *conn.Conn) func(*conn.Step) bool {
	return func(s *conn.Step) bool {
		for {
			n, _, err := s.Fill()
			if n == 0 {
				return err == nil
			}
			b, err := c.Peek(n)
			if err != nil {
				return false
			}
			if _, err = s.Write(b); err != nil {
				return false
			}
			if _, err = c.Discard(n); err != nil {
				return false
			}
		}
	}
}

func TestReadLoopEchoes(t *testing.T) {
	loopPairs(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		ended := inLoop(c, echoStep(c))
		for _, n := range []int{1, 100, 10_000, 1 << 20} {
			want := bytes.Repeat([]byte("0123456789abcdef"), n/16+1)[:n]
			go func() { _, _ = peer.Write(want) }()
			got := make([]byte, n)
			_, err := io.ReadFull(peer, got)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		halfClose(t, peer)
		require.NoError(t, <-ended)
		require.Equal(t, io.EOF, c.Err())
		require.EqualValues(t, 1+100+10_000+1<<20, c.BytesRead())
		require.EqualValues(t, 1+100+10_000+1<<20, c.BytesWritten())
		_, err := c.Peek(1)
		require.Equal(t, io.EOF, err)
	})
}

// Bytes and the end of the stream that come together are both seen.
func TestReadLoopSeesTheEndBehindBytes(t *testing.T) {
	loopPairs(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		send(t, peer, "last")
		halfClose(t, peer)
		require.NoError(t, <-inLoop(c, echoStep(c)))
		got, err := io.ReadAll(io.LimitReader(peer, 4))
		require.NoError(t, err)
		require.Equal(t, "last", string(got))
		require.Equal(t, io.EOF, c.Err())
	})
}

func TestFillTellsWhetherTheSocketIsDrained(t *testing.T) {
	c, peer := tcpPair(t)
	go func() { _, _ = peer.Write(make([]byte, 5000)) }()
	var first, all int
	require.NoError(t, <-inLoop(c, func(s *conn.Step) bool {
		for {
			n, drained, err := s.Fill()
			if first == 0 && n == 4096 {
				first = n
				require.False(t, drained)
			}
			all += n
			if all == 5000 || err != nil {
				require.True(t, drained)
				return false
			}
			if n == 0 {
				require.True(t, drained)
				return true
			}
		}
	}))
	require.Equal(t, 5000, all)
	require.Equal(t, 5000, c.Buffered())
}

func TestFillOfAFullBuffer(t *testing.T) {
	c, peer := tcpPair(t)
	go func() { _, _ = peer.Write(make([]byte, 1<<20)) }()
	require.NoError(t, <-inLoop(c, func(s *conn.Step) bool {
		for c.Buffered() < c.BufferSize() {
			if n, _, err := s.Fill(); n == 0 {
				return err == nil
			}
		}
		n, drained, err := s.Fill()
		require.NoError(t, err)
		require.Zero(t, n)
		require.False(t, drained)
		return false
	}))
}

// A wait that a deadline ends loses nothing, and the loop can be begun again.
func TestReadLoopUnderADeadline(t *testing.T) {
	loopPairs(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		require.NoError(t, c.SetReadDeadline(soon()))
		requireTimeout(t, c.ReadLoop(echoStep(c)))
		require.NoError(t, c.SetReadDeadline(time.Time{}))
		send(t, peer, "abc")
		halfClose(t, peer)
		require.NoError(t, c.ReadLoop(echoStep(c)))
		got := make([]byte, 3)
		_, err := io.ReadFull(peer, got)
		require.NoError(t, err)
		require.Equal(t, "abc", string(got))
	})
}

// Close within a step returns, ends the connection, and closes the socket once the
// step has returned.
func TestCloseWithinAStep(t *testing.T) {
	loopPairs(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		hook := make(chan struct{})
		c.OnClose(func() { close(hook) })
		send(t, peer, "x")
		var inStep error
		err := <-inLoop(c, func(s *conn.Step) bool {
			if n, _, _ := s.Fill(); n == 0 {
				return true
			}
			inStep = c.Close()
			<-hook
			_, err := s.Write([]byte("y"))
			require.ErrorIs(t, err, net.ErrClosed)
			_, _, err = s.Fill()
			require.ErrorIs(t, err, net.ErrClosed)
			return true
		})
		require.NoError(t, inStep)
		require.ErrorIs(t, err, net.ErrClosed) // not the deadline by which Close woke it
		require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
		require.ErrorIs(t, c.Close(), net.ErrClosed)
		got, _ := io.ReadAll(peer)
		require.Empty(t, got)
	})
}

// Close from elsewhere reaches the peer while a step runs, and ends the wait.
func TestCloseDuringAReadLoop(t *testing.T) {
	loopPairs(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		in, out := make(chan struct{}), make(chan struct{})
		ended := inLoop(c, onFirst(func(s *conn.Step) bool {
			close(in)
			<-out
			return true
		}))
		<-in
		require.NoError(t, c.Close())
		_, err := peer.Read(make([]byte, 1))
		require.Error(t, err) // io.EOF, or a reset
		close(out)
		require.ErrorIs(t, <-ended, net.ErrClosed)
	})
	t.Run("waiting", func(t *testing.T) {
		c, _ := tcpPair(t)
		in := make(chan struct{})
		ended := inLoop(c, onFirst(func(s *conn.Step) bool {
			close(in)
			return true
		}))
		<-in
		require.NoError(t, c.Close())
		require.ErrorIs(t, <-ended, net.ErrClosed)
	})
	t.Run("blocked write", func(t *testing.T) {
		c, _ := tcpPair(t)
		in := make(chan struct{})
		wrote := make(chan error, 1)
		ended := inLoop(c, onFirst(func(s *conn.Step) bool {
			close(in)
			_, err := s.Write(make([]byte, 64<<20))
			wrote <- err
			return false
		}))
		<-in
		require.NoError(t, c.Close())
		require.ErrorIs(t, <-wrote, net.ErrClosed)
		require.NoError(t, <-ended)
	})
}

// While a loop runs, nobody else can wait for bytes, or take the connection.
func TestOthersDuringAReadLoop(t *testing.T) {
	c, _ := tcpPair(t)
	in, out := make(chan struct{}), make(chan struct{})
	ended := inLoop(c, onFirst(func(s *conn.Step) bool {
		close(in)
		<-out
		return false
	}))
	<-in
	_, err := c.Peek(1)
	requireTimeout(t, err)
	_, err = c.Read(make([]byte, 10_000))
	requireTimeout(t, err)
	require.ErrorIs(t, c.ReadLoop(nil), conn.ErrBusy)
	require.ErrorIs(t, c.Handoff(new(conn.Conn)), conn.ErrBusy)
	close(out)
	require.NoError(t, <-ended)
}

func TestReadLoopWhileAReadWaits(t *testing.T) {
	c, peer := tcpPair(t)
	read := make(chan error, 1)
	go func() {
		_, err := c.Peek(1)
		read <- err
	}()
	require.Eventually(t, func() bool { return errors.Is(c.Reusable(), conn.ErrBusy) }, 10*time.Second, time.Millisecond)
	require.ErrorIs(t, c.ReadLoop(nil), conn.ErrBusy)
	send(t, peer, "x")
	require.NoError(t, <-read)
}

func TestReadLoopOfOtherConnections(t *testing.T) {
	tlsConn, _ := tlsPair(t)
	memory, _ := memoryPair(t)
	for name, c := range map[string]*conn.Conn{"tls": tlsConn, "memory": memory} {
		require.ErrorIs(t, c.ReadLoop(nil), errors.ErrUnsupported, name)
	}
	require.ErrorIs(t, new(conn.Conn).ReadLoop(nil), net.ErrClosed)
	c, _ := tcpPair(t)
	require.NoError(t, c.Close())
	require.ErrorIs(t, c.ReadLoop(nil), net.ErrClosed)
}

// The errors within a step are those of other reads and writes, and stay.
func TestStepAfterAReset(t *testing.T) {
	c, peer := tcpPair(t)
	require.NoError(t, peer.SetLinger(0))
	require.NoError(t, peer.Close())
	var fill, write error
	require.NoError(t, <-inLoop(c, func(s *conn.Step) bool {
		n, _, err := s.Fill()
		if n == 0 && err == nil {
			return true
		}
		fill = err
		_, write = s.Write([]byte("x"))
		return false
	}))
	require.ErrorIs(t, fill, syscall.ECONNRESET)
	var op *net.OpError
	require.ErrorAs(t, fill, &op)
	require.Equal(t, "read", op.Op)
	require.ErrorIs(t, write, syscall.EPIPE)
	requireSafe(t, true, write)
	_, err := c.Peek(1)
	require.ErrorIs(t, err, syscall.ECONNRESET)
}

// A panic in a step leaves a connection that can be closed.
func TestPanicInAStep(t *testing.T) {
	c, _ := tcpPair(t)
	require.Panics(t, func() { _ = c.ReadLoop(func(*conn.Step) bool { panic("step") }) })
	require.NoError(t, c.SetReadDeadline(soon()))
	_, err := c.Peek(1)
	requireTimeout(t, err)
	require.NoError(t, c.Close())
}

func TestReadLoopDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	c, peer := tcpPair(t)
	ended := inLoop(c, echoStep(c))
	buf := make([]byte, 64)
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		_, _ = peer.Write(buf)
		_, _ = io.ReadFull(peer, buf)
	}))
	require.NoError(t, peer.CloseWrite())
	require.NoError(t, <-ended)
}
