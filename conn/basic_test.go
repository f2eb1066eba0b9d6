package conn_test

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEchoThroughOneBuffer(t *testing.T) {
	c, peer := tcpPair(t)
	_, err := c.Write([]byte("ping"))
	require.NoError(t, err)
	got := make([]byte, 4)
	_, err = io.ReadFull(peer, got)
	require.NoError(t, err)
	require.Equal(t, "ping", string(got))

	_, err = peer.Write([]byte("line\nrest"))
	require.NoError(t, err)
	line, err := c.ReadUntil(nil, []byte("\n"), 0)
	require.NoError(t, err)
	require.Equal(t, "line\n", string(line))
	rest := make([]byte, 4)
	n, err := c.ReadFull(rest)
	require.NoError(t, err)
	require.Equal(t, "rest", string(rest[:n]))
	require.NoError(t, c.Reusable())
	require.NoError(t, c.Check())
}
