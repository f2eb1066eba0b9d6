package server

import (
	"context"
	"crypto/tls"
	"net"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
)

// full is a connection on which nothing can be written, until it is closed.
type full struct {
	net.Conn
	full   bool
	closed context.Context
	end    context.CancelFunc
}

func (f *full) Write(p []byte) (int, error) {
	if !f.full {
		return f.Conn.Write(p)
	}
	<-f.closed.Done()
	return 0, net.ErrClosed
}

func (f *full) Close() error {
	f.end()
	return f.Conn.Close()
}

func (f *full) SetWriteDeadline(at time.Time) error {
	if f.full {
		time.AfterFunc(time.Until(at), func() { _ = f.Close() })
	}
	return nil
}

// A connection that is ended at once does not wait until TLS has said goodbye.
func TestAbortOverTLSDoesNotWait(t *testing.T) {
	https := httptest.NewUnstartedServer(nil) // it has a certificate
	https.StartTLS()
	cert := https.TLS
	https.Close()
	synctest.Test(t, func(t *testing.T) {
		near, far := memnet.Pipe()
		below := &full{Conn: near}
		below.closed, below.end = context.WithCancel(context.Background())
		nc := tls.Server(below, cert.Clone())
		shaken := make(chan error, 1)
		go func() { shaken <- tls.Client(far, &tls.Config{InsecureSkipVerify: true}).Handshake() }()
		require.NoError(t, nc.Handshake())
		require.NoError(t, <-shaken)
		below.full = true
		s := &session{srv: new(Server), conn: conn.New(nc)}
		begun := time.Now()
		s.abort()
		require.Zero(t, time.Since(begun))
		require.Error(t, below.closed.Err())
		require.NoError(t, far.Close())
	})
}
