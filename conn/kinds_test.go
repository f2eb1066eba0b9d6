package conn_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/stretchr/testify/require"
)

// A dial that failed before it had a connection is a failed dial, whatever its
// function returned; and it has sent nothing.
func TestConnectNamesTheDial(t *testing.T) {
	inner := errors.New("no route")
	for name, dialErr := range map[string]error{
		"plain":              inner,
		"of a proxy's reply": &conn.Error{Op: "read", Err: inner},
	} {
		t.Run(name, func(t *testing.T) {
			target := conn.Target{Address: "db:1", Dial: func(context.Context) (net.Conn, error) { return nil, dialErr }}
			_, err := target.Connect(t.Context())
			var e *conn.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, "dial", e.Op)
			require.Equal(t, "db:1", e.Addr.String())
			require.ErrorIs(t, err, inner)
			requireSafe(t, true, err)
		})
	}
	own := &conn.Error{Op: "dial", Err: inner}
	_, err := conn.Target{Dial: func(context.Context) (net.Conn, error) { return nil, own }}.Connect(t.Context())
	require.Same(t, own, err, "one of a dial is returned as it is")
}

func TestKindOfAnErrorThatIsNoDial(t *testing.T) {
	require.Equal(t, conn.KindDial, conn.KindOf(&net.OpError{Op: "dial", Err: errors.New("x")}))
	require.Equal(t, conn.KindPeerClosed, conn.KindOf(&net.OpError{Op: "read", Err: io.EOF}))
}

func TestConfigErrorUnwraps(t *testing.T) {
	require.ErrorIs(t, &conn.ConfigError{Field: "Dialer.TLS", Problem: "is bad", Err: io.EOF}, io.EOF)
}

// A handle that has ended writes nothing.
func TestEndedHandleWritesNothing(t *testing.T) {
	c, _ := memoryPair(t)
	var next conn.Conn
	require.NoError(t, c.Handoff(&next))
	n, err := c.Write([]byte("x"))
	require.Zero(t, n)
	require.ErrorIs(t, err, net.ErrClosed)
	requireSafe(t, true, err)
	many, err := c.WriteBuffers([][]byte{[]byte("x"), []byte("y")})
	require.Zero(t, many)
	require.ErrorIs(t, err, net.ErrClosed)
	require.Zero(t, next.BytesWritten())
}
