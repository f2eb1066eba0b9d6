package gtcp_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
)

// sendOnly checks out a connection n times, sends a package and closes it.
func sendOnly(t *testing.T, addr string, n int) {
	t.Helper()
	for range n {
		c := checkOut(t, addr)
		require.NoError(t, c.SendPkg([]byte("one way")))
		require.NoError(t, c.Close())
	}
}

// oneWayServer counts the packages it gets, and replies to none.
func oneWayServer(t *testing.T) (addr string, got chan string) {
	got = make(chan string, 1000)
	return rawServer(t, func(c *net.TCPConn, _ int) {
		in := gtcp.NewConnByNetConn(c)
		for {
			data, err := in.RecvPkg()
			if err != nil {
				return
			}
			got <- string(data)
		}
	}), got
}

// A program that only sends does not dial for each message. The first 16
// connections are closed, for their replies might be under way.
func TestSendOnlyUsesItsConnectionAgain(t *testing.T) {
	const messages = 100
	for name, test := range map[string]struct {
		options gtcp.PoolOptions
		dials   int
	}{
		"by default":     {gtcp.PoolOptions{}, 17},
		"KeepUnanswered": {gtcp.PoolOptions{KeepUnanswered: true}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			addr, got := oneWayServer(t)
			configure(t, test.options, addr)
			sendOnly(t, addr, messages)
			require.EqualValues(t, test.dials, gtcp.PoolStat(addr).Dials)
			within(t, func() {
				for range messages {
					require.Equal(t, "one way", <-got)
				}
			})
		})
	}
}

// lateReplies replies to all one-way messages once it is told to, and to others
// at once.
func lateReplies(t *testing.T) (addr string, reply chan struct{}) {
	reply = make(chan struct{})
	return rawServer(t, func(c *net.TCPConn, _ int) {
		in := gtcp.NewConnByNetConn(c)
		for {
			data, err := in.RecvPkg()
			if err != nil {
				return
			}
			if string(data) == "one way" {
				<-reply
			}
			if in.SendPkg(data) != nil {
				return
			}
		}
	}), reply
}

// However the first request after many messages without one begins, it does
// not get the late reply to one of them.
func TestSendOnlyThenARequest(t *testing.T) {
	for name, do := range first {
		t.Run(name, func(t *testing.T) {
			addr, reply := lateReplies(t)
			before := gtcp.PoolStat(addr).Dials
			sendOnly(t, addr, 30)
			require.EqualValues(t, 17, gtcp.PoolStat(addr).Dials-before)
			close(reply)
			c := checkOut(t, addr)
			got, err := do(c)
			if err == nil {
				require.Equal(t, "other", string(got))
			} else {
				// It was sent before anybody could know that its reply matters.
				require.ErrorContains(t, err, "earlier callers only sent")
			}
			require.NoError(t, c.Conn.SetDeadline(time.Time{}))
			require.NoError(t, c.Close())

			// From now on every connection that was only sent to is closed.
			before = gtcp.PoolStat(addr).Dials
			for range 5 {
				c = checkOut(t, addr)
				got, err = do(c)
				require.NoError(t, err)
				require.Equal(t, "other", string(got))
				require.NoError(t, c.Conn.SetDeadline(time.Time{}))
				require.NoError(t, c.Close())
				sendOnly(t, addr, 1)
			}
			require.GreaterOrEqual(t, gtcp.PoolStat(addr).Dials-before, uint64(4))
		})
	}
}

// A caller that receives first gets another connection.
func TestSendOnlyThenAReceive(t *testing.T) {
	addr := rawServer(t, func(c *net.TCPConn, n int) {
		if n == 17 {
			_, _ = c.Write([]byte("greeting"))
		}
		_, _ = c.Read(make([]byte, 1<<10))
		_, _ = c.Read(make([]byte, 1<<10))
		_, _ = c.Read(make([]byte, 1<<10))
	})
	sendOnly(t, addr, 18)
	c := checkOut(t, addr)
	got, err := c.RecvWithTimeout(8, hang())
	require.NoError(t, err)
	require.Equal(t, "greeting", string(got))
	require.NoError(t, c.Close())
}

// A byte that nobody tries to receive says too that the address replies.
func TestSendOnlyUntilAByteComes(t *testing.T) {
	addr, reply := lateReplies(t)
	before := gtcp.PoolStat(addr).Dials
	sendOnly(t, addr, 20)
	require.EqualValues(t, 17, gtcp.PoolStat(addr).Dials-before)
	close(reply)
	within(t, func() { // until a checkout finds the reply
		for gtcp.PoolStat(addr).Dials-before == 17 {
			sendOnly(t, addr, 1)
		}
	})
	before = gtcp.PoolStat(addr).Dials
	sendOnly(t, addr, 20)
	require.EqualValues(t, 20, gtcp.PoolStat(addr).Dials-before)
}

func readOne(c net.Conn) error {
	_, err := c.Read(make([]byte, 1))
	return err
}

// A receive beside a send in progress cannot move to another connection.
func TestSendOnlyThenAReceiveBesideASend(t *testing.T) {
	sending := make(chan struct{})
	end := make(chan struct{})
	addr := rawServer(t, func(c *net.TCPConn, n int) {
		if n < 16 {
			_, _ = io.Copy(io.Discard, c)
			return
		}
		_, _ = io.CopyN(io.Discard, c, 2*9+1)
		close(sending)
		<-end
	})
	sendOnly(t, addr, 18)
	c := checkOut(t, addr)
	sent := make(chan error, 1)
	go func() { sent <- c.Send(make([]byte, 64<<20)) }()
	within(t, func() { <-sending })
	for _, receive := range []func() ([]byte, error){
		func() ([]byte, error) { return c.Recv(1) },
		func() ([]byte, error) { return c.Recv(0) },
		func() ([]byte, error) { return c.Recv(-1) },
		func() ([]byte, error) { return c.RecvLine() },
		func() ([]byte, error) { return c.RecvPkg() },
		func() ([]byte, error) { return nil, readOne(c) },
	} {
		got, err := receive()
		require.ErrorContains(t, err, "earlier callers only sent")
		require.Empty(t, got)
	}
	close(end)
	within(t, func() { require.Error(t, <-sent) })
	require.NoError(t, c.Close())
	require.Zero(t, gtcp.PoolStat(addr).Idle, "it is not kept")
}

// The connections that were kept go at the first request, and no others later.
func TestSendOnlyThenManyRequests(t *testing.T) {
	addr := rawServer(t, func(c *net.TCPConn, _ int) {
		in := gtcp.NewConnByNetConn(c)
		for {
			data, err := in.RecvPkg()
			if err != nil || string(data) != "one way" && in.SendPkg(data) != nil {
				return
			}
		}
	})
	kept := []*gtcp.PoolConn{}
	sendOnly(t, addr, 16)
	for range 3 {
		kept = append(kept, checkOut(t, addr))
	}
	for _, c := range kept {
		require.NoError(t, c.SendPkg([]byte("one way")))
		require.NoError(t, c.Close())
	}
	require.Equal(t, 3, gtcp.PoolStat(addr).Idle)
	before := gtcp.PoolStat(addr).Dials
	for range 10 {
		c := checkOut(t, addr)
		got, err := c.SendRecvPkg([]byte("other"))
		require.NoError(t, err)
		require.Equal(t, "other", string(got))
		require.NoError(t, c.Close())
	}
	require.LessOrEqual(t, gtcp.PoolStat(addr).Dials-before, uint64(2))
	require.Equal(t, 1, gtcp.PoolStat(addr).Open)
}
