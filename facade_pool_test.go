package gtcp_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/slotpool"
)

// configure sets an address's options until the test ends.
func configure(t *testing.T, options gtcp.PoolOptions, addrs ...string) {
	t.Helper()
	require.NoError(t, gtcp.ConfigurePools(options, addrs...))
	t.Cleanup(func() { require.NoError(t, gtcp.ConfigurePools(gtcp.PoolOptions{}, addrs...)) })
}

// use makes one exchange on a pooled connection and returns its local address.
func use(t *testing.T, addr string) string {
	t.Helper()
	c := checkOut(t, addr)
	answer, err := c.SendRecv([]byte("hello"), 5)
	require.NoError(t, err)
	require.Equal(t, "hello", string(answer))
	port := c.LocalAddr().String()
	require.NoError(t, c.Close())
	return port
}

func TestConnectionsAreReused(t *testing.T) {
	addr := rawServer(t, echo)
	port := use(t, addr)
	for range 10 {
		require.Equal(t, port, use(t, addr))
	}
	stat := gtcp.PoolStat(addr)
	require.EqualValues(t, 1, stat.Dials)
	require.Equal(t, 1, stat.Idle)
	require.Zero(t, gtcp.PoolStat("unknown:1"))
}

// checkouts are what a caller may do before Close, and whether the connection is
// kept after it.
var checkouts = map[string]struct {
	do   func(c *gtcp.PoolConn) error
	kept bool
}{
	"Close":                    {func(c *gtcp.PoolConn) error { return nil }, true},
	"Close of the Conn inside": {func(c *gtcp.PoolConn) error { return c.Conn.Close() }, false},
	"timeout": {func(c *gtcp.PoolConn) error {
		_, err := c.RecvWithTimeout(1, time.Millisecond)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return errors.New("no timeout")
		}
		return nil
	}, false},
	"package half read": {func(c *gtcp.PoolConn) error {
		if err := c.Send([]byte{0, 9, 'x'}); err != nil {
			return err
		}
		_, err := c.RecvPkgWithTimeout(10 * time.Millisecond)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return errors.New("no timeout")
		}
		return nil
	}, false},
	"package buffered": {func(c *gtcp.PoolConn) error {
		if err := c.Send([]byte{0, 1, 'x', 0, 1, 'y', 0, 1, 'z'}); err != nil {
			return err
		}
		for range 2 {
			if _, err := c.RecvPkg(); err != nil {
				return err
			}
		}
		return nil
	}, false},
	"packages read": {func(c *gtcp.PoolConn) error {
		if err := c.Send([]byte{0, 1, 'x', 0, 1, 'y', 0, 1, 'z'}); err != nil {
			return err
		}
		for range 3 {
			if _, err := c.RecvPkg(); err != nil {
				return err
			}
		}
		return nil
	}, true},
	"option out of range": {func(c *gtcp.PoolConn) error {
		if err := c.SendPkg(nil, gtcp.PkgOption{HeaderSize: 9}); err == nil {
			return errors.New("no error")
		}
		return nil
	}, true},
	"read in progress": {func(c *gtcp.PoolConn) error {
		go func() { _, _ = c.Read(make([]byte, 1)) }()
		for !waitsInRead() {
			runtime.Gosched()
		}
		return nil
	}, false},
}

// waitsInRead says whether a goroutine waits for the network in Conn.Read.
func waitsInRead() bool {
	all := make([]byte, 1<<20)
	all = all[:runtime.Stack(all, true)]
	for stack := range strings.SplitSeq(string(all), "\n\n") {
		if strings.Contains(stack, "[IO wait") && strings.Contains(stack, "(*innerConn).Read(") {
			return true
		}
	}
	return false
}

func TestEveryWayToEndACheckout(t *testing.T) {
	for name, test := range checkouts {
		t.Run(name, func(t *testing.T) {
			addr := rawServer(t, echo)
			port := use(t, addr)
			c := checkOut(t, addr)
			require.NoError(t, test.do(c))
			require.NoError(t, c.Close())
			require.NoError(t, c.Close(), "defer Close after an explicit one is harmless")
			require.ErrorIs(t, c.Send([]byte("stale")), net.ErrClosed)
			_, err := c.Recv(1)
			require.ErrorIs(t, err, net.ErrClosed)
			require.ErrorIs(t, c.SetDeadline(time.Now()), net.ErrClosed)
			if test.kept {
				require.Equal(t, port, use(t, addr))
			} else {
				require.NotEqual(t, port, use(t, addr))
			}
		})
	}
}

