package conn_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/stretchr/testify/require"
)

// File().Fd() puts the socket into blocking mode. A system call that the
// scheduler does not know of must not wait there: it would hold the processor.
func TestSocketInBlockingModeDoesNotHoldTheProcessor(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector the system calls are the ordinary ones, which wait")
	}
	c, peer := tcpPair(t)
	f, err := c.NetConn().(*net.TCPConn).File()
	require.NoError(t, err)
	_ = f.Fd()
	require.NoError(t, f.Close())

	require.NoError(t, c.SetDeadline(soon()))
	requireTimeout(t, readByte(c)())
	n, err := c.Write(make([]byte, 64<<20))
	requireTimeout(t, err)
	require.Less(t, n, 64<<20)
	require.NoError(t, c.SetDeadline(time.Time{}))

	_, err = io.CopyN(io.Discard, peer, int64(n))
	require.NoError(t, err)
	send(t, peer, "x")
	require.NoError(t, readByte(c)())
}

// A write to a connection that its peer has closed is an error and no signal to the process.
func TestWriteToAClosedPeerSendsNoSignal(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector the system calls are the ordinary ones")
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGPIPE, syscall.SIGWINCH)
	defer signal.Stop(signals)
	c, peer := tcpPair(t)
	require.NoError(t, peer.Close())
	require.Eventually(t, func() bool {
		_, err := c.Write([]byte("x"))
		return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) // the first of both
	}, 10*time.Second, time.Millisecond)
	require.NoError(t, syscall.Kill(syscall.Getpid(), syscall.SIGWINCH)) // after any other
	require.Equal(t, syscall.SIGWINCH, <-signals)
}

// A write of more than one system call takes is whole and in order.
func TestWriteOfMoreThanASystemCallTakes(t *testing.T) {
	for _, tr := range transports[:2] {
		t.Run(tr.name, func(t *testing.T) {
			c, peer := tr.pair(t)
			want := bytes.Repeat([]byte("0123456789abcdef!"), 100_000)
			got := make(chan []byte, 1)
			go func() {
				b := make([]byte, len(want))
				_, _ = io.ReadFull(peer, b)
				got <- b
			}()
			n, err := c.Write(want)
			require.NoError(t, err)
			require.Equal(t, len(want), n)
			require.True(t, bytes.Equal(want, <-got))
			require.EqualValues(t, n, c.BytesWritten())
		})
	}
}

// What Check has found out stands behind a timeout of the next read.
func TestTimeoutAfterACheckThatFoundAReset(t *testing.T) {
	c, peer := tcpPair(t)
	require.NoError(t, peer.SetLinger(0))
	require.NoError(t, peer.Close())
	require.Eventually(t, func() bool { return c.Check() != nil }, 20*time.Second, time.Millisecond)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(-time.Second)))
	_, err := c.Read(make([]byte, 1))
	requireTimeout(t, err)
}

// An Ask on a socket that comes too late leaves the connection as it was.
func TestAskThatComesTooLateLeavesTheConnection(t *testing.T) {
	c, _ := tcpPair(t)
	err := c.Do(lateContext{t.Context()}, func() error {
		_, err := c.Ask([]byte("x"))
		var e *conn.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, "ask", e.Op)
		return err
	})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, c.Reusable())
}
