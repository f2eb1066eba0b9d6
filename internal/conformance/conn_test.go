package conformance

import (
	"net"
	"path/filepath"
	"testing"

	"github.com/seed-99d6a01a/gtcp/conn"
	"golang.org/x/net/nettest"
)

func TestConnTCP(t *testing.T) { nettest.TestConn(t, pipeOver("tcp", "127.0.0.1:0")) }

func TestConnUnix(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		return pipeOver("unix", filepath.Join(t.TempDir(), "s"))()
	})
}

func pipeOver(network, address string) nettest.MakePipe {
	return func() (c1, c2 net.Conn, stop func(), err error) {
		l, err := net.Listen(network, address)
		if err != nil {
			return nil, nil, nil, err
		}
		defer l.Close()
		type result struct {
			nc  net.Conn
			err error
		}
		dialed := make(chan result, 1)
		go func() {
			nc, err := net.Dial(network, l.Addr().String())
			dialed <- result{nc, err}
		}()
		a, err := l.Accept()
		b := <-dialed
		if err != nil || b.err != nil {
			return nil, nil, nil, err
		}
		c1, c2 = conn.New(a), conn.New(b.nc)
		return c1, c2, func() { c1.Close(); c2.Close() }, nil
	}
}
