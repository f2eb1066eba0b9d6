package server_test

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/server"
)

// slowToClose accepts connections that take five seconds to close, as one of TLS does
// whose peer does not read.
type slowToClose struct{ net.Listener }

type slowConn struct{ net.Conn }

func (l slowToClose) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	return slowConn{nc}, err
}

func (c slowConn) Close() error {
	time.Sleep(5 * time.Second)
	return c.Conn.Close()
}

func TestCloseDoesNotWaitForOneConnectionAfterAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := memnet.Listen("server")
		s := &server.Server{Handler: echo()}
		startOn(t, s, slowToClose{l})
		for range 10 {
			nc, err := l.Dial(t.Context())
			require.NoError(t, err)
			defer nc.Close()
		}
		synctest.Wait()
		began := time.Now()
		require.NoError(t, s.Close())
		require.Equal(t, 5*time.Second, time.Since(began))
	})
}
