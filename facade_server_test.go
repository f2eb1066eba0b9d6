package gtcp_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
)

func TestServerWithoutHandler(t *testing.T) {
	s := gtcp.NewServer("127.0.0.1:0", nil)
	require.EqualError(t, s.Run(), `start running failed: socket handler not defined for address "127.0.0.1:0"`)
	s.SetHandler(serveEcho)
	use(t, run(t, s))
}

func TestServerPortAndAddress(t *testing.T) {
	s := gtcp.NewServer("", serveEcho)
	require.Equal(t, -1, s.GetListenedPort())
	s.SetAddress("127.0.0.1:0")
	require.Equal(t, "127.0.0.1:0", s.GetListenedAddress(), "not known yet")
	run(t, s)
	require.Equal(t, "127.0.0.1:0", s.GetAddress())
	_, port, err := net.SplitHostPort(s.GetListenedAddress())
	require.NoError(t, err)
	require.NotEqual(t, "0", port)
	require.Positive(t, s.GetListenedPort())

	free := gtcp.NewServer(gtcp.FreePortAddress, serveEcho)
	require.Equal(t, byte(':'), run(t, free)[0])
}

func TestServerRunsOnce(t *testing.T) {
	s := gtcp.NewServer("127.0.0.1:0", serveEcho)
	done := make(chan error, 1)
	go func() { done <- s.Run() }()
	within(t, func() {
		for s.GetListenedPort() < 0 {
			time.Sleep(time.Millisecond)
		}
	})
	require.ErrorContains(t, s.Run(), "is running")
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	within(t, func() { require.ErrorIs(t, <-done, net.ErrClosed) })
	require.ErrorIs(t, s.Run(), net.ErrClosed, "errors.Is finds it on Run after Close too")
	require.Positive(t, s.GetListenedPort(), "it stays known")
}

// After a bind that failed the server can be given another address.
func TestServerRunsAfterAFailedBind(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	s := gtcp.NewServer(l.Addr().String(), serveEcho)
	require.ErrorContains(t, s.Run(), l.Addr().String())
	s.SetAddress("no port")
	require.ErrorContains(t, s.Run(), "no port")
	s.SetAddress("127.0.0.1:0")
	use(t, run(t, s))
}

func TestHandlerMayHandItsConnectionOn(t *testing.T) {
	handed := make(chan *gtcp.Conn, 1)
	s := gtcp.NewServer("127.0.0.1:0", func(c *gtcp.Conn) { handed <- c })
	addr := run(t, s)
	c, err := gtcp.NewConn(addr)
	require.NoError(t, err)
	defer c.Close()
	kept := <-handed
	within(t, func() {
		require.NoError(t, c.SendPkg([]byte("hello")))
		got, err := kept.RecvPkg()
		require.NoError(t, err)
		require.NoError(t, kept.SendPkg(got))
		got, err = c.RecvPkg()
		require.NoError(t, err)
		require.Equal(t, "hello", string(got))
	})
	require.NoError(t, s.Close())
	_, err = kept.Recv(1)
	require.ErrorIs(t, err, net.ErrClosed, "Close reaches it wherever it was handed")
}

func TestHandlerCanBeReplacedWhileRunning(t *testing.T) {
	answer := func(text string) func(*gtcp.Conn) {
		return func(c *gtcp.Conn) {
			_ = c.Send([]byte(text))
			_ = c.Close()
		}
	}
	s := gtcp.NewServer("127.0.0.1:0", answer("old"))
	addr := run(t, s)
	for _, text := range []string{"old", "new"} {
		s.SetHandler(answer(text))
		c, err := gtcp.NewConn(addr)
		require.NoError(t, err)
		got, err := c.Recv(3)
		require.NoError(t, err)
		require.Equal(t, text, string(got))
		require.NoError(t, c.Close())
	}
	s.SetHandler(nil)
	c, err := gtcp.NewConn(addr)
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Recv(1)
	require.Equal(t, io.EOF, err)
}

func TestServerShutdown(t *testing.T) {
	received, answer := make(chan struct{}), make(chan struct{})
	s := gtcp.NewServer("127.0.0.1:0", func(c *gtcp.Conn) {
		defer c.Close()
		for {
			data, err := c.RecvPkg()
			if err != nil {
				return
			}
			close(received)
			<-answer
			_ = c.SendPkg(data)
		}
	})
	addr := run(t, s)
	c, err := gtcp.NewConn(addr)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SendPkg([]byte("hello")))
	<-received
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(context.Background()) }()
	within(t, func() {
		for {
			late, err := net.Dial("tcp", addr)
			if err != nil {
				break
			}
			late.Close()
		}
	})
	close(answer)
	within(t, func() {
		got, err := c.RecvPkg()
		require.NoError(t, err, "a request in progress is answered")
		require.Equal(t, "hello", string(got))
		require.NoError(t, <-down)
	})
	require.ErrorIs(t, s.Run(), net.ErrClosed)
}

