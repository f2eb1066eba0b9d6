package gtcp_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
)

func serveEcho(c *gtcp.Conn) {
	defer c.Close()
	_, _ = io.Copy(c, c)
}

func TestDefect09CloseEndsTheConnectionsServed(t *testing.T) {
	s := gtcp.NewServer("127.0.0.1:0", serveEcho)
	c, err := net.Dial("tcp", run(t, s))
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Write([]byte("hello"))
	require.NoError(t, err)
	_, err = io.ReadFull(c, make([]byte, 5))
	require.NoError(t, err)
	require.NoError(t, s.Close())
	within(t, func() {
		_, err = c.Read(make([]byte, 1))
		require.Error(t, err)
	})
}

func TestDefect09CloseBeforeRunIsRemembered(t *testing.T) {
	s := gtcp.NewServer("127.0.0.1:0", serveEcho)
	require.NoError(t, s.Close())
	within(t, func() { require.ErrorIs(t, s.Run(), net.ErrClosed) })
}

func TestDefect09PanicEndsOneConnection(t *testing.T) {
	quiet(t)
	s := gtcp.NewServer("127.0.0.1:0", func(c *gtcp.Conn) {
		data, _ := c.Recv(5)
		if string(data) == "panic" {
			panic("on purpose")
		}
		_ = c.Send(data)
	})
	addr := run(t, s)
	well, err := gtcp.NewConn(addr)
	require.NoError(t, err)
	defer well.Close()
	ill, err := gtcp.NewConn(addr)
	require.NoError(t, err)
	defer ill.Close()
	within(t, func() {
		_, err = ill.SendRecv([]byte("panic"), 1)
		require.Equal(t, io.EOF, err)
		answer, err := well.SendRecv([]byte("hello"), 5)
		require.NoError(t, err)
		require.Equal(t, "hello", string(answer))
	})
}

// Setters while the server runs: this is for the race detector.
func TestDefect14SettersWithRun(t *testing.T) {
	s := gtcp.NewServer("127.0.0.1:0", serveEcho)
	done := make(chan error, 1)
	go func() { done <- s.Run() }()
	for range 100 {
		s.SetHandler(serveEcho)
		s.SetAddress("127.0.0.1:0")
		s.SetTLSConfig(nil)
		_ = s.GetAddress()
		_ = s.GetListenedAddress()
	}
	// Another server binds only after this one had every chance to run.
	run(t, gtcp.NewServer("127.0.0.1:0", serveEcho))
	_ = s.Close()
	within(t, func() { require.ErrorIs(t, <-done, net.ErrClosed) })
}

func TestDefect18NoTypedNil(t *testing.T) {
	_, far := tcpPair(t)
	nobody := far.LocalAddr().String() // its listener is closed
	nc, err := gtcp.NewNetConnTLS(nobody, &tls.Config{})
	require.Error(t, err)
	require.True(t, nc == nil, "%T", nc)
	nc, err = gtcp.NewNetConnKeyCrt(nobody, "no such file", "nor this", time.Second)
	require.Error(t, err)
	require.True(t, nc == nil, "%T", nc)
	nc, err = gtcp.NewNetConn(nobody)
	require.Error(t, err)
	require.True(t, nc == nil, "%T", nc)
}

func TestDefect19ErrorKeepsTheKeySecret(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	secret, err := key.ECDH()
	require.NoError(t, err)
	number := new(big.Int).SetBytes(secret.Bytes())

	_, far := tcpPair(t)
	_, err = gtcp.NewNetConnTLS(far.LocalAddr().String(), &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	})
	require.ErrorContains(t, err, far.LocalAddr().String())
	require.NotContains(t, err.Error(), number.String())
	require.NotContains(t, err.Error(), number.Text(16))
	require.Less(t, len(err.Error()), 1000)
}

func TestDefect20NoPortAfterAFailedBind(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	s := gtcp.NewServer(l.Addr().String(), serveEcho)
	require.ErrorContains(t, s.Run(), l.Addr().String())
	require.Equal(t, -1, s.GetListenedPort())

	s.SetTLSConfig(&tls.Config{Certificates: make([]tls.Certificate, 1)})
	require.ErrorContains(t, s.Run(), l.Addr().String())
	require.Equal(t, -1, s.GetListenedPort())
}

func TestDefect20OnlyPortZeroIsReplaced(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:08999", ":00080", "[::0]:80"} {
		require.Equal(t, addr, gtcp.NewServer(addr, serveEcho).GetListenedAddress())
	}
}

func TestDefect25FreePortsDiffer(t *testing.T) {
	const n = 1500
	ports, err := gtcp.GetFreePorts(n)
	require.NoError(t, err)
	seen := map[int]bool{}
	for _, port := range ports {
		seen[port] = true
	}
	require.Len(t, seen, n)
}
