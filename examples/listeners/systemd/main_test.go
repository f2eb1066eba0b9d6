package main

import (
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing"
)

func TestMain(m *testing.M) {
	if os.Getenv("LISTEN_FDS") != "" {
		// systemd sets LISTEN_PID to the process it starts; the test cannot know
		// it before that.
		_ = os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
		main()
		return
	}
	os.Exit(m.Run())
}

// TestActivation passes two sockets the way systemd does: as descriptors from 3.
func TestActivation(t *testing.T) {
	var files []*os.File
	var addrs []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		f, err := l.(*net.TCPListener).File()
		require.NoError(t, err)
		addrs, files = append(addrs, l.Addr().String()), append(files, f)
		require.NoError(t, l.Close())
	}
	// A client may come before the service runs.
	early := dial(t, addrs[0])

	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LISTEN_FDS=2")
	cmd.ExtraFiles, cmd.Stderr = files, os.Stderr
	require.NoError(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill() }()
	for _, f := range files {
		require.NoError(t, f.Close())
	}
	require.Equal(t, "> hello", ask(t, early))
	require.Equal(t, "> hello", ask(t, dial(t, addrs[1])))
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.NoError(t, cmd.Wait())
}

func TestWithoutSockets(t *testing.T) {
	require.ErrorContains(t, run(t.Context()), "no socket was passed")
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	return c
}

func ask(t *testing.T, c net.Conn) string {
	t.Helper()
	_, err := c.Write([]byte("\x00\x05hello"))
	require.NoError(t, err)
	resp, err := framing.NewReader(c, framing.Format{}).Next()
	require.NoError(t, err)
	return string(resp)
}
