package gtcp_test

import (
	"bytes"
	"net"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
)

// sockets counts the process's open sockets.
func sockets(t *testing.T) (n int) {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	for _, f := range files {
		if to, err := os.Readlink("/proc/self/fd/" + f.Name()); err == nil && bytes.HasPrefix([]byte(to), []byte("socket:")) {
			n++
		}
	}
	return n
}

func TestDefect04ReconnectClosesTheOldConnection(t *testing.T) {
	now, gone := make(chan struct{}), make(chan struct{})
	addr := answerThenReset(t, now, gone, "again")
	c := checkOut(t, addr)
	_, err := c.SendRecv([]byte("hello"), 2)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	close(now)
	<-gone

	c = checkOut(t, addr)
	before := sockets(t)
	_, err = c.SendRecv([]byte("hello"), 5)
	require.NoError(t, err)
	// The new connection has two ends here, and the old one had one.
	require.LessOrEqual(t, sockets(t), before+1)
	require.NoError(t, c.Close())
}

func TestDefect09ServerSurvivesLackOfFiles(t *testing.T) {
	quiet(t)
	s := gtcp.NewServer("127.0.0.1:0", serveEcho)
	done := make(chan error, 1)
	go func() { done <- s.Run() }()
	defer func() {
		_ = s.Close()
		require.ErrorIs(t, <-done, net.ErrClosed)
	}()
	within(t, func() {
		for s.GetListenedPort() <= 0 {
			runtime.Gosched()
		}
	})
	addr := s.GetListenedAddress()
	first, err := gtcp.NewConn(addr) // warms up whatever opens files once
	require.NoError(t, err)
	defer first.Close()
	_, err = first.SendRecv([]byte("hello"), 5)
	require.NoError(t, err)

	var old syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old))
	highest := 0
	files, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	for _, f := range files {
		n, err := strconv.Atoi(f.Name())
		require.NoError(t, err)
		highest = max(highest, n)
	}
	// Fill every gap up to the limit but one: the client's socket takes that,
	// and none is left for the server's.
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: uint64(highest) + 8, Max: old.Max}))
	var taken []*os.File
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		taken = append(taken, f)
	}
	release := func() {
		require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old))
		for _, f := range taken {
			f.Close()
		}
	}
	require.NotEmpty(t, taken)
	require.NoError(t, taken[0].Close())
	second, err := gtcp.NewConn(addr)
	if err != nil {
		release()
		require.NoError(t, err)
	}
	defer second.Close()
	select {
	case err := <-done:
		release()
		done <- err
		t.Fatal("the server has given up: ", err)
	case <-time.After(50 * time.Millisecond):
	}
	release()
	within(t, func() {
		answer, err := second.SendRecv([]byte("hello"), 5)
		require.NoError(t, err)
		require.Equal(t, "hello", string(answer))
	})
}

func TestDefect11EachDialTimeoutCounts(t *testing.T) {
	// A listener whose queue is full answers no dial.
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	require.NoError(t, err)
	defer syscall.Close(fd)
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	require.NoError(t, syscall.Listen(fd, 0))
	name, err := syscall.Getsockname(fd)
	require.NoError(t, err)
	addr := "127.0.0.1:" + strconv.Itoa(name.(*syscall.SockaddrInet4).Port)

	c := checkOut(t, addr, time.Hour)
	defer c.Conn.Close()
	within(t, func() {
		c, err := gtcp.NewPoolConn(addr, 50*time.Millisecond)
		require.Nil(t, c)
		var timeout net.Error
		require.ErrorAs(t, err, &timeout)
		require.True(t, timeout.Timeout())
		require.ErrorContains(t, err, addr)
	})
	// A dial may outlive its caller, to serve the next. Here it ends with the
	// test: room in the queue lets its next attempt in.
	for range 2 {
		accepted, _, err := syscall.Accept(fd)
		require.NoError(t, err)
		defer syscall.Close(accepted)
	}
}
