package conn_test

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
)

// After a write that was cut the TLS stream is of no use to the peer, so Close must not
// wait until an alert behind it can be written: crypto/tls waits 5 s for that.
func TestCloseOverTLSAfterACutWrite(t *testing.T) {
	for name, wrap := range map[string]func(*tls.Conn) net.Conn{
		"plain":   func(tc *tls.Conn) net.Conn { return tc },
		"wrapped": func(tc *tls.Conn) net.Conn { return wrapper{tc} },
	} {
		t.Run(name, func(t *testing.T) {
			cert := testCert()
			synctest.Test(t, func(t *testing.T) {
				near, far := memnet.Pipe()
				shaken := make(chan error, 1)
				go func() { shaken <- tls.Server(far, cert.server).Handshake() }()
				c := conn.New(wrap(tls.Client(near, &tls.Config{InsecureSkipVerify: true})))
				_, err := c.Write([]byte("x"))
				require.NoError(t, err)
				require.NoError(t, <-shaken)

				require.NoError(t, c.SetWriteDeadline(time.Now().Add(time.Second)))
				_, err = c.Write(make([]byte, 64<<20))
				requireTimeout(t, err)
				begun := time.Now()
				require.Error(t, c.CloseWrite())
				require.NoError(t, c.Close())
				require.Zero(t, time.Since(begun))
				_, _ = io.Copy(io.Discard, far) // it has been closed
			})
		})
	}
}