func TestStaleConnectionReadsEOF(t *testing.T) {
	closed := make(chan struct{}, 1)
	addr := rawServer(t, func(c *net.TCPConn, _ int) {
		buf := make([]byte, 16)
		n, _ := c.Read(buf)
		_, _ = c.Write(buf[:n])
		c.Close()
		closed <- struct{}{}
	})
	port := use(t, addr)
	<-closed
	c := checkOut(t, addr)
	require.Equal(t, port, c.LocalAddr().String(), "handed out, as upstream documents")
	_, err := c.SendRecv([]byte("hello"), 5)
	require.Equal(t, io.EOF, err)
	require.NoError(t, c.Close())
	require.NotEqual(t, port, use(t, addr))
	<-closed

	configure(t, gtcp.PoolOptions{Probe: true}, addr)
	for range 5 {
		use(t, addr)
		<-closed
	}
}

// A write that fails because nobody listens any more reports that.
func TestReconnectReportsTheDial(t *testing.T) {
	now, gone := make(chan struct{}), make(chan struct{})
	l := heldListener(t)
	addr := l.Addr().String()
	go func() {
		c, err := l.Accept()
		l.Close()
		if err == nil {
			_, _ = c.Read(make([]byte, 5))
			_, _ = c.Write([]byte("hello"))
			<-now
			reset(c.(*net.TCPConn))
		}
		close(gone)
	}()
	use(t, addr)
	close(now)
	<-gone
	c := checkOut(t, addr)
	err := c.Send([]byte("hello"))
	require.ErrorContains(t, err, "refused")
	require.ErrorContains(t, err, addr)
	require.NoError(t, c.Close())
	require.Zero(t, gtcp.PoolStat(addr).Open)
}

// What was read before tells that the connection was alive: a write that fails
// then does not move to another, whose peer knows nothing of the exchange.
func TestNoReconnectInTheMiddle(t *testing.T) {
	greeted := make(chan struct{}, 1)
	addr := rawServer(t, func(c *net.TCPConn, _ int) {
		buf := make([]byte, 5)
		_, _ = io.ReadFull(c, buf)
		_, _ = c.Write(buf)
		<-greeted
		_, _ = c.Write([]byte("greeting"))
		_, _ = c.Read(buf)
		reset(c)
		greeted <- struct{}{}
	})
	use(t, addr)
	c := checkOut(t, addr)
	port := c.LocalAddr().String()
	read := make(chan error, 1)
	go func() {
		_, err := io.ReadFull(c, make([]byte, 8))
		read <- err
	}()
	for !waitsInRead() {
		runtime.Gosched()
	}
	greeted <- struct{}{}
	require.NoError(t, <-read)
	_, _ = c.Conn.Conn.Write([]byte("x"))
	<-greeted
	within(t, func() {
		for c.Send([]byte("again")) == nil {
			continue
		}
	})
	require.Equal(t, port, c.LocalAddr().String())
	require.NoError(t, c.Close())
}

// Other reasons not to keep a connection are as good with KeepUnanswered.
func TestKeepUnansweredKeepsNothingElse(t *testing.T) {
	answer, answered := make(chan struct{}), make(chan struct{})
	addr := rawServer(t, func(c *net.TCPConn, n int) {
		if n == 0 {
			<-answer
			_, _ = c.Write([]byte("late"))
			close(answered)
		}
		echo(c, n)
	})
	configure(t, gtcp.PoolOptions{KeepUnanswered: true}, addr)
	c := checkOut(t, addr)
	port := c.LocalAddr().String()
	require.NoError(t, c.Send([]byte("hello")))
	require.NoError(t, c.Close())
	close(answer)
	<-answered
	require.NotEqual(t, port, use(t, addr), "an answer that has come is nobody's")

	c = checkOut(t, addr)
	port = c.LocalAddr().String()
	require.NoError(t, c.Send([]byte("hello")))
	_, err := c.RecvWithTimeout(6, time.Millisecond)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, c.Close())
	require.NotEqual(t, port, use(t, addr))
}

func TestBoundedPool(t *testing.T) {
	for name, options := range map[string]gtcp.PoolOptions{
		"puddlepool": {MaxConns: 2},
		"slotpool":   {MaxConns: 2, Backend: slotpool.Open[*pool.Member]},
	} {
		t.Run(name, func(t *testing.T) {
			addr := rawServer(t, echo)
			use(t, addr) // configuring comes after the first use
			configure(t, options, addr)
			a, b := checkOut(t, addr), checkOut(t, addr)
			_, err := gtcp.NewPoolConn(addr, 10*time.Millisecond)
			var timeout net.Error
			require.ErrorAs(t, err, &timeout)
			require.True(t, timeout.Timeout())
			require.ErrorContains(t, err, addr)

			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					c, err := gtcp.NewPoolConn(addr)
					if err != nil {
						t.Error(err)
						return
					}
					if _, err := c.SendRecv([]byte("hello"), 5); err != nil {
						t.Error(err)
					}
					_ = c.Close()
				})
			}
			require.NoError(t, a.Close())
			require.NoError(t, b.Close())
			wg.Wait()
			require.LessOrEqual(t, gtcp.PoolStat(addr).Dials, uint64(2))
		})
	}
}

