//go:build unix

package server_test

import (
	"bufio"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/server"
)

// childEnv makes the test binary a server with that limit of open files.
const childEnv = "GTCP_SERVER_CHILD_FILES"

func TestMain(m *testing.M) {
	if files := os.Getenv(childEnv); files != "" {
		serveAsChild(files)
	}
	verifyMain(m)
}

func serveAsChild(files string) {
	var limit syscall.Rlimit
	if _, err := fmt.Sscan(files, &limit.Cur); err != nil {
		panic(err)
	}
	limit.Max = limit.Cur
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		err = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	}
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr())
	s := &server.Server{Handler: echo(), Logger: slog.New(slog.NewTextHandler(os.Stdout, nil))}
	fmt.Println(s.Serve(l))
	os.Exit(1)
}

// startChild starts a server in a process of its own and returns its address and
// its output.
func startChild(t *testing.T, files int) (string, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprint(childEnv, "=", files))
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())
	return lines.Text(), lines
}

func TestSurvivesRunningOutOfFiles(t *testing.T) {
	addr, log := startChild(t, 64)
	var held []*client
	for range 100 {
		held = append(held, dial(t, addr))
	}
	require.True(t, log.Scan())
	require.Contains(t, log.Text(), "accept failed")
	require.Contains(t, log.Text(), "too many open files")
	go func() { // so that it never blocks on its log
		for log.Scan() {
		}
	}()
	requireServed(held[0])
	for _, c := range held[1:] {
		require.NoError(t, c.Close())
	}
	for range 100 {
		c := dial(t, addr)
		requireServed(c)
		require.NoError(t, c.Close())
	}
	requireServed(held[0])
}

func TestManyConnections(t *testing.T) {
	n := 2000
	if long() {
		n = 10000
	}
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	if uint64(limit.Cur) < uint64(n)+200 { // FreeBSD has another type for Cur
		t.Skipf("only %d files can be open", limit.Cur)
	}
	addr, _ := startChild(t, n+100)
	conns := make([]*client, n)
	for i := range conns {
		conns[i] = dial(t, addr)
		conns[i].send("hello")
	}
	for i, c := range conns {
		c.expect("hello")
		require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
		if i%10 == 0 {
			c.send("again", strings.Repeat("x", i))
		}
	}
	for i, c := range conns {
		if i%10 == 0 {
			c.expect("again", strings.Repeat("x", i))
		}
	}
}
