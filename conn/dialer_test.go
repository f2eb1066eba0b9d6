package conn_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/faultproxy"
	"github.com/stretchr/testify/require"
)

// listen accepts connections and hands them to handle until the test ends.
func listen(t testing.TB, network, address string, handle func(net.Conn)) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	require.NoError(t, err)
	serve(t, l, handle)
	return l
}

// serve is listen with a listener that there is.
func serve(t testing.TB, l net.Listener, handle func(net.Conn)) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			handle(nc)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
}

func closeAtOnce(nc net.Conn) { nc.Close() }

func TestDialErrors(t *testing.T) {
	busy := listen(t, "tcp", "127.0.0.1:0", closeAtOnce)
	nobody, stop, err := faultproxy.RefusedAddr()
	require.NoError(t, err)
	defer func() { require.NoError(t, stop()) }()
	socket := filepath.Join(t.TempDir(), "none")

	tests := []struct {
		name, network, address string
		dialer                 conn.Dialer
		is                     error
		text                   string
	}{
		{name: "nobody listens", network: "tcp", address: nobody, is: syscall.ECONNREFUSED,
			text: "conn: dial tcp " + nobody + ": connect: connection refused"},
		{name: "no socket", network: "unix", address: socket, is: syscall.ENOENT, text: socket},
		{name: "no port", network: "tcp", address: "127.0.0.1", text: "127.0.0.1: missing port in address"},
		{name: "no address", network: "tcp", address: "", text: "missing address"},
		{name: "port out of range", network: "tcp4", address: "127.0.0.1:70000", text: "conn: dial tcp4 127.0.0.1:70000: "},
		{name: "unknown network", network: "udp", address: nobody, is: net.UnknownNetworkError("udp"), text: "conn: dial udp " + nobody + ": unknown network udp"},
		{name: "wrong family", network: "tcp6", address: busy.Addr().String(), text: "no suitable address"},
		{name: "invalid dialer", network: "tcp", address: nobody, dialer: conn.Dialer{LocalAddr: &net.IPAddr{}}, text: "Dialer.LocalAddr"},
		{name: "local address of another kind", network: "tcp", address: busy.Addr().String(), dialer: conn.Dialer{LocalAddr: &net.UnixAddr{Net: "unix"}}, text: "mismatched local address type"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := test.dialer.Dial(t.Context(), test.network, test.address)
			require.Nil(t, c)
			var e *conn.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, "dial", e.Op)
			require.Equal(t, test.network, e.Addr.Network())
			require.Equal(t, test.address, e.Addr.String())
			require.ErrorContains(t, err, test.text)
			requireSafe(t, true, err)
			if test.is != nil {
				require.ErrorIs(t, err, test.is)
			}
		})
	}
}

func TestDialEndedByItsContext(t *testing.T) {
	silent := listen(t, "tcp", "127.0.0.1:0", func(nc net.Conn) {
		t.Cleanup(func() { nc.Close() }) // it never says a word of TLS
	})
	d := conn.Dialer{TLS: &tls.Config{RootCAs: testCert().pool}, Timeout: -1}

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := d.Dial(cancelled, "tcp", silent.Addr().String())
	require.ErrorIs(t, err, context.Canceled)

	brief, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = d.Dial(brief, "tcp", silent.Addr().String())
	require.ErrorIs(t, err, context.DeadlineExceeded)
	requireTimeout(t, err)

	d.Timeout = 20 * time.Millisecond
	_, err = d.Dial(t.Context(), "tcp", silent.Addr().String())
	require.ErrorIs(t, err, context.DeadlineExceeded, "the handshake is inside the timeout")
	requireTimeout(t, err)
	requireSafe(t, true, err)
	require.ErrorContains(t, err, silent.Addr().String())
}

