package pipeline

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
)

// Defaults of [Config]'s zero fields.
const (
	DefaultMaxConns     = 1
	DefaultMaxInFlight  = 4096
	DefaultDialTimeout  = 30 * time.Second
	DefaultMinBackoff   = 10 * time.Millisecond // of DialBackoff.Min
	DefaultMaxBackoff   = 5 * time.Second       // of DialBackoff.Max
	DefaultStallTimeout = 10 * time.Second
)

// Config says where a [Pipeline] connects and how it behaves. Only an address,
// or Dial, is needed; every other field's zero value is a sound default.
// A Config is copied by [New] and may be reused.
type Config struct {
	// Network and Address say where to dial; an empty Network is "tcp".
	// Ignored when Dial is set.
	Network, Address string

	// Dialer dials Network and Address. Nil is a zero [conn.Dialer].
	Dialer *conn.Dialer

	// Dial, when set, makes the connections instead. Its context has the
	// values of the call that asked for it, and ends after DialTimeout and
	// when the pipeline is closed; it must return then, for Close waits for
	// it. It is called by one goroutine at a time.
	Dial func(ctx context.Context) (net.Conn, error)

	// Format is the wire format of requests and replies. The zero value is
	// gtcp's package protocol: a 2-byte big-endian length, then the payload.
	Format framing.Format

	// MaxConns is the most connections kept open. Zero means DefaultMaxConns.
	// The first is dialed by the first call, the next ones when every open one
	// is busy.
	MaxConns int

	// MaxInFlight bounds the requests accepted and not yet answered, over all
	// connections, those whose callers have given up included. Callers beyond
	// it wait for their turn, within their contexts. Zero means
	// DefaultMaxInFlight.
	MaxInFlight int

	// MaxWaiters bounds the callers that wait because MaxInFlight is reached;
	// one more fails at once with [ErrTooManyWaiters]. Zero means no bound;
	// negative means that nobody may wait.
	MaxWaiters int

	// DialTimeout bounds one dial. Zero means DefaultDialTimeout; negative
	// means no bound.
	DialTimeout time.Duration

	// DialBackoff says how long calls fail at once after a failed dial.
	DialBackoff DialBackoff

	// StallTimeout ends a connection that owes a reply to a caller who has
	// given up and has brought no byte for so long. Without it one request
	// that a server never answers would block every later call on its
	// connection. It never ends a connection on which the oldest call is
	// still waited for: that is what the caller's context is for. Zero means
	// DefaultStallTimeout; negative means never.
	StallTimeout time.Duration

	// Hook observes the pipeline. It implements one or more of [CallHook],
	// [DialHook] and [EndHook]. Nil is none.
	Hook any
}

// DialBackoff is the pause after a failed dial. While it lasts, calls that
// have no connection fail at once with the cause of the failure; the first
// call after it dials again. It doubles with each failure in a row, and each
// is drawn at random between half its step and the whole. A connection that
// was asked and ended without one reply counts as a failed dial.
type DialBackoff struct {
	// Min is the first step. Zero means DefaultMinBackoff; negative means no pause
	// at all.
	Min time.Duration
	// Max is the largest step. Zero means DefaultMaxBackoff, or Min if that is
	// larger.
	Max time.Duration
}

// ConfigError names the field of a [Config] that is invalid, and why.
type ConfigError struct {
	Field   string
	Problem string
	Err     error // the cause, where the field is a struct that checks itself
}

// Error returns a line with the field and the problem.
func (e *ConfigError) Error() string { return "pipeline: Config." + e.Field + " " + e.Problem }

// Unwrap returns the cause, nil if there is none.
func (e *ConfigError) Unwrap() error { return e.Err }

// SafeToRetry is false: the same Config fails again.
func (e *ConfigError) SafeToRetry() bool { return false }

// Validate returns a [*ConfigError] that names the first field that cannot be
// used, or nil. [New] calls it.
func (c Config) Validate() error {
	if err := c.validateTarget(); err != nil {
		return err
	}
	if err := c.Format.Validate(); err != nil {
		return &ConfigError{"Format", "is invalid: " + err.Error(), err}
	}
	if _, err := c.Format.Append(nil, nil); errors.Is(err, framing.ErrReadOnly) {
		return &ConfigError{"Format", "cannot be written: " + err.Error(), err}
	}
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"MaxConns", int64(c.MaxConns)},
		{"MaxInFlight", int64(c.MaxInFlight)},
		{"DialBackoff.Max", int64(c.DialBackoff.Max)},
	} {
		if f.value < 0 {
			return &ConfigError{f.name, "is negative", nil}
		}
	}
	d := c.withDefaults()
	switch {
	case d.DialBackoff.Max < d.DialBackoff.Min:
		return &ConfigError{"DialBackoff.Max", "is smaller than DialBackoff.Min", nil}
	case c.Hook != nil && newHooks(c.Hook) == hooks{}:
		return &ConfigError{"Hook", "implements none of the hook interfaces", nil}
	}
	return nil
}

// validateTarget checks the fields that say what to dial.
func (c Config) validateTarget() error {
	if c.Dial != nil {
		if c.Dialer != nil {
			return &ConfigError{"Dialer", "is set beside Dial", nil}
		}
		return nil
	}
	if c.Address == "" {
		return &ConfigError{"Address", "is empty, and Dial is nil", nil}
	}
	if c.Network == "" || strings.HasPrefix(c.Network, "tcp") {
		if _, _, err := net.SplitHostPort(c.Address); err != nil {
			return &ConfigError{"Address", "is invalid: " + err.Error(), err}
		}
	}
	if c.Dialer != nil {
		if err := c.Dialer.Validate(); err != nil {
			return &ConfigError{"Dialer", "is invalid: " + err.Error(), err}
		}
	}
	return nil
}

// withDefaults returns c with its zero fields filled in.
func (c Config) withDefaults() Config {
	c.MaxConns = orDefault(c.MaxConns, DefaultMaxConns)
	c.MaxInFlight = orDefault(c.MaxInFlight, DefaultMaxInFlight)
	c.DialTimeout = orDefault(c.DialTimeout, DefaultDialTimeout)
	b := &c.DialBackoff
	b.Min = orDefault(b.Min, DefaultMinBackoff)
	b.Max = orDefault(b.Max, max(DefaultMaxBackoff, b.Min))
	c.StallTimeout = orDefault(c.StallTimeout, DefaultStallTimeout)
	if c.Network == "" {
		c.Network = "tcp"
	}
	if c.Dialer == nil {
		c.Dialer = &conn.Dialer{}
	}
	return c
}

// orDefault returns v, or def when v is zero.
func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// dial makes one connection within the dial timeout.
func (c *Config) dial(ctx context.Context) (*conn.Conn, error) {
	if c.DialTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.DialTimeout)
		defer cancel()
	}
	if c.Dial == nil {
		return c.Dialer.Dial(ctx, c.Network, c.Address)
	}
	nc, err := c.Dial(ctx)
	if err != nil {
		return nil, err
	}
	if nc == nil {
		return nil, errors.New("pipeline: Config.Dial returned neither a connection nor an error")
	}
	if cc, ok := nc.(*conn.Conn); ok {
		return cc, nil
	}
	return conn.New(nc), nil
}
