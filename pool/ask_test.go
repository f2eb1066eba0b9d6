package pool_test

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
)

// TestProbeByCaller gives out a connection as it is, to a caller that asks it
// itself, and replaces it where it refuses.
func TestProbeByCaller(t *testing.T) {
	for name, tc := range map[string]struct {
		leave  func(t *testing.T, c *pool.Conn) // how the first caller leaves it
		refuse error
		reason func(pool.Evictions) uint64
	}{
		"clean": {func(*testing.T, *pool.Conn) {}, nil, nil},
		"unread answer": {func(t *testing.T, c *pool.Conn) {
			_, err := c.Write([]byte("x"))
			require.NoError(t, err)
			arrived(t, c.NetConn())
		}, conn.ErrUnread, func(e pool.Evictions) uint64 { return e[pool.Dirty] }},
		"closed by its peer": {func(t *testing.T, c *pool.Conn) {
			_, err := c.Write([]byte{quit})
			require.NoError(t, err)
			arrived(t, c.NetConn())
		}, conn.ErrPeerClosed, func(e pool.Evictions) uint64 { return e[pool.Dead] }},
	} {
		t.Run(name, func(t *testing.T) {
			overBackends(t, func(t *testing.T, open opener) {
				s := newTCPServer(t, echo)
				p := newPool(t, conn.Target{Address: s.addr}, pool.Config{Backend: open, MaxConns: 1, Probe: pool.Probe{Mode: pool.ProbeByCaller}})
				c := get(t, p)
				roundTrip(t, c)
				tc.leave(t, c)
				require.NoError(t, c.Close())

				c = get(t, p)
				require.True(t, c.Reused(), "nobody has looked")
				n, err := c.Ask([]byte("y"))
				require.ErrorIs(t, err, tc.refuse)
				if tc.refuse != nil {
					require.Zero(t, n)
					err = c.Replace(t.Context())
					require.NoError(t, err)
					require.False(t, c.Reused())
					_, err = c.Ask([]byte("y"))
					require.NoError(t, err)
					require.EqualValues(t, 1, tc.reason(p.Stat().Evictions))
				}
				b := make([]byte, 1)
				_, err = io.ReadFull(c, b)
				require.NoError(t, err)
				require.Equal(t, "y", string(b))
				require.NoError(t, c.Close())
				require.Equal(t, 1, p.Stat().Idle)
			})
		})
	}
}

// TestReplaceWithinGetTimeout bounds the dial of a Replace as that of a Get.
func TestReplaceWithinGetTimeout(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		hang := false
		p := newPool(t, conn.Target{Dial: func(ctx context.Context) (net.Conn, error) {
			if hang {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return s.dial(ctx)
		}}, pool.Config{Backend: open, GetTimeout: time.Second, DialTimeout: time.Minute, Probe: pool.Probe{Mode: pool.ProbeByCaller}})
		c := get(t, p)
		hang = true
		begun := time.Now()
		err := c.Replace(t.Context())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(begun))
	})
}
