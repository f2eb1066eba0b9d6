//go:build !gtcp_noloop

package conn_test

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/sleep"
)

// inOneStep runs f once, in a step.
func inOneStep(t *testing.T, c *conn.Conn, f func(s *conn.Step)) {
	t.Helper()
	require.NoError(t, c.ReadLoop(func(s *conn.Step) bool { f(s); return false }))
}

// A write that needs more than one system call is finished.
func TestStepWritesAll(t *testing.T) {
	loopPairs(t, func(t *testing.T, c *conn.Conn, peer net.Conn) {
		const size = 16 << 20
		got := make(chan int64, 1)
		go func() {
			n, _ := io.Copy(io.Discard, peer)
			got <- n
		}()
		inOneStep(t, c, func(s *conn.Step) {
			n, err := s.Write(make([]byte, size))
			require.NoError(t, err)
			require.Equal(t, size, n)
		})
		require.EqualValues(t, size, c.BytesWritten())
		require.NoError(t, c.Close())
		require.EqualValues(t, size, <-got)
	})
}

// A write that finds the socket full waits for room.
func TestStepWritesIntoAFullSocket(t *testing.T) {
	c, peer := tcpPair(t)
	raw, err := sleep.NetConn(c).(syscall.Conn).SyscallConn()
	require.NoError(t, err)
	inOneStep(t, c, func(s *conn.Step) {
		filled := 0
		require.NoError(t, raw.Control(func(fd uintptr) {
			for n, err := 0, error(nil); err == nil; filled += max(n, 0) {
				n, err = syscall.Write(int(fd), make([]byte, 64<<10))
			}
		}))
		read := make(chan error, 1)
		go func() {
			_, err := io.ReadFull(peer, make([]byte, filled+1))
			read <- err
		}()
		n, err := s.Write([]byte("x"))
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.NoError(t, <-read)
	})
}

// What need not wait has no deadline in a step.
func TestStepWritesPastADeadline(t *testing.T) {
	c, peer := tcpPair(t)
	require.NoError(t, c.SetWriteDeadline(time.Unix(1, 0)))
	inOneStep(t, c, func(s *conn.Step) {
		n, err := s.Write([]byte("x"))
		require.NoError(t, err)
		require.Equal(t, 1, n)
	})
	_, err := io.ReadFull(peer, make([]byte, 1))
	require.NoError(t, err)
}

// After a write that has failed nothing more is written, as by Conn.Write.
func TestStepWritesNothingAfterAFailedWrite(t *testing.T) {
	c, peer := tcpPair(t)
	resetByPeer(t, peer, sleep.NetConn(c).(syscall.Conn))
	inOneStep(t, c, func(s *conn.Step) {
		for range 2 {
			for _, write := range []func([]byte) (int, error){s.Write, c.Write} {
				n, err := write([]byte("x"))
				require.ErrorIs(t, err, syscall.ECONNRESET)
				require.NotErrorIs(t, err, syscall.EPIPE, "what the system says to the next")
				requireSafe(t, true, err)
				require.Zero(t, n)
			}
		}
	})
}

// To write nothing does nothing, also when the peer has gone.
func TestStepWritesNothing(t *testing.T) {
	c, peer := tcpPair(t)
	resetByPeer(t, peer, sleep.NetConn(c).(syscall.Conn))
	inOneStep(t, c, func(s *conn.Step) {
		for _, write := range []func([]byte) (int, error){s.Write, c.Write} {
			n, err := write(nil)
			require.NoError(t, err)
			require.Zero(t, n)
		}
		n, err := s.Write([]byte("x"))
		require.ErrorIs(t, err, syscall.ECONNRESET, "the first to hear of it")
		require.Zero(t, n)
	})
}

// The end of the stream is told again and again.
func TestFillAfterTheEnd(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, c *conn.Conn, peer *net.TCPConn) error{
		"half closed": func(t *testing.T, _ *conn.Conn, peer *net.TCPConn) error { halfClose(t, peer); return io.EOF },
		"reset": func(t *testing.T, c *conn.Conn, peer *net.TCPConn) error {
			resetByPeer(t, peer, sleep.NetConn(c).(syscall.Conn))
			return syscall.ECONNRESET
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, peer := tcpPair(t)
			want := end(t, c, peer)
			var first, second error
			require.NoError(t, <-inLoop(c, func(s *conn.Step) bool {
				if _, _, first = s.Fill(); first == nil {
					return true
				}
				_, _, second = s.Fill()
				return false
			}))
			require.ErrorIs(t, first, want)
			require.ErrorIs(t, second, want)
		})
	}
}

// A loop whose connection was closed within a step leaves no descriptor, and its step
// can do nothing more.
func TestLoopClosesTheSocketAtItsEnd(t *testing.T) {
	c, _ := tcpPair(t)
	nc := sleep.NetConn(c)
	inOneStep(t, c, func(s *conn.Step) {
		require.NoError(t, c.Close())
		n, drained, err := s.Fill()
		require.ErrorIs(t, err, net.ErrClosed)
		require.Zero(t, n)
		require.False(t, drained)
		n, err = s.Write([]byte("x"))
		require.ErrorIs(t, err, net.ErrClosed)
		require.Zero(t, n)
	})
	require.ErrorIs(t, nc.Close(), net.ErrClosed)
}

// A reset that came before the read began is found by it.
func TestReadAfterAReset(t *testing.T) {
	c, peer := tcpPair(t)
	resetByPeer(t, peer, sleep.NetConn(c).(syscall.Conn))
	require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
	begun := time.Now()
	require.ErrorIs(t, readByte(c)(), syscall.ECONNRESET)
	require.Less(t, time.Since(begun), 50*time.Second)
}

func TestReadThatWouldWaitIsTemporary(t *testing.T) {
	c, _ := tcpPair(t)
	inOneStep(t, c, func(*conn.Step) {
		_, err := c.Peek(1)
		for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
			err = next
		}
		temporary, ok := err.(interface{ Temporary() bool })
		require.True(t, ok && temporary.Temporary(), "%T", err)
	})
}
