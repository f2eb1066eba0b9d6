package gtcp_test

import (
	"bytes"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/retry"
)

// A poller takes a timeout for "nothing yet" and drops what came with it, so
// nothing does.
func TestRecvTimeoutWithDataInHand(t *testing.T) {
	for name, test := range map[string]struct {
		recv func(c *gtcp.Conn) ([]byte, error)
		took time.Duration
	}{
		"RecvWithTimeout": {func(c *gtcp.Conn) ([]byte, error) { return c.RecvWithTimeout(-1, 20*time.Millisecond) }, 20 * time.Millisecond},
		"with a retry": {func(c *gtcp.Conn) ([]byte, error) {
			return c.RecvWithTimeout(-1, 20*time.Millisecond, gtcp.Retry{Count: 3})
		}, 20 * time.Millisecond},
		"a deadline": {func(c *gtcp.Conn) ([]byte, error) {
			if err := c.SetDeadlineRecv(time.Now().Add(30 * time.Millisecond)); err != nil {
				return nil, err
			}
			return c.Recv(-1)
		}, 30 * time.Millisecond},
		"the buffer wait first": {func(c *gtcp.Conn) ([]byte, error) { return c.RecvWithTimeout(-1, time.Hour) }, 50 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := memnet.Pipe()
				defer far.Close()
				c := gtcp.NewConnByNetConn(near)
				defer c.Close()
				c.SetBufferWaitRecv(50 * time.Millisecond)
				message := bytes.Repeat([]byte("x"), 200)
				_, err := far.Write(message)
				require.NoError(t, err)
				began := time.Now()
				got, err := test.recv(c)
				require.NoError(t, err)
				require.Equal(t, message, got)
				require.Equal(t, test.took, time.Since(began))

				require.NoError(t, c.SetDeadlineRecv(time.Time{}))
				got, err = c.RecvWithTimeout(-1, 20*time.Millisecond)
				require.ErrorIs(t, err, os.ErrDeadlineExceeded, "nothing has come")
				require.Empty(t, got)
			})
		})
	}
}

// A call with a timeout does not wait longer than that for another goroutine's
// call in the same direction.
func TestTimeoutBoundsTheWaitForAnotherCall(t *testing.T) {
	const timeout = 500 * time.Millisecond
	send := func(c *gtcp.Conn) { _ = c.Send(make([]byte, 64<<20)) } // the peer does not read
	recv := func(c *gtcp.Conn) { _, _ = c.Recv(-1) }
	recvPkgs := func(c *gtcp.Conn) {
		for {
			if _, err := c.RecvPkg(); err != nil {
				return
			}
		}
	}
	write := func(c *gtcp.Conn) { _, _ = c.Write(make([]byte, 64<<20)) }
	msg := []byte("x")
	for name, test := range map[string]struct {
		blocked func(*gtcp.Conn)
		call    func(*gtcp.Conn) error
		safe    bool
	}{
		"SendWithTimeout":    {send, func(c *gtcp.Conn) error { return c.SendWithTimeout(msg, timeout) }, true},
		"SendPkgWithTimeout": {send, func(c *gtcp.Conn) error { return c.SendPkgWithTimeout(msg, timeout) }, true},
		"beside a Write":     {write, func(c *gtcp.Conn) error { return c.SendWithTimeout(msg, timeout) }, true},
		"RecvWithTimeout": {recv, func(c *gtcp.Conn) error {
			_, err := c.RecvWithTimeout(-1, timeout)
			return err
		}, false},
		"RecvPkgWithTimeout": {recvPkgs, func(c *gtcp.Conn) error {
			_, err := c.RecvPkgWithTimeout(timeout)
			return err
		}, false},
		"SendRecvWithTimeout beside a send": {send, func(c *gtcp.Conn) error {
			_, err := c.SendRecvWithTimeout(msg, 1, timeout)
			return err
		}, true},
		"SendRecvPkgWithTimeout beside a send": {send, func(c *gtcp.Conn) error {
			_, err := c.SendRecvPkgWithTimeout(msg, timeout)
			return err
		}, true},
		"SendRecvPkgWithTimeout beside a receive": {recvPkgs, func(c *gtcp.Conn) error {
			_, err := c.SendRecvPkgWithTimeout(msg, timeout)
			return err
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := memnet.Pipe()
				c := gtcp.NewConnByNetConn(near)
				var others sync.WaitGroup
				others.Go(func() { test.blocked(c) })
				synctest.Wait()
				began := time.Now()
				err := test.call(c)
				require.Equal(t, timeout, time.Since(began))
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				require.True(t, err.(net.Error).Timeout())
				require.Equal(t, test.safe, retry.SafeToRetry(err), "nothing was sent")
				require.ErrorContains(t, err, "i/o timeout: waited for another call on the connection")
				require.Equal(t, conn.KindTimeout, conn.KindOf(err))
				far.Close()
				c.Close()
				others.Wait()
			})
		})
	}
}

