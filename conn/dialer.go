package conn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
)

// The values of a Dialer's zero fields.
const (
	dialTimeout = 30 * time.Second
	userTimeout = 10 * time.Second
)

// Dialer makes connections over TCP and unix sockets, with TLS if asked. The zero
// Dialer is ready to use. Several goroutines can use one Dialer at a time. It must
// not be changed while it is in use.
type Dialer struct {
	// Timeout bounds the whole of Dial: name resolution, all attempts to
	// connect, and the TLS handshake. Zero means 30 s. Negative means no
	// limit but the context's.
	Timeout time.Duration

	// KeepAlive configures TCP keep-alive probes, as in net.Dialer. The
	// zero value means the defaults of net: a probe after 15 s. To turn
	// probes off, leave Enable false and set Idle negative.
	KeepAlive net.KeepAliveConfig

	// TLS is the configuration of TLS. Nil means no TLS. Dial does not change
	// it. The peer's certificate is verified unless InsecureSkipVerify is
	// set. If ServerName is empty, it is verified against the host in the
	// address.
	TLS *tls.Config

	// LocalAddr is the local address: a *net.TCPAddr for TCP, a
	// *net.UnixAddr for unix. Nil means that the system chooses.
	LocalAddr net.Addr

	// UserTimeout is how long written data may stay unacknowledged before
	// the system closes the connection with ETIMEDOUT. It is the option
	// TCP_USER_TIMEOUT (RFC 5482), in whole milliseconds, rounded up. Zero
	// means 10 s. Negative leaves the system's default, which is some 15
	// minutes. It has no effect on unix sockets, nor on systems other than
	// Linux.
	//
	// The system also closes a connection if the peer has not read for
	// this long and its receive buffer is full. If your peers may pause
	// for longer, use a higher or a negative value. With UserTimeout,
	// keep-alive ends a connection after 1 probe without a reply, and not
	// after 9.
	UserTimeout time.Duration

	// Resolver resolves names. Nil means net.DefaultResolver.
	Resolver *net.Resolver

	memory *addrMemory // of a Target's own Dialer
}

// Validate returns a *ConfigError that names the first field that cannot work,
// or nil.
func (d *Dialer) Validate() error {
	switch d.LocalAddr.(type) {
	case nil, *net.TCPAddr, *net.UnixAddr:
	default:
		return &ConfigError{"Dialer.LocalAddr", fmt.Sprintf("is a %T, neither *net.TCPAddr nor *net.UnixAddr", d.LocalAddr), nil}
	}
	if d.UserTimeout > maxUserTimeout {
		return &ConfigError{"Dialer.UserTimeout", fmt.Sprintf("is %v, more than the system can take", d.UserTimeout), nil}
	}
	if t := d.TLS; t != nil && t.MaxVersion != 0 && t.MinVersion > t.MaxVersion {
		return &ConfigError{"Dialer.TLS", fmt.Sprintf("has MinVersion %s above MaxVersion %s",
			tls.VersionName(t.MinVersion), tls.VersionName(t.MaxVersion)), nil}
	}
	return nil
}

// Dial connects to address on network: "tcp", "tcp4", "tcp6" or "unix".
//
// If a host name has several addresses, Dial tries them in the order of the
// resolver, IPv6 and IPv4 alternately. The next attempt begins when one has
// failed, or has not connected within 300 ms. When all addresses are being
// tried, one more attempt begins each second, so a lost packet delays the dial
// by at most one second. Each of these attempts also resolves the name again,
// because the name may have moved to another host. Dial returns the first
// connection and cancels the other attempts. At most 3 attempts are in progress
// at a time.
//
// Every error is an *Error with Op "dial" that names the address and is safe
// to retry. When ctx ended the dial, errors.Is finds ctx.Err() in it.
func (d *Dialer) Dial(ctx context.Context, network, address string) (*Conn, error) {
	nc, err := d.dial(ctx, network, address)
	if err != nil {
		return nil, &Error{Op: "dial", Addr: dialAddr{network, address}, Err: err}
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
	if timeout := orDefault(d.Timeout, dialTimeout); timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	nd := net.Dialer{
		KeepAliveConfig: d.KeepAlive,
		LocalAddr:       d.LocalAddr,
		Resolver:        d.Resolver,
	}
	if d.KeepAlive.Idle < 0 { // net asks for it only if Enable is false
		nd.KeepAlive = -1
	}
	nc, err := d.connect(ctx, &nd, network, address)
	if err != nil || d.TLS == nil {
		return nc, err
	}
	return d.handshake(ctx, nc, network, address)
}

// connect makes the connection below TLS.
func (d *Dialer) connect(ctx context.Context, nd *net.Dialer, network, address string) (net.Conn, error) {
	if network == "unix" {
		return nd.DialContext(ctx, network, address)
	}
	addrs, err := d.addresses(ctx, network, address)
	if err != nil {
		return nil, err
	}
	r := race{addrs: addrs, dial: func(ctx context.Context, addr string) (net.Conn, error) {
		return nd.DialContext(ctx, network, addr)
	}}
	if addrs[0] != address { // a name
		r.resolve = func(ctx context.Context) ([]string, error) { return d.addresses(ctx, network, address) }
	}
	nc, addr, err := r.run(ctx)
	if err != nil {
		return nil, attemptError(ctx, err)
	}
	d.memory.worked(addrs, addr)
	if err := SetUserTimeout(nc, orDefault(d.UserTimeout, userTimeout)); err != nil {
		return nil, errors.Join(err, nc.Close())
	}
	return nc, nil
}

// attemptError is the error of an attempt that ended as ctx did. A timeout of the
// socket does not say that it was the context's.
func attemptError(ctx context.Context, err error) error {
	if isTimeout(err) && !errors.Is(err, context.DeadlineExceeded) && hasEnded(ctx) {
		return newInterruptError(ctx, context.DeadlineExceeded, err)
	}
	return err
}

// orDefault returns v, or what zero means.
func orDefault(v, zero time.Duration) time.Duration {
	if v == 0 {
		return zero
	}
	return v
}

func (d *Dialer) handshake(ctx context.Context, nc net.Conn, network, address string) (net.Conn, error) {
	cfg := d.TLS
	if cfg.ServerName == "" && network != "unix" {
		host, _, _ := net.SplitHostPort(address) // it has been dialed
		cfg = cfg.Clone()
		cfg.ServerName = withoutZone(host)
	}
	tc := tls.Client(nc, cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		_ = nc.Close() // the handshake's error is the one to report
		return nil, &handshakeError{err}
	}
	return tc, nil
}

// handshakeError is the error of a TLS handshake.
type handshakeError struct{ err error }

// Error asks, where the peer has not replied as a TLS server does, whether it is one.
func (e *handshakeError) Error() string {
	s := "TLS handshake: " + e.err.Error()
	stranger := tls.RecordHeaderError{}
	if errors.Is(e.err, io.EOF) || isReset(e.err) || KindOf(e.err) == KindTimeout || errors.As(e.err, &stranger) {
		s += " (does the server speak TLS on that port?)"
	}
	return s
}

func (e *handshakeError) Unwrap() error { return e.err }

// withoutZone takes the zone off an IPv6 address: it names an interface of this
// machine, which no certificate does.
func withoutZone(host string) string {
	if ip, err := netip.ParseAddr(host); err == nil && ip.Zone() != "" {
		return ip.WithZone("").String()
	}
	return host
}

// dialAddr is an address as the caller gave it.
type dialAddr struct{ network, address string }

func (a dialAddr) Network() string { return a.network }
func (a dialAddr) String() string  { return a.address }
