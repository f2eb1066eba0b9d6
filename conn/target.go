package conn

import (
	"context"
	"errors"
	"net"
	"strings"
)

// Target says where and how to connect. It is an argument of pool.New and
// pipeline.New, and a field of gtcp.ClientConfig. Address or Dial must be
// set.
type Target struct {
	// Network is the network of Address: "tcp", "tcp4", "tcp6" or "unix".
	// Empty means "tcp".
	Network string
	// Address is "host:port", or the path of a unix socket. With Dial set it
	// only names the peer in errors and events.
	Address string
	// Dialer connects to Address. Nil means a zero Dialer.
	Dialer *Dialer
	// Dial makes the connection in place of Dialer. It returns anything that
	// is a net.Conn, and must return when its context ends. A *Conn is used
	// as it is; any other connection is given to New.
	Dial func(ctx context.Context) (net.Conn, error)
}

// Validate returns a *ConfigError that names the first field that cannot
// work, or nil.
func (t Target) Validate() error {
	if t.Dial != nil {
		if t.Dialer != nil {
			return &ConfigError{"Target.Dialer", "is set beside Dial", nil}
		}
		return nil
	}
	if t.Address == "" {
		return &ConfigError{"Target.Address", "is empty, and Dial is nil", nil}
	}
	network := t.network()
	if !validNetwork(network) {
		return &ConfigError{"Target.Network", "is not tcp, tcp4, tcp6 or unix", net.UnknownNetworkError(network)}
	}
	if strings.HasPrefix(network, "tcp") {
		if _, _, err := net.SplitHostPort(t.Address); err != nil {
			return &ConfigError{"Target.Address", "is invalid: " + err.Error(), err}
		}
	}
	if t.Dialer != nil {
		return t.Dialer.Validate()
	}
	return nil
}

// Prepare validates t and returns a copy of it for many calls of Connect. The
// copy has its own Dialer, so later changes to t.Dialer have no effect. That
// Dialer remembers, for a minute, which addresses of a name failed or were
// slower than another, and tries them last.
func (t Target) Prepare() (Target, error) {
	if err := t.Validate(); err != nil {
		return Target{}, err
	}
	if t.Dial == nil {
		var own Dialer
		if t.Dialer != nil {
			own = *t.Dialer
		}
		own.memory = new(addrMemory)
		t.Dialer = &own
	}
	return t, nil
}

// Connect makes one connection. Its errors are those of Dialer.Dial: each is
// an *Error with Op "dial" that is safe to retry.
func (t Target) Connect(ctx context.Context) (*Conn, error) {
	if t.Dial == nil {
		d := t.Dialer
		if d == nil {
			d = new(Dialer)
		}
		return d.Dial(ctx, t.network(), t.Address)
	}
	nc, err := t.Dial(ctx)
	if err == nil && nc == nil {
		err = errNoConn
	}
	if err != nil {
		var e *Error
		if errors.As(err, &e) && e.Op == "dial" {
			return nil, err
		}
		return nil, &Error{Op: "dial", Addr: dialAddr{t.network(), t.Address}, Err: err}
	}
	if c, ok := nc.(*Conn); ok {
		return c, nil
	}
	return New(nc), nil
}

var errNoConn = errors.New("Target.Dial returned neither a connection nor an error")

func (t Target) network() string {
	if t.Network == "" {
		return "tcp"
	}
	return t.Network
}

func validNetwork(network string) bool {
	switch network {
	case "tcp", "tcp4", "tcp6", "unix":
		return true
	}
	return false
}

// ConfigError names the field that a Validate method refused, and why.
type ConfigError struct {
	// Field is the type and the field: "Target.Address", "Dialer.TLS",
	// "DialBackoff.Min".
	Field string
	// Problem says what is wrong with it.
	Problem string
	// Err is the cause, or nil.
	Err error
}

// Error returns a line with the field and the problem.
func (e *ConfigError) Error() string { return "conn: " + e.Field + " " + e.Problem }

// Unwrap returns the cause.
func (e *ConfigError) Unwrap() error { return e.Err }

// SafeToRetry is false: the same configuration fails again.
func (e *ConfigError) SafeToRetry() bool { return false }
