package main

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/faultproxy"
)

const childEnv = "GTCP_HOTRESTART_ADDR"

func TestMain(m *testing.M) {
	if addr := os.Getenv(childEnv); addr != "" {
		if err := run(addr); err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}

// TestRestartUnderLoad restarts the server three times while a client asks it
// without a pause. A connection may end between two requests, or before the first one
// is sent, where the process that accepted it ends; no dial is refused and no request is left unanswered but
// one sent into that end.
func TestRestartUnderLoad(t *testing.T) {
	addr, stop, err := faultproxy.HeldAddr()
	require.NoError(t, err)
	defer func() { require.NoError(t, stop()) }()

	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+addr)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	first := cmd.Process.Pid
	defer func() { _ = cmd.Process.Kill() }()
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}, 20*time.Second, 5*time.Millisecond)

	pid := first
	defer func() { _ = syscall.Kill(pid, syscall.SIGKILL) }()
	for range 3 {
		pid = askUntilAnother(t, addr, pid)
	}
	require.NoError(t, cmd.Wait(), "the first process has ended well")
	require.NotEqual(t, first, pid)
	require.NoError(t, syscall.Kill(pid, syscall.SIGTERM))
}

// askUntilAnother makes old restart and asks until another process answers.
func askUntilAnother(t *testing.T, addr string, old int) int {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		_ = syscall.Kill(old, syscall.SIGHUP) // refused while its own restart is under way
		c, err := net.Dial("tcp", addr)
		require.NoError(t, err, "no dial is refused")
		require.NoError(t, c.SetDeadline(deadline))
		r := framing.NewReader(c, framing.Format{})
		for n := range 100 {
			_, err := c.Write([]byte("\x00\x00"))
			var resp []byte
			if err == nil {
				resp, err = r.Next()
			}
			if err != nil {
				require.True(t, errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) ||
					errors.Is(err, syscall.EPIPE), "request %d: %v", n, err)
				break
			}
			if got, err := strconv.Atoi(string(resp)); err != nil || got != old {
				require.NoError(t, err)
				require.NoError(t, c.Close())
				return got
			}
		}
		require.NoError(t, c.Close())
	}
	t.Fatal("no other process has answered")
	return 0
}
