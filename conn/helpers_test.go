package conn_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/stretchr/testify/require"
)

// transport makes a connection under test and its peer.
type transport struct {
	name string
	pair func(t testing.TB) (*conn.Conn, net.Conn)
}

// transports are the ways a connection can be read: through its descriptor
// (TCP, unix), and as any net.Conn, with and without one below (TLS, memory).
var transports = []transport{
	{"tcp", func(t testing.TB) (*conn.Conn, net.Conn) { return socketPair(t, "tcp", nil) }},
	{"unix", func(t testing.TB) (*conn.Conn, net.Conn) { return socketPair(t, "unix", nil) }},
	{"tls", func(t testing.TB) (*conn.Conn, net.Conn) { return socketPair(t, "tcp", testCert()) }},
	{"memory", memoryPair},
}

// eachTransport runs f as a subtest over each of them.
func eachTransport(t *testing.T, f func(t *testing.T, c *conn.Conn, peer net.Conn)) {
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			c, peer := tr.pair(t)
			f(t, c, peer)
		})
	}
}

func tcpPair(t testing.TB) (*conn.Conn, *net.TCPConn) {
	t.Helper()
	c, peer := socketPair(t, "tcp", nil)
	return c, peer.(*net.TCPConn)
}

func tlsPair(t testing.TB) (*conn.Conn, *tls.Conn) {
	t.Helper()
	c, peer := socketPair(t, "tcp", testCert())
	return c, peer.(*tls.Conn)
}

func memoryPair(t testing.TB) (*conn.Conn, net.Conn) {
	a, b := memnet.Pipe()
	c := conn.New(a)
	t.Cleanup(func() {
		c.Close()
		b.Close()
	})
	return c, b
}

// needsUnix skips where there are no unix sockets, as in wine.
func needsUnix(t testing.TB) {
	t.Helper()
	if runtime.GOOS != "windows" {
		return
	}
	l, err := net.Listen("unix", filepath.Join(os.TempDir(), fmt.Sprintf("gtcp-%d", os.Getpid())))
	if err != nil {
		t.Skip("no unix sockets here:", err)
	}
	require.NoError(t, l.Close())
}

// socketPair dials a listener of its own on loopback, with TLS if there is a
// certificate for it.
func socketPair(t testing.TB, network string, cert *certificate) (*conn.Conn, net.Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		needsUnix(t)
		address = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, address)
	require.NoError(t, err)
	defer l.Close()
	var d conn.Dialer
	if cert != nil {
		d.TLS = &tls.Config{RootCAs: cert.pool}
	}
	accepted := make(chan net.Conn, 1)
	go func() {
		defer close(accepted)
		nc, err := l.Accept()
		if err != nil {
			return
		}
		if cert != nil {
			tc := tls.Server(nc, cert.server)
			if tc.Handshake() != nil {
				nc.Close()
				return
			}
			nc = tc
		}
		accepted <- nc
	}()
	c, err := d.Dial(t.Context(), network, l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	peer, ok := <-accepted
	require.True(t, ok, "the peer did not accept")
	t.Cleanup(func() { peer.Close() })
	return c, peer
}

type certificate struct {
	server *tls.Config
	pool   *x509.CertPool
}

// testCert is a certificate for 127.0.0.1 and ::1 that signs itself.
var testCert = sync.OnceValue(func() *certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "test"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &certificate{
		server: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		pool:   pool,
	}
})

// send has the peer write and fails the test if it cannot.
func send(t testing.TB, peer net.Conn, s string) {
	t.Helper()
	_, err := peer.Write([]byte(s))
	require.NoError(t, err)
}

// halfClose ends the peer's stream and leaves it able to read.
func halfClose(t testing.TB, peer net.Conn) {
	t.Helper()
	require.NoError(t, peer.(interface{ CloseWrite() error }).CloseWrite())
}

// soon is a read deadline for reads that are to time out.
func soon() time.Time { return time.Now().Add(20 * time.Millisecond) }

func requireTimeout(t testing.TB, err error) {
	t.Helper()
	var ne net.Error
	require.ErrorAs(t, err, &ne)
	require.True(t, ne.Timeout(), "not a timeout: %v", err)
}

// requireSafe checks what the error says about repeating the operation.
func requireSafe(t testing.TB, want bool, err error) {
	t.Helper()
	var e *conn.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, want, e.SafeToRetry(), "%v", err)
}

// stub is a net.Conn of which a test scripts what it needs.
type stub struct {
	net.Conn
	read  func([]byte) (int, error)
	write func([]byte) (int, error)
	close func() error
}

func (s *stub) Read(p []byte) (int, error)       { return s.read(p) }
func (s *stub) Write(p []byte) (int, error)      { return s.write(p) }
func (s *stub) SetDeadline(time.Time) error      { return nil }
func (s *stub) SetReadDeadline(time.Time) error  { return nil }
func (s *stub) SetWriteDeadline(time.Time) error { return nil }
func (s *stub) RemoteAddr() net.Addr             { return stubAddr{} }
func (s *stub) LocalAddr() net.Addr              { return stubAddr{} }
func (s *stub) Close() error {
	if s.close == nil {
		return nil
	}
	return s.close()
}

type stubAddr struct{}

func (stubAddr) Network() string { return "stub" }
func (stubAddr) String() string  { return "stub:1" }
