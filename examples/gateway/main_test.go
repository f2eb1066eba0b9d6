package main

import (
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestGateway(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run(t.Context(), &out))
	require.Contains(t, out.String(), `device 1, number 1: reply: quick is done
device 1, number 0: reply: slow is done
device 2, number 1: reply: quick is done
device 2, number 0: reply: slow is done
device 3, number 1: reply: quick is done
device 3, number 0: reply: slow is done
connections to the backend: 1
`)
	replies, failures, _ := strings.Cut(out.String(), "connections to the backend: 1\n")
	require.Regexp(t, `^(device 4, without a backend, number [01]: error: (refused|peer closed)\n){2}$`, failures)

	page, err := os.ReadFile("../../docs/wire.md")
	require.NoError(t, err)
	require.Contains(t, string(page), "```text\n"+replies+"connections to the backend: 1\ndevice 4, without a backend, number 0: error: ")
}

// A message without room for its number cannot be replied to.
func TestShortMessageEndsTheConnection(t *testing.T) {
	client := newBackendClient("127.0.0.1:1")
	defer client.Close()
	addr, stop, err := start(newGateway(client))
	require.NoError(t, err)
	defer stop()
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = c.Write([]byte{0, 0, 0, 6, 1, 2})
	require.NoError(t, err)
	reply, err := io.ReadAll(c)
	require.NoError(t, err)
	require.Empty(t, reply)
}
