package gtcp_test

import (
	"context"
	"net"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/pool/balance"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

// fullListener listens with room for one connection in its queue. When that is
// taken, no dial is answered.
func fullListener(t *testing.T) (fd int, addr string) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	require.NoError(t, err)
	t.Cleanup(func() { syscall.Close(fd) })
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	require.NoError(t, syscall.Listen(fd, 0))
	name, err := syscall.Getsockname(fd)
	require.NoError(t, err)
	return fd, "127.0.0.1:" + strconv.Itoa(name.(*syscall.SockaddrInet4).Port)
}

// deafServer listens with room for one connection in its queue. hello serves
// that one; then it is reset and no dial is answered any more, as if the host
// were gone.
func deafServer(t *testing.T) (addr string, hello, deaf func()) {
	fd, addr := fullListener(t)
	var err error
	accepted := -1
	hello = func() {
		if accepted, _, err = syscall.Accept(fd); err != nil {
			t.Error(err)
			return
		}
		buf := make([]byte, 100)
		n, _ := syscall.Read(accepted, buf)
		_, _ = syscall.Write(accepted, buf[:n])
	}
	deaf = func() {
		require.NoError(t, syscall.SetsockoptLinger(accepted, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1}))
		require.NoError(t, syscall.Close(accepted))
		c, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		t.Cleanup(func() { c.Close() })
	}
	return addr, hello, deaf
}

// A dial inside a call does not outlast the call's timeout.
func TestTimeoutBoundsTheDialInACall(t *testing.T) {
	const timeout = 100 * time.Millisecond
	for name, call := range map[string]func(c *gtcp.PoolConn) error{
		"SendWithTimeout":    func(c *gtcp.PoolConn) error { return c.SendWithTimeout([]byte("x"), timeout) },
		"SendPkgWithTimeout": func(c *gtcp.PoolConn) error { return c.SendPkgWithTimeout([]byte("x"), timeout) },
		"SendRecvWithTimeout": func(c *gtcp.PoolConn) error {
			_, err := c.SendRecvWithTimeout([]byte("x"), 1, timeout)
			return err
		},
		"SendRecvPkgWithTimeout": func(c *gtcp.PoolConn) error {
			_, err := c.SendRecvPkgWithTimeout([]byte("x"), timeout)
			return err
		},
		"a large package": func(c *gtcp.PoolConn) error {
			_, err := c.SendRecvPkgWithTimeout(make([]byte, 60<<10), timeout)
			return err
		},
		"a retry": func(c *gtcp.PoolConn) error {
			_, err := c.SendRecvPkgWithTimeout([]byte("x"), timeout, gtcp.PkgOption{Retry: gtcp.Retry{Count: 1}})
			return err
		},
		"a deadline": func(c *gtcp.PoolConn) error {
			if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
				return err
			}
			_, err := c.SendRecvPkg([]byte("x"))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			addr, hello, deaf := deafServer(t)
			served := make(chan struct{})
			go func() {
				defer close(served)
				hello()
			}()
			c := checkOut(t, addr)
			_, err := c.SendRecvPkg([]byte("hello"))
			require.NoError(t, err)
			require.NoError(t, c.Close())
			<-served
			deaf()

			c = checkOut(t, addr)
			began := time.Now()
			within(t, func() { err = call(c) })
			require.Error(t, err)
			require.Less(t, time.Since(began), 10*time.Second, "a dial's own timeout is 30 s")
			require.True(t, isTimeout(err), "%v", err)
			require.NoError(t, c.Close())
		})
	}
}

// The calls that dial, send and close are bounded too.
func TestTimeoutBoundsTheDialOfOneShotCalls(t *testing.T) {
	const timeout = 100 * time.Millisecond
	addr, hello, deaf := deafServer(t)
	served := make(chan struct{})
	go func() {
		defer close(served)
		hello()
	}()
	require.NoError(t, gtcp.Send(addr, []byte("hello")))
	<-served
	deaf()
	for name, call := range map[string]func(timeout time.Duration) error{
		"SendWithTimeout":    func(d time.Duration) error { return gtcp.SendWithTimeout(addr, []byte("x"), d) },
		"SendPkgWithTimeout": func(d time.Duration) error { return gtcp.SendPkgWithTimeout(addr, []byte("x"), d) },
		"SendRecvWithTimeout": func(d time.Duration) error {
			_, err := gtcp.SendRecvWithTimeout(addr, []byte("x"), 1, d)
			return err
		},
		"SendRecvPkgWithTimeout": func(d time.Duration) error {
			_, err := gtcp.SendRecvPkgWithTimeout(addr, []byte("x"), d)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, d := range []time.Duration{timeout, 0, -timeout} {
				began := time.Now()
				var err error
				within(t, func() { err = call(d) })
				require.True(t, isTimeout(err), "%v", err)
				require.Less(t, time.Since(began), 10*time.Second, "a dial's own timeout is 30 s")
			}
		})
	}
}

// dialStarts is a hook that hears of each dial that begins.
type dialStarts chan string

func (d dialStarts) BeforeDial(ctx context.Context, addr string) context.Context {
	d <- addr
	return ctx
}

// Beside a call that dials, one with a timeout does not wait for the dial.
func TestTimeoutBoundsTheWaitForADial(t *testing.T) {
	fd, addr := fullListener(t)
	dialing := make(dialStarts, 10)
	configure(t, gtcp.PoolOptions{Hooks: []any{dialing}}, addr)
	use := make(chan int, 1)
	go func() {
		accepted, _, _ := syscall.Accept(fd)
		buf := make([]byte, 16)
		n, _ := syscall.Read(accepted, buf)
		_, _ = syscall.Write(accepted, buf[:n])
		use <- accepted
	}()
	c := checkOut(t, addr)
	_, err := c.SendRecvPkg([]byte("hello"))
	require.NoError(t, err)
	accepted := <-use
	defer syscall.Close(accepted)
	require.NoError(t, c.Close())
	_, err = syscall.Write(accepted, []byte("late"))
	require.NoError(t, err)
	fills, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer fills.Close()

	c = checkOut(t, addr)
	for len(dialing) > 0 {
		<-dialing
	}
	sent := make(chan error, 1)
	go func() { sent <- c.SendWithTimeout([]byte("hello"), 1500*time.Millisecond) }() // moves to a new connection
	within(t, func() { <-dialing })
	began := time.Now()
	_, err = c.RecvWithTimeout(1, 50*time.Millisecond)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.Less(t, time.Since(began), time.Second)
	require.True(t, isTimeout(<-sent))
	require.NoError(t, c.Close())
}

// A server whose host does not answer costs a caller a third of its time, not
// all of it.
func TestServiceWithAServerThatIsDeaf(t *testing.T) {
	addr, _, _ := deafServer(t)
	fills, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer fills.Close()
	good := rawServer(t, echo)
	name := resolves(t, resolve.Addrs(addr, good), balance.RoundRobin)
	for range 4 {
		c := checkOut(t, name, 3*time.Second)
		require.Equal(t, good, c.RemoteAddr().String())
		require.NoError(t, c.Close())
	}
}