// What is left of a connection closed under its handler must not reach another.
func TestPackagesAfterACloseFromAside(t *testing.T) {
	received, closed, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	s := gtcp.NewServer("127.0.0.1:0", func(c *gtcp.Conn) {
		_, _ = c.RecvPkg()
		close(received)
		<-closed
		_ = c.Close()
		close(done)
	})
	c, err := gtcp.NewConn(run(t, s))
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Send([]byte("\x00\x03one\x00\x03two")))
	<-received
	require.NoError(t, s.Close())
	close(closed)
	<-done
	addr := rawServer(t, echo)
	for range 10 {
		got, err := gtcp.SendRecvPkg(addr, []byte("hello"))
		require.NoError(t, err)
		require.Equal(t, "hello", string(got))
	}
}

func TestNamedServers(t *testing.T) {
	a := gtcp.NewServer("127.0.0.1:0", serveEcho, t.Name())
	require.Same(t, a, gtcp.GetServer(t.Name()))
	b := gtcp.NewServer("127.0.0.1:0", serveEcho, t.Name())
	require.Same(t, b, gtcp.GetServer(t.Name()), "a later one takes the name")
	require.Same(t, gtcp.GetServer(1), gtcp.GetServer("1"))
	require.Same(t, gtcp.GetServer(), gtcp.GetServer(""))
	require.Same(t, gtcp.GetServer(), gtcp.GetServer("default"))
	require.Same(t, gtcp.GetServer(), gtcp.GetServer(nil))
	require.NotSame(t, gtcp.GetServer(), gtcp.NewServer("", nil, ""))
	require.Equal(t, "", gtcp.GetServer().GetAddress())
	require.Error(t, gtcp.GetServer().Run())
}

// pair writes a certificate for 127.0.0.1 and its key, and returns the pool
// that trusts it.
func pair(t *testing.T) (crtFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	crtPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	dir := t.TempDir()
	crtFile, keyFile = filepath.Join(dir, "crt.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(crtFile, crtPEM, 0o600))
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
	roots = x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(crtPEM))
	return crtFile, keyFile, roots
}

func TestTLS(t *testing.T) {
	crt, key, roots := pair(t)
	s, err := gtcp.NewServerKeyCrt("127.0.0.1:0", crt, key, serveEcho, t.Name())
	require.NoError(t, err)
	require.Same(t, s, gtcp.GetServer(t.Name()))
	addr := run(t, s)

	c, err := gtcp.NewConnTLS(addr, &tls.Config{RootCAs: roots})
	require.NoError(t, err)
	defer c.Close()
	large := bytes.Repeat([]byte("x"), 60000)
	got, err := c.SendRecvPkgWithTimeout(large, hang())
	require.NoError(t, err)
	require.True(t, bytes.Equal(large, got))
	require.True(t, c.NetConn().(*tls.Conn).ConnectionState().HandshakeComplete)

	nc, err := gtcp.NewNetConnTLS(addr, &tls.Config{RootCAs: roots}, time.Minute)
	require.NoError(t, err)
	require.IsType(t, &tls.Conn{}, nc)
	require.NoError(t, nc.Close())

	for name, dial := range map[string]func() error{
		"nil config":            func() error { _, err := gtcp.NewConnTLS(addr, nil); return err },
		"nobody vouches for it": func() error { _, err := gtcp.NewConnKeyCrt(addr, crt, key); return err },
	} {
		err := dial()
		require.ErrorContains(t, err, addr, name)
		require.ErrorContains(t, err, "certificate", name)
	}
}

func TestTLSFilesMissingOrMismatched(t *testing.T) {
	crt, key, _ := pair(t)
	_, otherKey, _ := pair(t)
	for name, files := range map[string][2]string{
		"no certificate": {"no-such-file", key},
		"no key":         {crt, "no-such-file"},
		"mismatched":     {crt, otherKey},
		"swapped":        {key, crt},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := gtcp.LoadKeyCrt(files[0], files[1])
			require.Error(t, err)
			for _, file := range files {
				if name != "no certificate" && name != "no key" || file == "no-such-file" {
					require.ErrorContains(t, err, strings.Trim(strconv.Quote(file), `"`))
				}
			}
			s, err := gtcp.NewServerKeyCrt("127.0.0.1:0", files[0], files[1], serveEcho, "unnamed")
			require.Error(t, err)
			require.Nil(t, s)
			_, err = gtcp.NewConnKeyCrt("127.0.0.1:1", files[0], files[1])
			require.Error(t, err)
			require.Error(t, gtcp.NewServer("", serveEcho).SetTLSKeyCrt(files[0], files[1]))
		})
	}
	s := gtcp.NewServerTLS("127.0.0.1:0", &tls.Config{}, serveEcho)
	require.ErrorContains(t, s.Run(), "certificate")
	require.NoError(t, s.SetTLSKeyCrt(crt, key))
	run(t, s)
	plain := gtcp.NewServerTLS("127.0.0.1:0", nil, serveEcho)
	use(t, run(t, plain))
}
