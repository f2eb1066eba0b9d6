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
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/stretchr/testify/require"
)

type ofKind string

func (k ofKind) Error() string { return "an error of kind " + string(k) }
func (k ofKind) Kind() string  { return string(k) }

func TestKindOf(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	tests := []struct {
		want string
		err  error
	}{
		{"", nil},
		{conn.KindOther, errors.New("something")},
		{"its own", fmt.Errorf("wrapped: %w", ofKind("its own"))},
		{"its own", errors.Join(io.EOF, ofKind("its own"))},
		{conn.KindRefused, refused},
		{conn.KindRefused, &conn.Error{Op: "dial", Err: refused}},
		{conn.KindTimeout, context.DeadlineExceeded},
		{conn.KindTimeout, &conn.Error{Op: "read", Err: os.ErrDeadlineExceeded}},
		{conn.KindTimeout, &conn.Error{Op: "dial", Err: syscall.ETIMEDOUT}},
		{conn.KindTimeout, &conn.Error{Op: "read", Err: syscall.ETIMEDOUT}},
		{conn.KindCanceled, context.Canceled},
		{conn.KindCanceled, &conn.Error{Op: "dial", Err: context.Canceled}},
		{conn.KindPeerClosed, io.EOF},
		{conn.KindPeerClosed, io.ErrUnexpectedEOF},
		{conn.KindPeerClosed, &conn.Error{Op: "check", Err: conn.ErrPeerClosed}},
		{conn.KindReset, &conn.Error{Op: "write", Err: syscall.EPIPE}},
		{conn.KindReset, syscall.ECONNRESET},
		{conn.KindReset, &conn.Error{Op: "read", Err: syscall.EHOSTUNREACH}},
		{conn.KindDial, &conn.Error{Op: "dial", Err: syscall.EHOSTUNREACH}},
		{conn.KindDial, &net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}},
		{conn.KindDial, &conn.Error{Op: "dial", Err: io.EOF}},
		{conn.KindDial, &conn.Error{Op: "dial"}},
		{conn.KindDial, &net.DNSError{Err: "no such host"}},
		{conn.KindTimeout, &net.DNSError{Err: "slow", IsTimeout: true}},
		{conn.KindOverloaded, &conn.Error{Op: "dial", Err: ofKind(conn.KindOverloaded)}},
		{conn.KindProtocol, &conn.Error{Op: "read", Err: &conn.LineTooLongError{Limit: 1}}},
		{conn.KindProtocol, &conn.Error{Op: "ask", Err: conn.ErrUnread}},
		{conn.KindClosed, net.ErrClosed},
		{conn.KindClosed, io.ErrClosedPipe},
		{conn.KindClosed, new(conn.Conn).Close()},
		{conn.KindOther, &conn.Error{Op: "reuse", Err: conn.ErrBusy}},
	}
	for _, test := range tests {
		require.Equal(t, test.want, conn.KindOf(test.err), "%v", test.err)
	}
}

// The read that a context ended is a timeout by itself, but not a call's.
func TestKindOfAnOperationThatItsContextEnded(t *testing.T) {
	c, _ := tcpPair(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := c.Do(ctx, func() error {
		cancel()
		_, err := c.Read(make([]byte, 1))
		return err
	})
	require.Equal(t, conn.KindCanceled, conn.KindOf(err), "%v", err)
	ctx, cancel = context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	err = c.Do(ctx, readByte(c))
	require.Equal(t, conn.KindTimeout, conn.KindOf(err), "%v", err)
}
