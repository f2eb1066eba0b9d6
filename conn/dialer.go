package conn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"time"
)

// DefaultDialTimeout is the time limit of Dial where Dialer.Timeout is zero.
const DefaultDialTimeout = 30 * time.Second

// Dialer makes connections. Its zero value is ready to use. It must not be
// changed while in use, and may be used by several goroutines at a time.
type Dialer struct {
	// Timeout bounds the whole of Dial: name resolution, connecting to one
	// address after the other, and the TLS handshake. Zero means
	// DefaultDialTimeout, negative no limit but the context's.
	Timeout time.Duration

	// KeepAlive configures TCP keep-alive probes, as in net.Dialer. The
	// zero value means net's defaults: a probe after 15 seconds. To turn
	// probes off, leave Enable false and set Idle negative.
	KeepAlive net.KeepAliveConfig

	// TLS, if not nil, makes Dial speak TLS with this configuration, which is
	// not changed. The peer's certificate is verified, against the host in
	// the address where ServerName is empty, unless the configuration says
	// InsecureSkipVerify.
	TLS *tls.Config

	// LocalAddr is the local address: a *net.TCPAddr for TCP, a
	// *net.UnixAddr for unix. Nil lets the system choose.
	LocalAddr net.Addr

	// UserTimeout is how long written data may stay unacknowledged before
	// the system gives the connection up: TCP_USER_TIMEOUT (RFC 5482), in
	// whole milliseconds, rounded up. Zero or negative leaves the system's
	// default. It has no effect on unix sockets, nor on systems other than
	// Linux.
	UserTimeout time.Duration

	// Resolver resolves names. Nil means net.DefaultResolver.
	Resolver *net.Resolver
}

// Validate returns a *ConfigError that names the first field that cannot work,
// or nil.
func (d *Dialer) Validate() error {
	switch d.LocalAddr.(type) {
	case nil, *net.TCPAddr, *net.UnixAddr:
	default:
		return &ConfigError{"Dialer.LocalAddr", fmt.Sprintf("is a %T, neither *net.TCPAddr nor *net.UnixAddr", d.LocalAddr), nil}
	}
	if d.UserTimeout > math.MaxInt32*time.Millisecond {
		return &ConfigError{"Dialer.UserTimeout", fmt.Sprintf("is %v, more than the system can take", d.UserTimeout), nil}
	}
	if t := d.TLS; t != nil && t.MinVersion != 0 && t.MaxVersion != 0 && t.MinVersion > t.MaxVersion {
		return &ConfigError{"Dialer.TLS", fmt.Sprintf("has MinVersion %s above MaxVersion %s",
			tls.VersionName(t.MinVersion), tls.VersionName(t.MaxVersion)), nil}
	}
	return nil
}

// Dial connects to address on network: "tcp", "tcp4", "tcp6" or "unix". A host
// name with several addresses is tried as net.Dialer does: IPv6 and IPv4 side
// by side (RFC 6555), then one after the other.
//
// Every error is an *Error with Op "dial" that names the address and is safe
// to retry. When ctx ended the dial, errors.Is finds ctx.Err() in it.
func (d *Dialer) Dial(ctx context.Context, network, address string) (*Conn, error) {
	nc, err := d.dial(ctx, network, address)
	if err != nil {
		return nil, &Error{Op: "dial", Addr: dialAddr{network, address}, Err: err, safe: true}
	}
	return New(nc), nil
}

func (d *Dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	if !validNetwork(network) {
		return nil, net.UnknownNetworkError(network)
	}
	if timeout := d.timeout(); timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	nd := net.Dialer{
		KeepAliveConfig: d.KeepAlive,
		LocalAddr:       d.LocalAddr,
		Resolver:        d.Resolver,
	}
	if !d.KeepAlive.Enable && d.KeepAlive.Idle < 0 {
		nd.KeepAlive = -1
	}
	if d.UserTimeout > 0 && network != "unix" {
		nd.Control = userTimeoutControl(d.UserTimeout)
	}
	nc, err := nd.DialContext(ctx, network, address)
	if err != nil || d.TLS == nil {
		return nc, err
	}
	return d.handshake(ctx, nc, network, address)
}

func (d *Dialer) timeout() time.Duration {
	if d.Timeout == 0 {
		return DefaultDialTimeout
	}
	return d.Timeout
}

func (d *Dialer) handshake(ctx context.Context, nc net.Conn, network, address string) (net.Conn, error) {
	cfg := d.TLS
	if cfg.ServerName == "" && network != "unix" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, errors.Join(err, nc.Close())
		}
		cfg = cfg.Clone()
		cfg.ServerName = withoutZone(host)
	}
	tc := tls.Client(nc, cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		_ = nc.Close() // the handshake's error is the one to report
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return tc, nil
}

// withoutZone takes the zone off an IPv6 address: it names an interface of this
// machine, which no certificate does.
func withoutZone(host string) string {
	if ip, err := netip.ParseAddr(host); err == nil && ip.Zone() != "" {
		return ip.WithZone("").String()
	}
	return host
}

// dialAddr is an address as the caller wrote it.
type dialAddr struct{ network, address string }

func (a dialAddr) Network() string { return a.network }
func (a dialAddr) String() string  { return a.address }
