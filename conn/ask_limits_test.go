package conn_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/stretchr/testify/require"
)

// fullPair is a connection of which the kernel takes not a byte more, and how
// much it has taken. It is a unix socket: over TCP a probe of the peer's window
// can make room at any time.
func fullPair(t *testing.T) (c *conn.Conn, peer net.Conn, filled int64) {
	t.Helper()
	c, peer = socketPair(t, "unix", nil)
	nc := c.NetConn()
	for _, size := range []int{64 << 10, 1 << 10, 1} {
		// A write that was held up until its deadline has not tried, so one refusal
		// does not tell that nothing fits.
		for refused := 0; refused < 3; refused++ {
			require.NoError(t, nc.SetWriteDeadline(soon()))
			n, err := nc.Write(make([]byte, size))
			if filled += int64(n); n > 0 {
				refused = -1
			}
			if err != nil {
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			}
		}
	}
	require.NoError(t, nc.SetWriteDeadline(time.Time{}))
	return c, peer, filled
}

// What the kernel does not take at all is refused, for the wait could last.
func TestAskWhereTheKernelTakesNothing(t *testing.T) {
	c, peer, filled := fullPair(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var n int
	err := c.Do(ctx, func() (err error) {
		n, err = c.Ask([]byte("request"))
		return err
	})
	require.ErrorIs(t, err, conn.ErrBusy)
	require.Zero(t, n)
	requireSafe(t, true, err)
	require.NoError(t, c.Reusable(), "nothing has happened to it")
	_, err = io.CopyN(io.Discard, peer, filled)
	require.NoError(t, err)
}

// A request cut short is not followed by anything: nobody but its writer could
// know that the rest is missing.
func TestAskCutShortBreaksTheConnection(t *testing.T) {
	c, peer := tcpPair(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begun := make(chan error, 1)
	go func() {
		_, err := io.ReadFull(peer, make([]byte, 1))
		cancel() // when some of it has come, and all of it cannot
		begun <- err
	}()
	request, n := make([]byte, 64<<20), 0
	err := c.Do(ctx, func() (err error) {
		n, err = c.Ask(request)
		return err
	})
	require.NoError(t, <-begun)
	require.ErrorIs(t, err, context.Canceled)
	requireSafe(t, false, err)
	require.Positive(t, n)
	require.Less(t, n, len(request))
	m, err := c.Write([]byte("x"))
	require.Zero(t, m)
	require.ErrorContains(t, err, "broken by an earlier write")
}

// File().Fd() puts the socket into blocking mode, and its system calls with it.
func TestAskInBlockingMode(t *testing.T) {
	c, peer := tcpPair(t)
	echoes(t, peer)
	f, err := c.NetConn().(*net.TCPConn).File()
	require.NoError(t, err)
	_ = f.Fd()
	require.NoError(t, f.Close())
	asked := make(chan error, 1)
	go func() {
		_, err := c.Ask([]byte("request"))
		asked <- err
	}()
	select {
	case err := <-asked:
		require.NoError(t, err)
	case <-time.After(10 * time.Second):
		send(t, peer, "x") // to end it
		<-asked
		t.Fatal("it waits for an answer before it has asked")
	}
}

// Do's own mark does not hide what else is the matter.
func TestAskWithinDoSaysWhy(t *testing.T) {
	c, _ := tcpPair(t)
	require.NoError(t, c.SetDeadline(time.Now().Add(time.Hour)))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := c.Do(ctx, func() error {
		_, err := c.Ask([]byte("request"))
		return err
	})
	require.ErrorIs(t, err, conn.ErrDeadlineSet)
}

// withoutDeadlines is a net.Conn that has none, as an ssh channel.
type withoutDeadlines struct{ net.Conn }

func (withoutDeadlines) SetReadDeadline(time.Time) error { return errors.ErrUnsupported }
func (withoutDeadlines) SetDeadline(time.Time) error     { return errors.ErrUnsupported }

func TestCheckWithoutDeadlines(t *testing.T) {
	near, far := net.Pipe()
	c := conn.New(withoutDeadlines{near})
	defer c.Close()
	echoes(t, far)
	require.NoError(t, c.Check(), "it cannot look without waiting, so it does not")
	_, err := c.Ask([]byte("request"))
	require.NoError(t, err)
}