func TestMaxWaiters(t *testing.T) {
	addr := rawServer(t, echo)
	configure(t, gtcp.PoolOptions{MaxConns: 1, MaxWaiters: -1}, addr)
	c := checkOut(t, addr)
	_, err := gtcp.NewPoolConn(addr)
	require.ErrorIs(t, err, pool.ErrTooManyWaiters)
	require.NoError(t, c.Close())
}

func TestIdleLimit(t *testing.T) {
	ended := make(chan struct{}, 1)
	addr := rawServer(t, func(c *net.TCPConn, n int) {
		echo(c, n)
		ended <- struct{}{}
	})
	configure(t, gtcp.PoolOptions{MaxIdleTime: 10 * time.Millisecond}, addr)
	use(t, addr)
	within(t, func() { <-ended })
}

func TestConfigureForAllAddresses(t *testing.T) {
	own, other := rawServer(t, echo), rawServer(t, echo)
	// A spelling of its own: an earlier test may have left options for a port that is used again.
	other = strings.Replace(other, "127.0.0.1", "[::ffff:127.0.0.1]", 1)
	configure(t, gtcp.PoolOptions{MaxConns: 7}, own)
	use(t, own)
	use(t, other)
	inUse := checkOut(t, other)
	configure(t, gtcp.PoolOptions{MaxConns: 3})
	require.Equal(t, 7, gtcp.PoolStat(own).MaxConns, "an address's own options go before")
	_, err := inUse.SendRecv([]byte("hello"), 5)
	require.NoError(t, err, "what is checked out is not disturbed")
	port := inUse.LocalAddr().String()
	require.NoError(t, inUse.Close())
	require.NotEqual(t, port, use(t, other), "it belonged to the old pool")
	require.Equal(t, 3, gtcp.PoolStat(other).MaxConns)
}

func TestPoolOptionsOutOfRange(t *testing.T) {
	for field, options := range map[string]gtcp.PoolOptions{
		"Hooks":                    {Hooks: []any{"no hook"}},
		"UserTimeout":              {UserTimeout: math.MaxInt64},
		"LeakAfter is set without": {LeakAfter: time.Second},
		"LeakAfter is negative":    {LeakAfter: -1, LeakReport: func(pool.Leak) {}},
	} {
		require.ErrorContains(t, gtcp.ConfigurePools(options), field)
		require.ErrorContains(t, gtcp.ConfigurePools(options, "a:1"), field)
	}
}

// With Probe a connection that is well is used again, and one that died since
// the probe is replaced by its first write.
func TestProbe(t *testing.T) {
	now, gone := make(chan struct{}), make(chan struct{})
	addr := answerThenReset(t, now, gone, "again")
	configure(t, gtcp.PoolOptions{Probe: true}, addr)
	c := checkOut(t, addr)
	_, err := c.SendRecv([]byte("hello"), 2)
	require.NoError(t, err)
	port := c.LocalAddr().String()
	require.NoError(t, c.Close())
	c = checkOut(t, addr)
	require.Equal(t, port, c.LocalAddr().String())
	close(now)
	<-gone
	got, err := c.SendRecv([]byte("hello"), 5)
	require.NoError(t, err)
	require.Equal(t, "again", string(got))
	require.NotEqual(t, port, c.LocalAddr().String())
	require.NoError(t, c.Close())
}

func TestPoolOptionsNegativeIsNone(t *testing.T) {
	require.NoError(t, gtcp.ConfigurePools(gtcp.PoolOptions{MaxIdleTime: -1}, "a:1"))
}

func TestNewPoolConnErrors(t *testing.T) {
	_, far := tcpPair(t)
	nobody := far.LocalAddr().String() // its listener is closed
	for _, addr := range []string{nobody, "no port", "127.0.0.1:99999", ""} {
		c, err := gtcp.NewPoolConn(addr)
		require.Nil(t, c)
		require.Error(t, err)
		require.ErrorContains(t, err, addr)
		_, err = gtcp.NewPoolConn(addr, time.Second)
		require.Error(t, err)
		_, err = gtcp.NewPoolConn(addr, 0)
		require.Error(t, err)
		_, err = gtcp.NewPoolConn(addr, -1)
		require.True(t, err.(net.Error).Timeout(), "no time is left")
		require.Zero(t, gtcp.PoolStat(addr).Open)
	}
}

func TestManyCallers(t *testing.T) {
	addr := rawServer(t, echo)
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			data := bytes.Repeat([]byte{byte(i)}, 100+i)
			for range 50 {
				c, err := gtcp.NewPoolConn(addr)
				if err != nil {
					t.Error(err)
					return
				}
				got, err := c.SendRecvPkgWithTimeout(data, hang())
				if err != nil || !bytes.Equal(data, got) {
					t.Errorf("got %d bytes, %v", len(got), err)
				}
				_ = c.Close()
			}
		})
	}
	wg.Wait()
	stat := gtcp.PoolStat(addr)
	require.Zero(t, stat.Used)
	require.Zero(t, stat.Evictions.Total(), "no healthy connection is lost")
}
