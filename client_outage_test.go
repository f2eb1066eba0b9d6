package gtcp_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/retry"
)

// A server that accepts and closes is dialed as seldom as one that refuses, by
// either kind of client.
func TestClientAcceptThenCloseIsAFailedDial(t *testing.T) {
	eachMode(t, func(t *testing.T, shared bool) {
		synctest.Test(t, func(t *testing.T) {
			dials := 0
			c := gtcp.NewClient("server:1", gtcp.ClientConfig{
				Shared: shared, Retry: retry.Policy{MaxAttempts: 1},
				Target: conn.Target{Dial: func(context.Context) (net.Conn, error) {
					dials++
					here, there := memnet.Pipe()
					go func() {
						_, _ = there.Read(make([]byte, 3))
						_ = there.Close()
					}()
					return here, nil
				}},
			})
			calls := 0
			for begun := time.Now(); time.Since(begun) < 2*time.Second; calls++ {
				_, err := c.Call(t.Context(), []byte("x"))
				require.Error(t, err)
				time.Sleep(time.Millisecond)
			}
			require.Greater(t, calls, 1000)
			require.Less(t, dials, 100)
			require.NoError(t, c.Close())
		})
	})
}
