package gtcp_test

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
)

func TestOneShot(t *testing.T) {
	addr := rawServer(t, echo)
	data := []byte("hello")
	got, err := gtcp.SendRecv(addr, data, 5)
	require.NoError(t, err)
	require.Equal(t, data, got)
	got, err = gtcp.SendRecvWithTimeout(addr, data, -1, hang())
	require.NoError(t, err)
	require.Equal(t, data, got)
	got, err = gtcp.SendRecvPkg(addr, data)
	require.NoError(t, err)
	require.Equal(t, data, got)
	got, err = gtcp.SendRecvPkgWithTimeout(addr, data, hang(), gtcp.PkgOption{HeaderSize: 4})
	require.NoError(t, err)
	require.Equal(t, data, got)

	for !errors.Is(err, os.ErrDeadlineExceeded) {
		_, err = gtcp.SendRecvWithTimeout(addr, data, 6, 10*time.Millisecond)
		require.True(t, isTimeout(err), "%v", err) // of the dial, on a busy machine
	}
	_, err = gtcp.SendRecvPkg(addr, make([]byte, 1<<16))
	require.ErrorContains(t, err, "data too long")
}

func TestOneShotSends(t *testing.T) {
	received := make(chan string)
	addr := rawServer(t, func(c *net.TCPConn, n int) {
		data, _ := io.ReadAll(c)
		received <- string(data)
	})
	all := ""
	for _, send := range []func() error{
		func() error { return gtcp.Send(addr, []byte("a"), gtcp.Retry{Count: 1}) },
		func() error { return gtcp.SendWithTimeout(addr, []byte("b"), hang()) },
		func() error { return gtcp.SendPkg(addr, []byte("c")) },
		func() error { return gtcp.SendPkgWithTimeout(addr, []byte("d"), hang()) },
	} {
		require.NoError(t, send())
		all += <-received
	}
	require.Equal(t, "ab\x00\x01c\x00\x01d", all)
}

func TestOneShotErrorsNameTheAddress(t *testing.T) {
	_, far := tcpPair(t)
	for _, addr := range []string{far.LocalAddr().String(), "127.0.0.1:99999", "no port"} {
		_, err := gtcp.SendRecv(addr, nil, 1)
		require.ErrorContains(t, err, addr)
		_, err = gtcp.SendRecvPkg(addr, nil)
		require.ErrorContains(t, err, addr)
		require.ErrorContains(t, gtcp.Send(addr, nil), addr)
		require.ErrorContains(t, gtcp.SendPkg(addr, nil), addr)
		c, err := gtcp.NewConn(addr)
		require.Nil(t, c)
		require.ErrorContains(t, err, addr)
	}
	_, err := gtcp.NewConn(far.LocalAddr().String(), -1)
	require.True(t, err.(net.Error).Timeout(), "no time is left")
}

func TestNewNetConn(t *testing.T) {
	nc, err := gtcp.NewNetConn(rawServer(t, echo), time.Minute)
	require.NoError(t, err)
	require.IsType(t, &net.TCPConn{}, nc)
	require.NoError(t, nc.Close())
}

func TestFreePorts(t *testing.T) {
	require.Eventually(t, func() bool { // another program may be quicker, though not each time
		port, err := gtcp.GetFreePort()
		if err != nil {
			return false
		}
		l, err := net.ListenTCP("tcp", &net.TCPAddr{Port: port})
		return err == nil && l.Close() == nil
	}, 20*time.Second, time.Millisecond)
	require.Positive(t, gtcp.MustGetFreePort())
	ports, err := gtcp.GetFreePorts(0)
	require.NoError(t, err)
	require.Empty(t, ports)
	_, err = gtcp.GetFreePorts(-1)
	require.ErrorContains(t, err, "-1")
}

// A program that keeps its certificate beside its sources finds it, wherever it
// was built to and is run.
func TestLoadKeyCrtBesideTheSources(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped in short mode: it builds a program")
	}
	crt, _, _ := pair(t)
	sources, err := filepath.EvalSymlinks(filepath.Dir(crt))
	require.NoError(t, err)
	root, err := os.Getwd()
	require.NoError(t, err)
	sums, err := os.ReadFile("go.sum")
	require.NoError(t, err)
	for name, text := range map[string]string{
		"main.go": "package main\n\nimport \"" + module + "\"\n\nfunc load() error {\n\t_, err := gtcp.LoadKeyCrt(\"crt.pem\", \"key.pem\")\n\treturn err\n}\n\n" +
			"func main() {\n\tdone := make(chan error)\n\tgo func() { done <- load() }()\n\tif err := <-done; err != nil {\n\t\tpanic(err)\n\t}\n}\n",
		"go.mod": "module program\n\ngo 1.25\n\nrequire " + module + " v0.0.0\n\nreplace " + module + " => " + root + "\n\n" +
			"require (\n\tgithub.com/jackc/puddle/v2 v2.2.3\n\tgolang.org/x/sync v0.1.0\n)\n",
		"go.sum": string(sums),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(sources, name), []byte(text), 0o600))
	}
	program := filepath.Join(t.TempDir(), "program")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Dir = sources
	build.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	run := exec.Command(program)
	run.Dir = t.TempDir()
	out, err = run.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

const module = "github.com/seed-99d6a01a/gtcp"