func TestDialTLSVerifies(t *testing.T) {
	cert := testCert()
	l := listen(t, "tcp", "127.0.0.1:0", func(nc net.Conn) {
		_ = tls.Server(nc, cert.server).Handshake()
		t.Cleanup(func() { nc.Close() })
	})
	trusting := &tls.Config{RootCAs: cert.pool}
	tests := []struct {
		name   string
		config *tls.Config
		as     any
	}{
		{"trusted", trusting, nil},
		{"unknown authority", &tls.Config{RootCAs: x509.NewCertPool()}, new(x509.UnknownAuthorityError)},
		{"another host", &tls.Config{RootCAs: cert.pool, ServerName: "example.com"}, new(x509.HostnameError)},
		{"verification off", &tls.Config{InsecureSkipVerify: true}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := conn.Dialer{TLS: test.config}
			c, err := d.Dial(t.Context(), "tcp", l.Addr().String())
			if test.as == nil {
				require.NoError(t, err)
				require.NoError(t, c.Close())
				return
			}
			require.ErrorAs(t, err, test.as)
			requireSafe(t, true, err)
			require.ErrorContains(t, err, "conn: dial tcp "+l.Addr().String()+": TLS handshake: ")
		})
	}
	require.Empty(t, trusting.ServerName, "the caller's configuration is not changed")
}

// The first question about a handshake that the peer does not take part in.
func TestDialTLSToAPlainServerAsksForTLS(t *testing.T) {
	const question = "(does the server speak TLS on that port?)"
	cert := testCert()
	servers := map[string]struct {
		serve func(nc net.Conn)
		want  bool
	}{
		"closes":             {func(nc net.Conn) { nc.Close() }, true},
		"reads and closes":   {func(nc net.Conn) { _, _ = nc.Read(make([]byte, 10)); nc.Close() }, true},
		"replies in text":    {func(nc net.Conn) { _, _ = nc.Write([]byte("-ERR unknown command\r\n")) }, true},
		"never replies":      {func(net.Conn) {}, true},
		"has another cert":   {func(nc net.Conn) { _ = tls.Server(nc, cert.server).Handshake() }, false},
		"has no cert at all": {func(nc net.Conn) { _ = tls.Server(nc, &tls.Config{}).Handshake() }, false},
	}
	for name, test := range servers {
		t.Run(name, func(t *testing.T) {
			l := listen(t, "tcp", "127.0.0.1:0", func(nc net.Conn) {
				t.Cleanup(func() { nc.Close() })
				test.serve(nc)
			})
			d := conn.Dialer{TLS: &tls.Config{RootCAs: x509.NewCertPool()}}
			if name == "never replies" {
				d.Timeout = 20 * time.Millisecond
			}
			_, err := d.Dial(t.Context(), "tcp", l.Addr().String())
			for d.Timeout > 0 && !strings.Contains(err.Error(), "TLS handshake: ") { // not even connected by then
				requireTimeout(t, err)
				_, err = d.Dial(t.Context(), "tcp", l.Addr().String())
			}
			require.ErrorContains(t, err, "TLS handshake: ")
			if test.want {
				require.ErrorContains(t, err, question)
			} else {
				require.NotContains(t, err.Error(), question)
			}
		})
	}
}

// The zone of an address is this machine's own name for an interface.
func TestDialTLSVerifiesAnAddressWithAZone(t *testing.T) {
	interfaces, err := net.Interfaces()
	require.NoError(t, err)
	for _, i := range interfaces {
		if i.Flags&net.FlagLoopback == 0 {
			continue
		}
		nl, err := net.Listen("tcp", "[::1%"+i.Name+"]:0")
		if err != nil {
			t.Skip("no IPv6 on loopback: ", err)
		}
		_, port, err := net.SplitHostPort(nl.Addr().String())
		require.NoError(t, err)
		serve(t, nl, func(nc net.Conn) {
			_ = tls.Server(nc, testCert().server).Handshake()
			t.Cleanup(func() { nc.Close() })
		})
		d := conn.Dialer{TLS: &tls.Config{RootCAs: testCert().pool}}
		c, err := d.Dial(t.Context(), "tcp", "[::1%"+i.Name+"]:"+port)
		require.NoError(t, err, nl.Addr())
		require.NoError(t, c.Close())
	}
}

