package server_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/server"
)

// certificates are a server's and a client's side that trust each other.
func certificates(t *testing.T) (srv, cli *tls.Config) {
	t.Helper()
	h := httptest.NewUnstartedServer(nil)
	h.StartTLS()
	defer h.Close()
	pool := x509.NewCertPool()
	pool.AddCert(h.Certificate())
	return &tls.Config{Certificates: h.TLS.Certificates}, &tls.Config{RootCAs: pool, ServerName: "example.com"}
}

func dialTLS(t *testing.T, addr string, cfg *tls.Config) *client {
	t.Helper()
	nc, err := tls.Dial("tcp", addr, cfg)
	require.NoError(t, err)
	return newClient(t, nc)
}

func TestTLS(t *testing.T) {
	srv, cli := certificates(t)
	require.ErrorContains(t, (&server.Server{Handler: echo(), TLSConfig: &tls.Config{}}).Validate(), "TLSConfig")
	for name, wrap := range map[string]bool{"by the server": false, "by the listener": true} {
		t.Run(name, func(t *testing.T) {
			s := &server.Server{Handler: echo(), HandshakeTimeout: time.Second}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			addr := l.Addr().String()
			if wrap {
				l = tls.NewListener(l, srv)
			} else {
				s.TLSConfig = srv
			}
			startOn(t, s, l)

			silent := dial(t, addr) // never begins its handshake, holds nobody up
			c := dialTLS(t, addr, cli)
			c.send("one", "two")
			c.expect("one", "two")
			_, err = silent.Read(make([]byte, 1))
			require.Error(t, err)
			plain := dial(t, addr)
			plain.send("no handshake")
			require.Eventually(t, func() bool { return s.Stat().HandshakeFailures == 2 }, patience, time.Millisecond)

			c.send("last")
			result := begin(t, s, t.Context())
			c.expect("last")
			c.expectEnd()
			require.NoError(t, c.Close())
			require.NoError(t, <-result)
		})
	}
}

// A handshake that fails is no secret: the first of a second is a warning, the
// others are counted. A port check is none.
func TestFailedHandshakesAreLogged(t *testing.T) {
	srv, _ := certificates(t)
	var log logbook
	s := &server.Server{Handler: echo(), TLSConfig: srv, Logger: log.logger()}
	addr := start(t, s)
	require.NoError(t, dial(t, addr).Close())
	require.Eventually(t, func() bool { return len(log.with("connection ended in its TLS handshake")) > 0 }, patience, time.Millisecond)
	require.EqualValues(t, 1, s.Stat().HandshakeFailures)
	log.requireOne(t, "connection ended in its TLS handshake", "level=DEBUG", "EOF")
	require.Empty(t, log.with("level=WARN"))

	for range 20 {
		plain := dial(t, addr)
		plain.send("this is not TLS")
		_, err := plain.Read(make([]byte, 1<<10))
		_ = err // an alert, or the end
	}
	require.Eventually(t, func() bool { return s.Stat().HandshakeFailures == 21 }, patience, time.Millisecond)
	require.Eventually(t, func() bool { return len(log.with("TLS handshake failed")) > 0 }, patience, time.Millisecond)
	failed := log.with("TLS handshake failed")
	require.Less(t, len(failed), 20)
	require.Contains(t, failed[0], "level=WARN")
	require.Contains(t, failed[0], "does not look like a TLS handshake")
}

// A raw handler over TLS is told of Shutdown as one over TCP is: its stream ends.
func TestShutdownEndsTheStreamOfARawTLSHandler(t *testing.T) {
	srv, cli := certificates(t)
	read := make(chan error, 1)
	s := &server.Server{TLSConfig: srv, Handler: server.HandlerFunc(func(_ context.Context, c *conn.Conn) {
		_, err := c.Read(make([]byte, 1))
		read <- err
		_, _ = c.Write([]byte("bye"))
	})}
	c := dialTLS(t, start(t, s), cli)
	require.Eventually(t, func() bool { return s.Stat().Active == 1 }, patience, time.Millisecond)
	result := begin(t, s, t.Context())
	require.Error(t, <-read)
	got, err := io.ReadAll(c)
	require.NoError(t, err)
	require.Equal(t, "bye", string(got))
	require.NoError(t, c.Close())
	require.NoError(t, <-result)
}

// A handshake has HandshakeTimeout, and half a second when the server drains. One that
// fails leads to no handler.
func TestHandshakeTimeout(t *testing.T) {
	srv, _ := certificates(t)
	for name, tc := range map[string]struct {
		timeout, want time.Duration
		drain         bool
		level         string
	}{
		"zero":     {0, 10 * time.Second, false, "level=WARN"},
		"short":    {time.Second, time.Second, false, "level=WARN"},
		"drain":    {0, time.Second / 2, true, "level=DEBUG"},
		"no bound": {-1, 24 * time.Hour, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := &logbook{}
				s := &server.Server{Handler: echo(), TLSConfig: srv, HandshakeTimeout: tc.timeout, Logger: log.logger()}
				s.ConnContext = func(ctx context.Context, _ *conn.Conn) context.Context {
					t.Error("the handshake has failed")
					return ctx
				}
				nc, err := newMemServer(t, s).Dial(t.Context())
				require.NoError(t, err)
				began := time.Now()
				synctest.Wait()
				if tc.drain {
					go func() { _ = s.Shutdown(context.Background()) }()
				}
				require.NoError(t, nc.SetDeadline(began.Add(24*time.Hour)))
				_, _ = nc.Read(make([]byte, 1)) // an alert, or the end
				require.Equal(t, tc.want, time.Since(began))
				require.NoError(t, nc.Close())
				synctest.Wait()
				if tc.level != "" {
					log.requireOne(t, "TLS handshake", tc.level)
				}
				require.EqualValues(t, 1, s.Stat().HandshakeFailures)
			})
		})
	}
}
