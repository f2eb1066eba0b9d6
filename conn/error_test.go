package conn_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/stretchr/testify/require"
)

func TestErrorText(t *testing.T) {
	addr := stubAddr{}
	tests := []struct {
		err  *conn.Error
		want string
	}{
		{&conn.Error{Op: "read", Err: io.ErrNoProgress}, "conn: read: multiple Read calls return no data or error"},
		{&conn.Error{Op: "write", Addr: addr, Written: 3, Err: os.ErrDeadlineExceeded}, "conn: write stub:1: i/o timeout (after 3 bytes written)"},
		{&conn.Error{Op: "dial", Addr: addr, Err: &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}}, "conn: dial stub stub:1: i/o timeout"},
		{&conn.Error{Op: "do", Addr: addr, Err: &conn.Error{Op: "read", Addr: addr, Err: net.ErrClosed}}, "conn: do stub:1: read: use of closed network connection"},
		{&conn.Error{Op: "read"}, "conn: read: unknown error"},
	}
	for _, test := range tests {
		require.EqualError(t, test.err, test.want)
	}
}

func TestErrorIsANetError(t *testing.T) {
	var _ net.Error = (*conn.Error)(nil)
	tests := []struct {
		cause   error
		timeout bool
	}{
		{os.ErrDeadlineExceeded, true},
		{context.DeadlineExceeded, true},
		{fmt.Errorf("wrapped: %w", os.ErrDeadlineExceeded), true},
		{io.ErrUnexpectedEOF, false},
		{&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ETIMEDOUT)}, false},
		{errors.New("other"), false},
		{nil, false},
	}
	for _, test := range tests {
		e := &conn.Error{Op: "read", Err: test.cause}
		require.Equal(t, test.timeout, e.Timeout(), "%v", test.cause)
		require.Equal(t, test.timeout, e.Temporary(), "%v", test.cause)
	}
}

// ETIMEDOUT says that it is a timeout, but the connection is gone.
func TestATimeoutOfTheSystemsIsFatal(t *testing.T) {
	gone := &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ETIMEDOUT)}
	require.True(t, gone.Timeout())
	reads := 0
	dead := &stub{
		read: func([]byte) (int, error) {
			if reads++; reads > 1 {
				return 0, io.EOF
			}
			return 0, gone
		},
		write: func([]byte) (int, error) { return 0, gone },
	}
	for _, use := range []func(*conn.Conn) error{
		func(c *conn.Conn) error { return readByte(c)() },
		func(c *conn.Conn) error { _, err := c.Write([]byte("x")); return err },
	} {
		c := conn.New(dead)
		err := use(c)
		require.ErrorIs(t, err, syscall.ETIMEDOUT)
		var ne net.Error
		require.ErrorAs(t, err, &ne)
		require.False(t, ne.Timeout())
		require.ErrorIs(t, c.Err(), syscall.ETIMEDOUT)
		require.ErrorIs(t, use(c), syscall.ETIMEDOUT, "it is no clean end")
	}
	reads = 0
	require.ErrorIs(t, conn.New(dead).Check(), syscall.ETIMEDOUT)
	require.True(t, (&conn.Error{Op: "dial", Err: gone}).Timeout(), "but a dial did time out")
}

func TestErrorMadeElsewhere(t *testing.T) {
	require.True(t, (&conn.Error{Op: "dial"}).SafeToRetry(), "a failed dial sent nothing")
	require.False(t, (&conn.Error{Op: "write"}).SafeToRetry(), "of a write only this package knows")
	require.True(t, errors.Is(conn.ErrPeerClosed, io.EOF))
}

// The text names the context's cause once and the I/O behind it.
func TestDoErrorText(t *testing.T) {
	c, _ := tcpPair(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	err := c.Do(ctx, func() error {
		cancel(errors.New("the user left"))
		return readByte(c)()
	})
	require.EqualError(t, err, "conn: do "+c.RemoteAddr().String()+": context canceled: the user left: read: i/o timeout")
}