// The configuration holds the client's private key; no error may show it.
func TestDialTLSErrorShowsNoKey(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0", closeAtOnce)
	cfg := testCert().server.Clone()
	cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS12, tls.VersionTLS13
	key := cfg.Certificates[0].PrivateKey
	for _, broken := range []func(){func() {}, func() { cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS13, tls.VersionTLS12 }} {
		broken()
		d := conn.Dialer{TLS: cfg}
		_, err := d.Dial(t.Context(), "tcp", l.Addr().String())
		require.Error(t, err)
		der, kerr := x509.MarshalPKCS8PrivateKey(key)
		require.NoError(t, kerr)
		require.NotContains(t, err.Error(), string(der))
		require.Less(t, len(err.Error()), 200, "no dump of anything: %v", err)
	}
}

func TestDialUnixWithTLS(t *testing.T) {
	cert := testCert()
	needsUnix(t)
	name := "host:1" // nor is a part of it
	if runtime.GOOS == "windows" {
		name = "s"
	}
	l := listen(t, "unix", filepath.Join(t.TempDir(), name), func(nc net.Conn) {
		_ = tls.Server(nc, cert.server).Handshake()
		t.Cleanup(func() { nc.Close() })
	})
	d := conn.Dialer{TLS: &tls.Config{RootCAs: cert.pool}}
	_, err := d.Dial(t.Context(), "unix", l.Addr().String())
	require.ErrorContains(t, err, "ServerName", "a path is no name to verify")
	d.TLS.ServerName = "127.0.0.1"
	c, err := d.Dial(t.Context(), "unix", l.Addr().String())
	require.NoError(t, err)
	require.NoError(t, c.Close())
}

func TestDialFromALocalAddress(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0", closeAtOnce)
	d := conn.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	c, err := d.Dial(t.Context(), "tcp", l.Addr().String())
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Skip("this system has 127.0.0.1 alone")
	}
	require.NoError(t, err)
	defer c.Close()
	require.Equal(t, "127.0.0.2", c.LocalAddr().(*net.TCPAddr).IP.String())
}

func TestDialByName(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0", closeAtOnce)
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	var d conn.Dialer
	c, err := d.Dial(t.Context(), "tcp", net.JoinHostPort("localhost", port))
	require.NoError(t, err, "where localhost is ::1 first, 127.0.0.1 is tried too")
	require.NoError(t, c.Close())

	d.Resolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no such network")
	}}
	_, err = d.Dial(t.Context(), "tcp", "name.invalid:1")
	var dns *net.DNSError
	require.ErrorAs(t, err, &dns)
	require.ErrorContains(t, err, "conn: dial tcp name.invalid:1: lookup name.invalid")
}

// No host is this one, as with package net.
func TestDialWithoutAHost(t *testing.T) {
	l := listen(t, "tcp4", "127.0.0.1:0", closeAtOnce)
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	c, err := new(conn.Dialer).Dial(t.Context(), "tcp4", ":"+port)
	require.NoError(t, err)
	require.NoError(t, c.Close())
}

func TestDialerValidate(t *testing.T) {
	tests := []struct {
		field  string
		dialer conn.Dialer
	}{
		{"", conn.Dialer{}},
		{"", conn.Dialer{Timeout: -1, UserTimeout: -1, LocalAddr: &net.TCPAddr{}, TLS: &tls.Config{MinVersion: tls.VersionTLS13}}},
		{"", conn.Dialer{LocalAddr: &net.UnixAddr{}}},
		{"LocalAddr", conn.Dialer{LocalAddr: &net.UDPAddr{}}},
		{"UserTimeout", conn.Dialer{UserTimeout: (math.MaxInt32 + 1) * time.Millisecond}},
		{"TLS", conn.Dialer{TLS: &tls.Config{MinVersion: tls.VersionTLS13, MaxVersion: tls.VersionTLS12}}},
	}
	for _, test := range tests {
		err := test.dialer.Validate()
		if test.field == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, "conn: Dialer."+test.field+" ")
		}
	}
}
