package gtcp_test

import (
	"context"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/retry"
)

// nowhere is a connection that knows no addresses, as some tunnels are.
type nowhere struct{ net.Conn }

func (nowhere) LocalAddr() net.Addr  { return nil }
func (nowhere) RemoteAddr() net.Addr { return nil }

func TestClientOfAConnWithoutAddress(t *testing.T) {
	eachMode(t, func(t *testing.T, shared bool) {
		c := client(t, "server:1", gtcp.ClientConfig{
			Shared: shared,
			Retry:  retry.Policy{MaxAttempts: 1},
			Target: conn.Target{Dial: func(context.Context) (net.Conn, error) {
				here, there := net.Pipe()
				_ = there.Close()
				return nowhere{here}, nil
			}},
		})
		_, err := c.Call(t.Context(), []byte("x"))
		require.Error(t, err)
		require.NotEmpty(t, err.Error())
	})
}
