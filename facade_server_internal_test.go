package gtcp

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// A listener fails for good in ways that no test can bring about from outside.
func TestRunAfterOneThatFailed(t *testing.T) {
	s := NewServer("127.0.0.1:0", func(*Conn) {})
	s.serving, s.served = s.newServing(), true
	require.ErrorIs(t, s.Run(), errServed)
	require.NoError(t, s.Close())
	require.ErrorIs(t, s.Run(), net.ErrClosed)
}
