package server_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/server"
)

// closingListener accepts connections that somebody closes in the instant in which
// their reader, that was woken, wants to read on.
type closingListener struct{ net.Listener }

type closingConn struct {
	net.Conn
	woken *atomic.Bool
}

func (l closingListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return closingConn{nc, new(atomic.Bool)}, nil
}

func (c closingConn) SetReadDeadline(t time.Time) error {
	if t.IsZero() && c.woken.Load() {
		_ = c.Conn.Close()
	} else if !t.IsZero() && !t.After(time.Now()) {
		c.woken.Store(true)
	}
	return c.Conn.SetReadDeadline(t)
}

// A connection that was closed on this side as its reader was woken has not run out of
// time.
func TestClosedAsItsReaderIsWoken(t *testing.T) {
	for name, sent := range map[string]string{"idle": "\x00\x01a", "within a request": "\x00\x01a\x00\x05b"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := memnet.Listen("server")
				s := &server.Server{Handler: echo()}
				startOn(t, s, closingListener{l})
				nc, err := l.Dial(t.Context())
				require.NoError(t, err)
				c := newClient(t, nc)
				c.send("a")
				_, err = nc.Write([]byte(sent))
				require.NoError(t, err)
				c.expect("a", "a")
				synctest.Wait()
				require.NoError(t, s.Shutdown(context.Background()))
				require.Zero(t, s.Stat().IdleTimeouts)
				require.Zero(t, s.Stat().ReadTimeouts)
			})
		})
	}
}
