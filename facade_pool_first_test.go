package gtcp_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
)

// first are the ways to begin a checkout with a request of one package, "other",
// and to receive its answer.
var first = map[string]func(c *gtcp.PoolConn) ([]byte, error){
	"SendRecvPkg": func(c *gtcp.PoolConn) ([]byte, error) { return c.SendRecvPkg([]byte("other")) },
	"SendRecvPkg with a retry": func(c *gtcp.PoolConn) ([]byte, error) {
		return c.SendRecvPkg([]byte("other"), gtcp.PkgOption{Retry: gtcp.Retry{Count: 1}})
	},
	"SendRecvPkgWithTimeout": func(c *gtcp.PoolConn) ([]byte, error) {
		return c.SendRecvPkgWithTimeout([]byte("other"), time.Minute)
	},
	"SendRecvPkg before a deadline": func(c *gtcp.PoolConn) ([]byte, error) {
		if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			return nil, err
		}
		return c.SendRecvPkg([]byte("other"))
	},
	"SendPkg and RecvPkg": func(c *gtcp.PoolConn) ([]byte, error) {
		if err := c.SendPkg([]byte("other")); err != nil {
			return nil, err
		}
		return c.RecvPkg()
	},
	"SendRecv": func(c *gtcp.PoolConn) ([]byte, error) {
		answer, err := c.SendRecv([]byte("\x00\x05other"), 7)
		return bytes.TrimPrefix(answer, []byte("\x00\x05")), err
	},
	"SendRecv of what is there": func(c *gtcp.PoolConn) ([]byte, error) {
		answer, err := c.SendRecv([]byte("\x00\x05other"), -1)
		return bytes.TrimPrefix(answer, []byte("\x00\x05")), err
	},
	"Write and Read": func(c *gtcp.PoolConn) ([]byte, error) {
		if _, err := c.Write([]byte("\x00\x05other")); err != nil {
			return nil, err
		}
		r := bufio.NewReader(c)
		_, err := r.Discard(2)
		answer := make([]byte, 5)
		if err == nil {
			_, err = io.ReadFull(r, answer)
		}
		return answer, err
	},
}

// lateServer answers the first package of its first connection with "late"
// after it, and all others with themselves.
func lateServer(t *testing.T) (addr string, late func()) {
	now, sent := make(chan struct{}), make(chan struct{})
	addr = rawServer(t, func(c *net.TCPConn, n int) {
		if n == 0 {
			_, _ = io.CopyN(c, c, 7)
			<-now
			_, _ = c.Write([]byte("\x00\x04late"))
			close(sent)
		}
		echo(c, n)
	})
	return addr, func() {
		close(now)
		<-sent
	}
}

// However the next caller begins, it does not get what came late.
func TestDefect02LateBytesReachNoBeginner(t *testing.T) {
	for name, do := range first {
		t.Run(name, func(t *testing.T) {
			addr, late := lateServer(t)
			before := gtcp.PoolStat(addr).Dials // of a test that had the same port
			c := checkOut(t, addr)
			_, err := c.SendRecvPkg([]byte("first"))
			require.NoError(t, err)
			port := c.LocalAddr().String()
			require.NoError(t, c.Close())
			late()
			c = checkOut(t, addr)
			answer, err := do(c)
			require.NoError(t, err)
			require.Equal(t, "other", string(answer))
			require.NotEqual(t, port, c.LocalAddr().String(), "on a new connection")
			require.NoError(t, c.Conn.SetDeadline(time.Time{}))
			require.NoError(t, c.Close())
			s := gtcp.PoolStat(addr)
			require.Equal(t, 1, s.Open)
			require.EqualValues(t, 2, s.Dials-before)
		})
	}
}

// The same ways on a connection that is clean: it stays in use.
func TestEveryBeginningKeepsTheConnection(t *testing.T) {
	for name, do := range first {
		t.Run(name, func(t *testing.T) {
			addr := rawServer(t, echo)
			before := gtcp.PoolStat(addr).Dials
			for range 3 {
				c := checkOut(t, addr)
				for range 2 {
					answer, err := do(c)
					require.NoError(t, err)
					require.Equal(t, "other", string(answer))
				}
				require.NoError(t, c.SetDeadline(time.Time{}))
				require.NoError(t, c.Close())
			}
			require.EqualValues(t, 1, gtcp.PoolStat(addr).Dials-before)
		})
	}
}

func TestDefect02LateBytesReachNoReader(t *testing.T) {
	addr, late := lateServer(t)
	c := checkOut(t, addr)
	_, err := c.SendRecvPkg([]byte("first"))
	require.NoError(t, err)
	require.NoError(t, c.Close())
	late()
	c = checkOut(t, addr)
	data, err := c.RecvWithTimeout(4, 20*time.Millisecond)
	require.Empty(t, data)
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	require.True(t, timeout.Timeout())
	answer, err := c.SendRecvPkg([]byte("other"))
	require.NoError(t, err)
	require.Equal(t, "other", string(answer))
	require.NoError(t, c.Close())
}

