//go:build !gtcp_noloop

package conn

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/internal/sleep"
)

// nobody watches no connection.
type nobody struct{}

func (nobody) Watch(int) bool { return true }
func (nobody) Forget(int)     {}
func (nobody) Woken(int)      {}

// Of two operations that wake a connection the second finds it awake.
func TestWakeOfAConnectionThatIsAwake(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	nc, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	c := New(nc)
	defer c.Close()
	k := c.core
	require.NoError(t, k.wake())
	require.Same(t, nc, k.tr().nc)
	require.NoError(t, c.SetDeadline(time.Now().Add(time.Hour)))
	require.NoError(t, c.SetDeadline(time.Time{}))
	require.NotNil(t, k.limits)
	require.Equal(t, sleep.Asleep, sleep.Fall(c, nobody{}))
	require.Nil(t, k.limits, "it is kept by nothing")
	require.NoError(t, k.wake())
	nc = k.tr().nc
	require.NoError(t, k.wake())
	require.Same(t, nc, k.tr().nc)
}
