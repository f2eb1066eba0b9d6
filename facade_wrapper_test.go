package gtcp_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
)

// counting counts what passes through it.
type counting struct {
	net.Conn
	read, written atomic.Int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read.Add(int64(n))
	return n, err
}

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.written.Add(int64(n))
	return n, err
}

// shouting is a wrapper that is no pointer and cannot be compared.
type shouting struct {
	net.Conn
	_ []int
}

func (c shouting) Write(p []byte) (int, error) {
	return c.Conn.Write([]byte(strings.ToUpper(string(p))))
}

// A connection put into the field Conn is what every method uses.
func TestWrapperInTheFieldIsUsed(t *testing.T) {
	c, err := gtcp.NewConn(rawServer(t, echo))
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Write([]byte("before"))
	require.NoError(t, err)
	got, err := c.Recv(2)
	require.NoError(t, err)
	require.Equal(t, "be", string(got))
	require.NoError(t, c.SetDeadlineRecv(time.Now().Add(time.Hour)))

	w := &counting{Conn: c.Conn}
	c.Conn = w
	got, err = c.Recv(4)
	require.NoError(t, err)
	require.Equal(t, "fore", string(got), "what was buffered goes through it too")
	for _, exchange := range []func() ([]byte, error){
		func() ([]byte, error) { return c.SendRecv([]byte("12345"), 5) },
		func() ([]byte, error) { return c.SendRecvPkg([]byte("123")) },
		func() ([]byte, error) { return c.SendRecvPkgWithTimeout([]byte("123"), hang()) },
		func() ([]byte, error) {
			if err := c.Send([]byte("1234\n")); err != nil {
				return nil, err
			}
			return c.RecvLine()
		},
		func() ([]byte, error) {
			if _, err := c.Write([]byte("1234\n")); err != nil {
				return nil, err
			}
			return bufio.NewReaderSize(io.LimitReader(c, 5), 16).ReadBytes('\n')
		},
	} {
		read, written := w.read.Load(), w.written.Load()
		got, err := exchange()
		require.NoError(t, err)
		require.NotEmpty(t, got)
		require.EqualValues(t, 5, w.read.Load()-read)
		require.EqualValues(t, 5, w.written.Load()-written)
	}
	require.IsType(t, &net.TCPConn{}, c.NetConn())

	_, err = c.RecvWithTimeout(1, time.Millisecond)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, c.SetReadDeadline(time.Unix(1, 0)))
	_, err = c.RecvWithTimeout(1, time.Hour)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded, "the caller's own deadline counts")
	require.NoError(t, c.SetWriteDeadline(time.Unix(1, 0)))
	require.ErrorIs(t, c.Send([]byte("x")), os.ErrDeadlineExceeded)
	require.NoError(t, c.Close())
	require.ErrorIs(t, c.Send([]byte("x")), net.ErrClosed)
}

func TestWrapperKeepsTheDeadline(t *testing.T) {
	c, _ := peer(t)
	require.NoError(t, c.SetDeadlineRecv(time.Now().Add(50*time.Millisecond)))
	c.Conn = &counting{Conn: c.Conn}
	within(t, func() {
		_, err := c.RecvWithTimeout(1, time.Millisecond)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		_, err = c.Recv(1)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	})
}

func TestWrapperKeepsTheBufferWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memnet.Pipe()
		defer far.Close()
		c := gtcp.NewConnByNetConn(near)
		defer c.Close()
		c.SetBufferWaitRecv(50 * time.Millisecond)
		c.Conn = &counting{Conn: c.Conn}
		_, err := far.Write(make([]byte, 200))
		require.NoError(t, err)
		began := time.Now()
		got, err := c.Recv(-1)
		require.NoError(t, err)
		require.Len(t, got, 200)
		require.Equal(t, 50*time.Millisecond, time.Since(began))
	})
}

func TestWrapperThatCannotBeCompared(t *testing.T) {
	c, err := gtcp.NewConn(rawServer(t, echo))
	require.NoError(t, err)
	defer c.Close()
	c.Conn = shouting{Conn: c.Conn}
	for range 2 {
		got, err := c.SendRecv([]byte("hello"), 3)
		require.NoError(t, err)
		require.Equal(t, "HEL", string(got))
		got, err = c.Recv(2)
		require.NoError(t, err)
		require.Equal(t, "LO", string(got), "one buffer for all calls")
	}
	c.Conn = &counting{Conn: c.Conn}
	got, err := c.SendRecv([]byte("hello"), 5)
	require.NoError(t, err)
	require.Equal(t, "HELLO", string(got), "a wrapper around a wrapper")
}

// STARTTLS: the connection speaks TLS from some point on.
func TestWrapperThatSpeaksTLS(t *testing.T) {
	crt, key, roots := pair(t)
	config, err := gtcp.LoadKeyCrt(crt, key)
	require.NoError(t, err)
	s := gtcp.NewServer("127.0.0.1:0", func(c *gtcp.Conn) {
		defer c.Close()
		if line, err := c.RecvLine(); err != nil || string(line) != "STARTTLS" || c.Send([]byte("go\n")) != nil {
			return
		}
		c.Conn = tls.Server(c.Conn, config)
		for {
			data, err := c.RecvPkg()
			if err != nil || c.SendPkg(data) != nil {
				return
			}
		}
	})
	c, err := gtcp.NewConn(run(t, s))
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Send([]byte("STARTTLS\n")))
	line, err := c.RecvLine()
	require.NoError(t, err)
	require.Equal(t, "go", string(line))
	c.Conn = tls.Client(c.Conn, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"})
	for _, size := range []int{0, 5, 60000} {
		got, err := c.SendRecvPkg(make([]byte, size))
		require.NoError(t, err)
		require.Len(t, got, size)
	}
}

// The next caller of the pool knows nothing of a wrapper.
func TestWrappedPoolConnDoesNotGoBack(t *testing.T) {
	addr := rawServer(t, echo)
	for range 3 {
		before := gtcp.PoolStat(addr).Dials
		c := checkOut(t, addr)
		w := &counting{Conn: c.Conn.Conn}
		c.Conn.Conn = w
		got, err := c.SendRecv([]byte("hello"), 5)
		require.NoError(t, err)
		require.Equal(t, "hello", string(got))
		require.EqualValues(t, 5, w.read.Load())
		require.NoError(t, c.Close())
		s := gtcp.PoolStat(addr)
		require.EqualValues(t, 1, s.Dials-before)
		require.Zero(t, s.Open)
	}
	c := checkOut(t, addr)
	c.Conn.Conn = unclosable{c.Conn.Conn}
	require.NoError(t, c.Close())
	require.Zero(t, gtcp.PoolStat(addr).Open, "although its Close does nothing")
}

type unclosable struct{ net.Conn }

func (unclosable) Close() error { return nil }

// A field set to another Conn's connection is that connection.
func TestFieldOfAnotherConn(t *testing.T) {
	a, _ := peer(t)
	b, far := peer(t)
	a.Conn = b.Conn
	require.NoError(t, a.Send([]byte("hello")))
	_, err := io.ReadFull(far, make([]byte, 5))
	require.NoError(t, err)
	a.Conn = nil
	require.NoError(t, a.SetDeadline(time.Now()), "nothing in the field is the connection as it was made")
}