// With a peer that has gone, the error is the dial's, and the checkout is over.
func TestLateBytesAndNobodyListens(t *testing.T) {
	for name, do := range first {
		t.Run(name, func(t *testing.T) {
			l := heldListener(t)
			sent := make(chan struct{})
			go func() {
				c, err := l.Accept()
				l.Close()
				if err == nil {
					_, _ = io.CopyN(c, c, 7)
					_, _ = c.Write([]byte("late"))
					defer c.Close()
				}
				sent <- struct{}{}
				<-sent
			}()
			defer close(sent)
			addr := l.Addr().String()
			c := checkOut(t, addr)
			_, err := c.SendRecvPkg([]byte("first"))
			require.NoError(t, err)
			<-sent
			if c.Close(); gtcp.PoolStat(addr).Open == 0 {
				t.Skip("it was not late: the first caller has seen it")
			}
			c = checkOut(t, addr)
			_, err = do(c)
			require.ErrorContains(t, err, "refused")
			require.ErrorContains(t, err, addr)
			require.ErrorIs(t, c.Send([]byte("x")), net.ErrClosed)
			require.NoError(t, c.Close())
			require.Zero(t, gtcp.PoolStat(addr).Open)
		})
	}
}

// A request that the peer cuts short cannot be followed by another.
func TestFirstRequestCutShort(t *testing.T) {
	var served atomic.Int32
	addr := rawServer(t, func(c *net.TCPConn, n int) {
		_, _ = io.CopyN(c, c, 5)
		_, _ = io.ReadFull(c, make([]byte, 1<<20))
		reset(c)
		served.Add(1)
	})
	use(t, addr)
	c := checkOut(t, addr)
	_, err := c.SendRecv(make([]byte, 64<<20), 1)
	require.ErrorContains(t, err, "Write data failed")
	require.ErrorContains(t, c.Send([]byte("x")), "half sent")
	require.NoError(t, c.Close())
	require.Zero(t, gtcp.PoolStat(addr).Open)
}

// Two goroutines begin the same checkout.
func TestTwoBeginACheckout(t *testing.T) {
	addr := rawServer(t, echo)
	before := gtcp.PoolStat(addr).Dials
	for range 200 {
		c := checkOut(t, addr)
		var both sync.WaitGroup
		both.Go(func() {
			if err := c.SendPkg([]byte("hello")); err != nil {
				t.Error(err)
			}
		})
		both.Go(func() {
			if got, err := c.RecvPkg(); err != nil || string(got) != "hello" {
				t.Errorf("%q, %v", got, err)
			}
		})
		both.Wait()
		require.NoError(t, c.Close())
		c = checkOut(t, addr)
		for range 2 {
			both.Go(func() {
				if got, err := c.SendRecvPkg([]byte("hello")); err != nil || string(got) != "hello" {
					t.Errorf("%q, %v", got, err)
				}
			})
		}
		both.Wait()
		require.NoError(t, c.Close())
	}
	require.EqualValues(t, 1, gtcp.PoolStat(addr).Dials-before)
}

// A message that moved to a new connection may have a reply under way there.
func TestDefect02ReplyToAMessageThatMoved(t *testing.T) {
	now, gone := make(chan struct{}), make(chan struct{})
	addr := answerThenReset(t, now, gone, "again")
	c := checkOut(t, addr)
	_, err := c.SendRecv([]byte("hello"), 2)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	close(now)
	<-gone
	c = checkOut(t, addr)
	require.NoError(t, c.Send([]byte("hello")))
	require.NoError(t, c.Close())
	require.Zero(t, gtcp.PoolStat(addr).Open)
}

// A caller that could not wait for its reply, because another goroutine receives,
// leaves a connection that nobody else must get.
func TestDefect02ReplyThatWasNotWaitedFor(t *testing.T) {
	reply := make(chan struct{})
	addr := rawServer(t, func(c *net.TCPConn, _ int) {
		_, _ = io.CopyN(io.Discard, c, 3)
		<-reply
		_, _ = c.Write([]byte("x"))
		_, _ = io.Copy(io.Discard, c)
	})
	c := checkOut(t, addr)
	received := make(chan error, 1)
	go func() { received <- readOne(c) }()
	for !waitsInRead() {
		runtime.Gosched()
	}
	_, err := c.SendRecvPkgWithTimeout([]byte("x"), 20*time.Millisecond)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	close(reply)
	within(t, func() { require.NoError(t, <-received) })
	require.NoError(t, c.Close())
	require.Zero(t, gtcp.PoolStat(addr).Open)
}

// A server that answers the first request of a checkout only after the second must
// get it.
func TestASecondRequestDoesNotWaitForTheFirstAnswer(t *testing.T) {
	addr := rawServer(t, func(c *net.TCPConn, _ int) {
		_, _ = io.CopyN(c, c, 5)
		both := make([]byte, 7+7)
		_, _ = io.ReadFull(c, both)
		_, _ = c.Write(both)
		echo(c, 0)
	})
	use(t, addr)
	c := checkOut(t, addr)
	answered := make(chan error, 1)
	go func() {
		_, err := c.SendRecvPkg([]byte("first"))
		answered <- err
	}()
	require.NoError(t, c.SendPkg([]byte("other")))
	within(t, func() { require.NoError(t, <-answered) })
	_, err := c.RecvPkg()
	require.NoError(t, err)
	require.NoError(t, c.Close())
}
