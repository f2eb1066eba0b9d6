package gtcp_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
)

func TestDefect02UnreadBytesReachNobody(t *testing.T) {
	addr := rawServer(t, func(c *net.TCPConn, n int) {
		buf := make([]byte, 16)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			// Two answers to one request, with the request in both.
			answer := append([]byte{0, byte(n - 2)}, buf[2:n]...)
			if _, err := c.Write(append(answer, answer...)); err != nil {
				return
			}
		}
	})
	for _, request := range []string{"first", "second", "third"} {
		c := checkOut(t, addr)
		answer, err := c.SendRecvPkg([]byte(request))
		require.NoError(t, err)
		require.Equal(t, request, string(answer))
		require.NoError(t, c.Close())
	}
}

func TestDefect02AnswerUnderWayReachesNobody(t *testing.T) {
	proceed := make(chan struct{}, 1)
	addr := rawServer(t, func(c *net.TCPConn, n int) {
		if n == 0 {
			<-proceed
		}
		echo(c, n)
	})
	c := checkOut(t, addr)
	require.NoError(t, c.SendPkg([]byte("first")))
	require.NoError(t, c.Close())
	c = checkOut(t, addr)
	proceed <- struct{}{} // only now is the first one answered
	answer, err := c.SendRecvPkg([]byte("other"))
	require.NoError(t, err)
	require.Equal(t, "other", string(answer))
	require.NoError(t, c.Close())
}

// The answer under way may be that to the last of several messages.
func TestDefect02LastAnswerUnderWayReachesNobody(t *testing.T) {
	proceed := make(chan struct{}, 1)
	addr := rawServer(t, func(c *net.TCPConn, n int) {
		if n == 0 {
			_, _ = io.CopyN(c, c, int64(len("..first")))
			<-proceed
		}
		echo(c, n)
	})
	c := checkOut(t, addr)
	_, err := c.SendRecvPkg([]byte("first"))
	require.NoError(t, err)
	require.NoError(t, c.SendPkg([]byte("second")))
	require.NoError(t, c.Close())
	c = checkOut(t, addr)
	proceed <- struct{}{} // only now is the second one answered
	answer, err := c.SendRecvPkg([]byte("other"))
	require.NoError(t, err)
	require.Equal(t, "other", string(answer))
	require.NoError(t, c.Close())
}

func TestDefect02LateBytesReachNobody(t *testing.T) {
	now, sent := make(chan struct{}), make(chan struct{})
	addr := rawServer(t, func(c *net.TCPConn, n int) {
		if n == 0 {
			buf := make([]byte, 5)
			_, _ = io.ReadFull(c, buf)
			_, _ = c.Write(buf)
			<-now
			_, _ = c.Write([]byte("late!"))
			close(sent)
		}
		echo(c, n)
	})
	for _, request := range []string{"first", "other"} {
		c := checkOut(t, addr)
		answer, err := c.SendRecv([]byte(request), 5)
		require.NoError(t, err)
		require.Equal(t, request, string(answer))
		require.NoError(t, c.Close())
		if request == "first" {
			close(now)
			<-sent
		}
	}
}

// answerThenReset answers the first connection's first request, and resets it
// when told to. What it answers to others is given.
func answerThenReset(t *testing.T, now <-chan struct{}, gone chan<- struct{}, others string) string {
	return rawServer(t, func(c *net.TCPConn, n int) {
		buf := make([]byte, 16)
		for {
			if _, err := c.Read(buf); err != nil {
				return
			}
			answer := others
			if n == 0 {
				answer = "ok"
			}
			if _, err := c.Write([]byte(answer)); err != nil {
				return
			}
			if n == 0 {
				<-now
				reset(c)
				close(gone)
				return
			}
		}
	})
}

