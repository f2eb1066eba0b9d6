package gtcp_test

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
)

// What programs written for gtcp do, as they do it.

func TestHabitDeferredClose(t *testing.T) {
	addr := rawServer(t, echo)
	port := use(t, addr)
	func() {
		conn, err := gtcp.NewPoolConn(addr)
		require.NoError(t, err)
		defer conn.Close()
		_, err = conn.SendRecv([]byte("hello"), 5)
		require.NoError(t, err)
		require.NoError(t, conn.Close())
	}()
	require.Equal(t, port, use(t, addr))
}

func TestHabitBufio(t *testing.T) {
	addr := rawServer(t, echo)
	conn := checkOut(t, addr)
	defer conn.Close()
	w, r := bufio.NewWriter(conn), bufio.NewReader(conn)
	_, err := w.WriteString("one\ntwo\n")
	require.NoError(t, err)
	require.NoError(t, w.Flush())
	for _, want := range []string{"one\n", "two\n"} {
		line, err := r.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, want, line)
	}
}

func TestHabitPollingServer(t *testing.T) {
	timeouts := make(chan struct{})
	s := gtcp.NewServer("127.0.0.1:0", func(conn *gtcp.Conn) {
		defer conn.Close()
		for {
			data, err := conn.RecvPkgWithTimeout(time.Millisecond)
			if err == io.EOF {
				return
			}
			if err != nil {
				if e, ok := err.(net.Error); ok && e.Timeout() {
					select {
					case timeouts <- struct{}{}:
					default:
					}
					continue
				}
				return
			}
			if conn.SendPkg(data) != nil {
				return
			}
		}
	})
	addr := run(t, s)
	near, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer near.Close()
	wire := "\x00\x05hello"
	for i := range wire {
		_, err := near.Write([]byte(wire[i : i+1]))
		require.NoError(t, err)
		<-timeouts // so that they cut the package everywhere; none must matter
	}
	got, err := gtcp.NewConnByNetConn(near).RecvPkgWithTimeout(hang())
	require.NoError(t, err)
	require.Equal(t, "hello", string(got))
}

func TestHabitNetConn(t *testing.T) {
	addr := rawServer(t, echo)
	conn := checkOut(t, addr)
	defer conn.Close()
	var nc net.Conn = conn
	require.NoError(t, nc.SetReadDeadline(time.Now().Add(hang())))
	require.NoError(t, nc.SetWriteDeadline(time.Now().Add(hang())))
	require.Equal(t, addr, nc.RemoteAddr().String())
	_, err := nc.Write([]byte("hello"))
	require.NoError(t, err)
	got := make([]byte, 5)
	_, err = io.ReadFull(nc, got)
	require.NoError(t, err)
	require.Equal(t, "hello", string(got))
}