// Each attempt of a retry waits anew, and the call goes through when the other
// is done.
func TestRetryWaitsForAnotherCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memnet.Pipe()
		defer far.Close()
		c := gtcp.NewConnByNetConn(near)
		defer c.Close()
		var other sync.WaitGroup
		other.Go(func() { _, _ = c.Recv(1) })
		synctest.Wait()
		other.Go(func() {
			time.Sleep(350 * time.Millisecond)
			_, _ = far.Write([]byte("ab"))
		})
		began := time.Now()
		got, err := c.RecvWithTimeout(1, 100*time.Millisecond, gtcp.Retry{Count: 2})
		require.NoError(t, err) // 100 to wait, 100 to rest, 100, 100, and 50 ms
		require.Equal(t, "b", string(got))
		require.Equal(t, 400*time.Millisecond, time.Since(began).Round(50*time.Millisecond))
		other.Wait()
	})
}

// A deadline of the caller's own counts too, while a call of another goroutine
// is between two attempts.
func TestDeadlineBoundsTheWaitForAnotherCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memnet.Pipe()
		defer far.Close()
		c := gtcp.NewConnByNetConn(near)
		require.NoError(t, c.SetDeadlineRecv(time.Now().Add(time.Second)))
		var other sync.WaitGroup
		other.Go(func() { _, _ = c.Recv(1, gtcp.Retry{Count: 1, Interval: time.Hour}) })
		synctest.Wait()
		began := time.Now()
		_, err := c.Recv(1)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, time.Second, time.Since(began))
		_, err = c.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		c.Close()
		other.Wait()
	})
}

// Whoever waits for a call in its direction gets the lock in turn, and one that
// gives up is not in the way.
func TestManyWaitForOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memnet.Pipe()
		defer far.Close()
		c := gtcp.NewConnByNetConn(near)
		defer c.Close()
		const callers = 100
		got := make(chan string, callers)
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				if i%2 == 1 {
					_, err := c.RecvWithTimeout(1, time.Second)
					got <- map[bool]string{true: "timeout", false: "other"}[err != nil && isTimeout(err)]
					return
				}
				data, _ := c.Recv(1)
				got <- string(data)
			})
			synctest.Wait()
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		for range callers / 2 {
			require.Equal(t, "timeout", <-got)
		}
		for i := range callers / 2 {
			_, err := far.Write([]byte{byte(i)})
			require.NoError(t, err)
			require.Equal(t, string([]byte{byte(i)}), <-got)
		}
		wg.Wait()
	})
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}

// A connection whose call timed out is counted as such, as with a Client.
func TestTimeoutIsTheReason(t *testing.T) {
	for name, call := range map[string]func(c *gtcp.PoolConn) error{
		"a reply": func(c *gtcp.PoolConn) error {
			_, err := c.SendRecvPkgWithTimeout([]byte("x"), 10*time.Millisecond)
			return err
		},
		"a poll": func(c *gtcp.PoolConn) error {
			_, err := c.RecvWithTimeout(-1, 10*time.Millisecond)
			return err
		},
		"a deadline": func(c *gtcp.PoolConn) error {
			if err := c.SetDeadlineRecv(time.Now().Add(10 * time.Millisecond)); err != nil {
				return err
			}
			_, err := c.RecvPkg()
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			addr := silentServer(t)
			c, err := gtcp.NewPoolConn(addr)
			require.NoError(t, err)
			require.ErrorIs(t, call(c), os.ErrDeadlineExceeded)
			require.NoError(t, c.Close())
			e := gtcp.PoolStat(addr).Evictions
			require.EqualValues(t, 1, e[pool.TimedOut])
			require.EqualValues(t, 1, e.Total())
		})
	}
}