func TestDefect04ReconnectCarriesTheDeadlineOver(t *testing.T) {
	now, gone := make(chan struct{}), make(chan struct{})
	addr := answerThenReset(t, now, gone, "")
	c := checkOut(t, addr)
	_, err := c.SendRecv([]byte("hello"), 2)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	close(now)
	<-gone

	c = checkOut(t, addr)
	port := c.LocalAddr().String()
	require.NoError(t, c.SetDeadlineRecv(time.Now().Add(100*time.Millisecond)))
	require.NoError(t, c.Send([]byte("hello")))
	require.NotEqual(t, port, c.LocalAddr().String(), "the write moved to a new connection")
	within(t, func() {
		_, err := c.Recv(1)
		var timeout net.Error
		require.ErrorAs(t, err, &timeout)
		require.True(t, timeout.Timeout())
	})
	require.NoError(t, c.Close())
}

func TestDefect10DeadlineEndsWithTheCheckout(t *testing.T) {
	addr := rawServer(t, echo)
	c := checkOut(t, addr)
	_, err := c.SendRecv([]byte("hello"), 5)
	require.NoError(t, err)
	port := c.LocalAddr().String()
	require.NoError(t, c.SetDeadlineRecv(time.Unix(1, 0)))
	require.NoError(t, c.Close())

	c = checkOut(t, addr)
	require.Equal(t, port, c.LocalAddr().String(), "a deadline is no reason to part with a connection")
	_, err = c.SendRecv([]byte("hello"), 5)
	require.NoError(t, err)
	require.NoError(t, c.Close())
}

func TestDefect10BufferWaitEndsWithTheCheckout(t *testing.T) {
	addr := rawServer(t, echo)
	c := checkOut(t, addr)
	_, err := c.SendRecv([]byte("hello"), 5)
	require.NoError(t, err)
	c.SetBufferWaitRecv(time.Hour)
	require.NoError(t, c.Close())

	c = checkOut(t, addr)
	within(t, func() {
		_, err = c.SendRecv(bytes.Repeat([]byte("x"), 200), -1)
		require.NoError(t, err)
	})
	require.NoError(t, c.Close())
}

func TestDefect10TimeoutKeepsTheCallersDeadline(t *testing.T) {
	for name, call := range map[string]func(c *gtcp.Conn) error{
		"RecvWithTimeout": func(c *gtcp.Conn) error {
			_, err := c.RecvWithTimeout(1, time.Millisecond)
			return err
		},
		"RecvPkgWithTimeout": func(c *gtcp.Conn) error {
			_, err := c.RecvPkgWithTimeout(time.Millisecond)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := peer(t)
			require.NoError(t, c.SetDeadlineRecv(time.Now().Add(100*time.Millisecond)))
			require.Error(t, call(c))
			within(t, func() {
				_, err := c.Recv(1)
				require.Error(t, err)
			})
		})
	}
}

func TestDefect12LastInFirstOut(t *testing.T) {
	addr := rawServer(t, echo)
	conns := []*gtcp.PoolConn{checkOut(t, addr), checkOut(t, addr), checkOut(t, addr)}
	last := conns[2].LocalAddr().String()
	for _, c := range conns {
		require.NoError(t, c.Close())
	}
	for range 4 {
		c := checkOut(t, addr)
		require.Equal(t, last, c.LocalAddr().String(), "the others rest and age")
		_, err := c.SendRecv([]byte("hello"), 5)
		require.NoError(t, err)
		require.NoError(t, c.Close())
	}
}

func TestDefect14TwoReceiversGetWholePackages(t *testing.T) {
	const packages = 2000
	addr := rawServer(t, func(c *net.TCPConn, _ int) {
		var wire bytes.Buffer
		for i := range packages {
			data := strings.Repeat(fmt.Sprintf("%d,", i), 1+i%50)
			wire.Write([]byte{byte(len(data) >> 8), byte(len(data))})
			wire.WriteString(data)
		}
		for wire.Len() > 0 {
			if _, err := c.Write(wire.Next(100)); err != nil {
				return
			}
		}
		_, _ = io.Copy(io.Discard, c)
	})
	c := checkOut(t, addr)
	defer c.Close()
	var mu sync.Mutex
	seen := map[string]bool{}
	receive := func() {
		for range packages / 2 {
			data, err := c.RecvPkg()
			if err != nil {
				t.Error(err)
				return
			}
			number, _, _ := strings.Cut(string(data), ",")
			if strings.Repeat(number+",", strings.Count(string(data), ",")) != string(data) {
				t.Errorf("package torn: %q", data)
				return
			}
			mu.Lock()
			seen[number] = true
			mu.Unlock()
		}
	}
	within(t, func() {
		var wg sync.WaitGroup
		wg.Go(receive)
		wg.Go(receive)
		wg.Wait()
	})
	require.Len(t, seen, packages)
}

