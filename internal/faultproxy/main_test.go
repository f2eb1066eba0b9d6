package faultproxy_test

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-99d6a01a/gtcp/internal/faultproxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience ends a test that would hang; no result depends on it.
const patience = 20 * time.Second

// echo serves until the test ends and gives back every byte it reads.
func echo(t *testing.T) string {
	return serve(t, func(c *net.TCPConn) { _, _ = io.Copy(c, c) })
}

func serve(t *testing.T, handle func(*net.TCPConn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(patience))
				handle(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return l.Addr().String()
}

func start(t *testing.T, target string, plan func(int) faultproxy.Plan) *faultproxy.Proxy {
	p, err := faultproxy.New(target, plan)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

func always(p faultproxy.Plan) func(int) faultproxy.Plan {
	return func(int) faultproxy.Plan { return p }
}

func dial(t *testing.T, p *faultproxy.Proxy) *net.TCPConn {
	c, err := net.Dial("tcp", p.Addr())
	require.NoError(t, err)
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	t.Cleanup(func() { _ = c.Close() })
	return c.(*net.TCPConn)
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8)
	}
	return b
}

// exchange writes all of b and reads all that comes back.
func exchange(t *testing.T, c *net.TCPConn, b []byte) (got []byte, err error) {
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = c.Write(b)
		_ = c.CloseWrite()
	})
	defer wg.Wait()
	return io.ReadAll(c)
}
