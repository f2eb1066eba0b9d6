package gtcp

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// defaultDialTimeout bounds a dial for which no timeout was given.
const defaultDialTimeout = 30 * time.Second

// dialContext returns the context of a dial with an optional timeout. Without one
// it is 30 seconds. Zero means no limit. A negative timeout, such as the time
// that is left of a deadline in the past, makes a context that has ended.
func dialContext(timeout []time.Duration) (context.Context, context.CancelFunc, time.Duration) {
	limit := defaultDialTimeout
	if len(timeout) > 0 {
		limit = timeout[0]
	}
	if limit == 0 {
		return context.Background(), func() {}, limit
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	return ctx, cancel, limit
}

// dial makes a connection; the context is its only bound. A peer may pause for as
// long as it likes, as upstream.
func dial(ctx context.Context, address string, config *tls.Config) (*conn.Conn, error) {
	dialer := conn.Dialer{Timeout: -1, TLS: config, UserTimeout: -1}
	return dialer.Dial(ctx, "tcp", address)
}

// NewNetConn connects to a TCP address such as "127.0.0.1:80" and returns the
// plain connection. The optional timeout limits the dial. The default is 30
// seconds; zero leaves the limit to the system.
func NewNetConn(addr string, timeout ...time.Duration) (net.Conn, error) {
	c, err := dialPlain(addr, timeout...)
	if err != nil {
		return nil, err
	}
	return c.NetConn(), nil
}

func dialPlain(addr string, timeout ...time.Duration) (*conn.Conn, error) {
	ctx, cancel, limit := dialContext(timeout)
	defer cancel()
	c, err := dial(ctx, addr, nil)
	return c, describe(refusedHint(err), "net.DialTimeout failed with network %q, address %q, timeout %q", "tcp", addr, limit)
}

// NewNetConnTLS connects to a TLS server and returns the connection after the
// handshake. The optional timeout limits both; the default is 30 seconds. The
// server's certificate is verified as config says. A nil config verifies it for
// the host in addr.
func NewNetConnTLS(addr string, config *tls.Config, timeout ...time.Duration) (net.Conn, error) {
	c, err := dialTLS(addr, config, timeout...)
	if err != nil {
		return nil, err
	}
	return c.NetConn(), nil
}

func dialTLS(addr string, config *tls.Config, timeout ...time.Duration) (*conn.Conn, error) {
	if config == nil {
		config = &tls.Config{}
	}
	ctx, cancel, limit := dialContext(timeout)
	defer cancel()
	c, err := dial(ctx, addr, config)
	return c, describe(refusedHint(err), "tls.DialWithDialer failed with network %q, address %q, timeout %q", "tcp", addr, limit)
}

// NewNetConnKeyCrt is NewNetConnTLS with the configuration that LoadKeyCrt makes
// from a certificate file and a key file.
func NewNetConnKeyCrt(addr, crtFile, keyFile string, timeout ...time.Duration) (net.Conn, error) {
	config, err := LoadKeyCrt(crtFile, keyFile)
	if err != nil {
		return nil, err
	}
	return NewNetConnTLS(addr, config, timeout...)
}

// LoadKeyCrt makes a TLS configuration from a certificate file and a key file,
// both in PEM format. It looks for a relative path in the working folder, then in
// the folder of the program, then in the folder with the sources of package main.
func LoadKeyCrt(crtFile, keyFile string) (*tls.Config, error) {
	crtPath, err := findFile(crtFile)
	if err != nil {
		return nil, describe(err, "certificate file %q", crtFile)
	}
	keyPath, err := findFile(keyFile)
	if err != nil {
		return nil, describe(err, "key file %q", keyFile)
	}
	pair, err := tls.LoadX509KeyPair(crtPath, keyPath)
	if err != nil {
		return nil, describe(err, "tls.LoadX509KeyPair failed for certFile %q and keyFile %q", crtPath, keyPath)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}}, nil
}

// findFile is the path at which a file exists.
func findFile(name string) (string, error) {
	_, err := os.Stat(name)
	if err == nil || filepath.IsAbs(name) {
		return name, err
	}
	var folders []string
	if program, err := os.Executable(); err == nil {
		folders = append(folders, filepath.Dir(program))
	}
	if sources := mainFolder(); sources != "" {
		folders = append(folders, sources)
	}
	for _, folder := range folders {
		path := filepath.Join(folder, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return name, err
}

// mainFolder returns the folder of package main's sources at compile time, if a
// function of that package is among the callers, or "".
func mainFolder() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	for more := true; more; {
		var f runtime.Frame
		if f, more = frames.Next(); strings.HasPrefix(f.Function, "main.") && filepath.IsAbs(f.File) {
			return filepath.Dir(f.File)
		}
	}
	return ""
}

// GetFreePort returns a TCP port that is free on this machine. Another program
// may take it before you use it. To avoid that, listen on FreePortAddress.
func GetFreePort() (int, error) {
	ports, err := GetFreePorts(1)
	if err != nil {
		return 0, err
	}
	return ports[0], nil
}

// MustGetFreePort is GetFreePort, but panics if that fails.
func MustGetFreePort() int {
	port, err := GetFreePort()
	if err != nil {
		panic(err)
	}
	return port
}

// GetFreePorts returns n different TCP ports that are free on this machine.
func GetFreePorts(n int) ([]int, error) {
	if n < 0 {
		return nil, describe(errNegative, "gtcp: number of free ports %d", n)
	}
	// All listeners stay open until the last port is known, so that the system
	// cannot return a port twice.
	var ports []int
	for range n {
		l, err := net.Listen("tcp", FreePortAddress)
		if err != nil {
			return nil, describe(err, "net.ListenTCP failed for network %q, address %q", "tcp", FreePortAddress)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