// One sender and one receiver: this is for the race detector, to which a
// second operation would hide what the first did.
func TestDefect14SenderWithReceiver(t *testing.T) {
	addr := rawServer(t, func(c *net.TCPConn, _ int) {
		_, _ = c.Write([]byte{0, 5, 'h', 'e', 'l', 'l', 'o'})
		_, _ = io.Copy(io.Discard, c)
	})
	for range 10 {
		c := checkOut(t, addr)
		defer c.Close()
		within(t, func() {
			var wg sync.WaitGroup
			wg.Go(func() {
				if err := c.SendPkg([]byte("hello")); err != nil {
					t.Error(err)
				}
			})
			wg.Go(func() {
				if _, err := c.RecvPkg(); err != nil {
					t.Error(err)
				}
			})
			wg.Wait()
		})
	}
}

// The connection under a sender is replaced while a receiver uses it: this is
// for the race detector.
func TestDefect14ReconnectWithReceiver(t *testing.T) {
	now, gone := make(chan struct{}), make(chan struct{})
	addr := answerThenReset(t, now, gone, "again")
	c := checkOut(t, addr)
	_, err := c.SendRecv([]byte("hello"), 2)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	close(now)
	<-gone

	c = checkOut(t, addr)
	defer c.Close()
	within(t, func() {
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				if data, err := c.RecvWithTimeout(5, 10*time.Millisecond); err == nil {
					if string(data) != "again" {
						t.Errorf("received %q", data)
					}
					return
				}
			}
		})
		wg.Go(func() {
			for range 10 {
				_ = c.SendWithTimeout([]byte("hello"), hang())
			}
		})
		wg.Wait()
	})
}

func TestDefect15SecondCloseTouchesNobody(t *testing.T) {
	addr := rawServer(t, echo)
	stale := checkOut(t, addr)
	require.NoError(t, stale.Close())
	b := checkOut(t, addr)
	_, err := b.SendRecv([]byte("hello"), 5)
	require.NoError(t, err)
	_ = stale.Close()
	c := checkOut(t, addr)
	require.NotEqual(t, b.LocalAddr().String(), c.LocalAddr().String(), "two owners of one connection")
	_ = stale.Send([]byte("stale"))
	for _, owner := range []*gtcp.PoolConn{b, c} {
		answer, err := owner.SendRecv([]byte("hello"), 5)
		require.NoError(t, err)
		require.Equal(t, "hello", string(answer))
		require.NoError(t, owner.Close())
	}
}

func TestDefect22ReadErrorEvicts(t *testing.T) {
	addr := rawServer(t, func(c *net.TCPConn, _ int) {
		buf := make([]byte, 16)
		n, _ := c.Read(buf)
		_, _ = c.Write(buf[:n])
	})
	for range 3 {
		c := checkOut(t, addr)
		_, err := c.SendRecv([]byte("hello"), 5)
		require.NoError(t, err)
		_, err = c.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
		require.NoError(t, c.Close())
	}
}

func TestDefect23LocalErrorKeepsTheConnection(t *testing.T) {
	addr := rawServer(t, echo)
	c := checkOut(t, addr)
	port := c.LocalAddr().String()
	for range 3 {
		require.NoError(t, c.Close())
		c = checkOut(t, addr)
		require.EqualError(t, c.SendPkg(make([]byte, 1<<16)),
			"data too long, data size 65536 exceeds allowed max data size 65535")
		require.Equal(t, port, c.LocalAddr().String())
	}
	_, err := c.SendRecvPkg([]byte("hello"))
	require.NoError(t, err)
	require.NoError(t, c.Close())
}
