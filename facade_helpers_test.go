package gtcp_test

import (
	"io"
	"log"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
)

// These helpers, and the tests in the defects files, use no more than what
// upstream's package has too: internal/conformance runs them against upstream,
// where each test of a defect must fail.

// hang is how long something may take before it counts as stuck.
func hang() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("GTCP_TEST_HANG")); err == nil {
		return d
	}
	return 20 * time.Second
}

// within runs f and fails the test if it gets stuck.
func within(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(hang()):
		t.Fatal("stuck")
	}
}

// addresses are those of all servers so far.
var addresses sync.Map

// listenAnew listens at an address that no earlier server had, whose pool is there still,
// with its figures: the system may give a port again.
func listenAnew(t *testing.T) net.Listener {
	t.Helper()
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		if _, given := addresses.LoadOrStore(l.Addr().String(), true); !given {
			return l
		}
		defer l.Close() // so that it is not given again
	}
}

// rawServer serves each connection with handle, in its order of acceptance,
// and closes it afterwards. It returns the address.
func rawServer(t *testing.T, handle func(c *net.TCPConn, n int)) string {
	t.Helper()
	l := listenAnew(t)
	var mu sync.Mutex
	var open []net.Conn
	ended := false
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			if ended {
				c.Close()
			}
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				handle(c.(*net.TCPConn), n)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		ended = true
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return l.Addr().String()
}

// tcpPair returns both ends of a loopback connection.
func tcpPair(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { a.Close() })
	b, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { b.Close() })
	return a.(*net.TCPConn), b.(*net.TCPConn)
}

// peer returns a Conn and the connection at its other end.
func peer(t *testing.T) (*gtcp.Conn, *net.TCPConn) {
	t.Helper()
	near, far := tcpPair(t)
	return gtcp.NewConnByNetConn(near), far
}

// echo answers with what it receives until the peer is done.
func echo(c *net.TCPConn, _ int) { _, _ = io.Copy(c, c) }

// reset closes c so that its peer gets a RST.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// checkOut takes a pooled connection or fails the test.
func checkOut(t *testing.T, addr string, timeout ...time.Duration) *gtcp.PoolConn {
	t.Helper()
	c, err := gtcp.NewPoolConn(addr, timeout...)
	require.NoError(t, err)
	return c
}

// run starts a server and returns once it listens. It is closed with the test.
func run(t *testing.T, s *gtcp.Server) (addr string) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- s.Run() }()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for s.GetListenedPort() <= 0 {
		select {
		case err := <-done:
			done <- err
			require.NoError(t, err)
		case <-tick.C:
		}
	}
	addresses.Store(s.GetListenedAddress(), true)
	return s.GetListenedAddress()
}

// timeoutError is what a deadline gives.
type timeoutError struct{}

func (timeoutError) Error() string   { return "i/o timeout" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

// quiet keeps what is logged on purpose out of the tests' output.
func quiet(t *testing.T) {
	old := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		slog.SetDefault(old)
		log.SetOutput(os.Stderr) // SetDefault took it, and does not give it back
	})
}
