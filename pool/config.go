package pool

import (
	"context"
	"net"
	"strings"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool/backend"
	"github.com/seed-99d6a01a/gtcp/pool/puddlepool"
)

// The values of a [Config]'s zero fields.
const (
	DefaultMaxConns    = 64
	DefaultMaxLifetime = 600 * time.Second
	DefaultMaxDialing  = 16
	DefaultDialTimeout = backend.DefaultDialTimeout
	DefaultLeakAfter   = time.Minute

	DefaultBackoffAfter = 3                      // of DialBackoff.After
	DefaultMinBackoff   = 100 * time.Millisecond // of DialBackoff.Min
	DefaultMaxBackoff   = 10 * time.Second       // of DialBackoff.Max
)

// Config says how a [Pool] works. Address or Dial is needed; the zero value
// of every other field is a sensible setting, and negative means off where a
// field says so; elsewhere it is invalid. A Config is copied by [New]: later
// changes have no effect.
type Config struct {
	// Network and Address say where to connect to, as in net.Dial. An empty
	// Network is "tcp". With Dial set they are only for messages.
	Network, Address string
	// Dialer dials Address. Nil is a zero [conn.Dialer].
	Dialer *conn.Dialer
	// Dial makes a connection in place of Dialer: anything that is a
	// net.Conn. Its context always has a deadline, which it must heed.
	Dial func(ctx context.Context) (net.Conn, error)
	// AfterConnect, if set, prepares each new connection (handshake, login)
	// before anybody gets it. What it returns is kept with the connection
	// and found with [Conn.Session]. It shares the dial's context, deadline
	// and limits; an error closes the connection and counts as a failed
	// dial. It must leave no deadline set and no byte unread.
	AfterConnect func(ctx context.Context, c *conn.Conn) (session any, err error)

	// Backend keeps the connections: puddlepool.Open[*pool.Member] (nil is
	// that too), slotpool.Open[*pool.Member] or one of your own.
	Backend backend.Open[*Member]

	// MaxConns bounds the connections open and being dialed together. Zero means
	// DefaultMaxConns; negative means no bound.
	MaxConns int
	// MinIdle is how many connections are kept ready, as far as MaxConns allows.
	// Zero means none.
	MinIdle int
	// MaxWaiters bounds the callers that wait for a connection because MaxConns
	// is reached; one more fails at once with [ErrTooManyWaiters]. Zero means
	// no bound; negative means that nobody may wait.
	MaxWaiters int
	// GetTimeout bounds each Get and Replace, beside its context. Zero means
	// no bound but the context's.
	GetTimeout time.Duration

	// MaxLifetime bounds the age of a connection, counted from the start of
	// its dial. An older one is not lent, is closed when it comes back, and
	// is closed within a second while idle; a borrower in possession is not
	// disturbed. Zero means DefaultMaxLifetime; negative means no bound.
	MaxLifetime time.Duration
	// LifetimeJitter shortens each connection's lifetime by a random part of
	// up to this much, rolled once when it is dialed, so that connections
	// made together do not end together. Zero means none.
	LifetimeJitter time.Duration
	// MaxIdleTime bounds how long a connection may be idle before it is
	// closed. It holds for those of MinIdle too, which are then replaced.
	// Zero means no bound but MaxLifetime's.
	MaxIdleTime time.Duration

	// ProbeAfter is how long a connection must have been idle to be probed
	// when it is taken out. One that has been closed by its peer, or that
	// has unread bytes, is then replaced within the same Get. Zero means
	// always: a probe is one system call that takes about half a
	// microsecond, a few percent of the fastest round trip. (Where there is
	// no socket to ask, a probe waits a millisecond instead: set a threshold
	// for such connections. On systems other than Unix that is so for all,
	// and there zero is one second.) Negative means never: a connection that
	// its peer has closed is lent, and its next read says io.EOF.
	//
	// Unless it is zero, a connection that has moved bytes is also looked at
	// when it comes back, and closed if an answer nobody read is waiting in
	// the kernel.
	ProbeAfter time.Duration
	// Probe, if set, is what is done as the probe in place of
	// [conn.Conn.Check]. It may do I/O, bounded by ctx, which is Get's. An
	// error, or a connection that is not clean afterwards, evicts.
	Probe func(ctx context.Context, c *conn.Conn) error
	// BorrowerAsks leaves the probe to the borrower, whose first operation is
	// [conn.Conn.Ask], or [conn.Conn.Check], and who calls [Conn.Replace] if
	// that refuses the connection. That saves the probe's system call. Nothing
	// is looked for at Get or when a connection comes back; ProbeAfter and
	// Probe must be left zero.
	BorrowerAsks bool

	// MaxDialing bounds the dials in progress. Zero means DefaultMaxDialing;
	// negative means no bound but MaxConns. Waiting for one's turn counts against
	// DialTimeout.
	MaxDialing int
	// DialTimeout bounds each dial, AfterConnect included. Zero means
	// DefaultDialTimeout. It cannot be switched off.
	DialTimeout time.Duration
	// DialBackoff says when to stop dialing an address that fails.
	DialBackoff DialBackoff

	// Hook observes the pool. It implements one or more of [GetHook],
	// [ReleaseHook], [DialHook] and [EvictHook]. Nil is none.
	Hook any
	// LeakReport, if set, is called once for each connection that has not
	// come back LeakAfter after it was lent, with the borrower's stack. To
	// record stacks makes each Get slower by microseconds: it is for the
	// search for a leak. Nil is off.
	LeakReport func(Leak)
	// LeakAfter is when LeakReport is called. Zero means DefaultLeakAfter.
	LeakAfter time.Duration
}

// DialBackoff says when a pool stops dialing an address that fails. After a
// run of failures the pool waits, and meanwhile every Get that would dial
// fails at once with a [BackoffError] and the last cause. When the wait is
// over a single dial is let through: if it succeeds all is as before, if it
// fails the next wait is twice as long. Each wait has jitter: it is between
// half its step and the whole.
type DialBackoff struct {
	// After is how many failures in a row begin the first wait. Zero means
	// DefaultBackoffAfter; negative means never: every Get that needs a
	// connection dials.
	After int
	// Min is the first step. Zero means DefaultMinBackoff; negative is invalid.
	Min time.Duration
	// Max is the largest step. Zero means DefaultMaxBackoff, or Min if that is
	// larger; negative is invalid.
	Max time.Duration
}

// ConfigError names the field of a [Config] that is invalid, and why.
type ConfigError struct {
	Field   string
	Problem string
	Err     error // the cause, where the field is a struct that checks itself
}

// Error returns a line with the field and the problem.
func (e *ConfigError) Error() string { return "pool: Config." + e.Field + " " + e.Problem }

// SafeToRetry is false: the same Config fails again.
func (e *ConfigError) SafeToRetry() bool { return false }

// Unwrap returns the cause, nil if there is none.
func (e *ConfigError) Unwrap() error { return e.Err }

// Validate returns a [*ConfigError] that names the first invalid field, or
// nil. [New] calls it.
func (c Config) Validate() error {
	if err := c.validateTarget(); err != nil {
		return err
	}
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"MinIdle", int64(c.MinIdle)},
		{"GetTimeout", int64(c.GetTimeout)},
		{"LifetimeJitter", int64(c.LifetimeJitter)},
		{"MaxIdleTime", int64(c.MaxIdleTime)},
		{"DialTimeout", int64(c.DialTimeout)},
		{"DialBackoff.Min", int64(c.DialBackoff.Min)},
		{"DialBackoff.Max", int64(c.DialBackoff.Max)},
		{"LeakAfter", int64(c.LeakAfter)},
	} {
		if f.value < 0 {
			return &ConfigError{f.name, "is negative", nil}
		}
	}
	d := c.withDefaults()
	switch {
	case d.MaxConns > 0 && d.MinIdle > d.MaxConns:
		return &ConfigError{"MinIdle", "is larger than MaxConns", nil}
	case d.MaxLifetime > 0 && d.LifetimeJitter >= d.MaxLifetime:
		return &ConfigError{"LifetimeJitter", "is not smaller than MaxLifetime", nil}
	case d.DialBackoff.Max < d.DialBackoff.Min:
		return &ConfigError{"DialBackoff.Max", "is smaller than DialBackoff.Min", nil}
	case c.Hook != nil && newHooks(c.Hook) == hooks{}:
		return &ConfigError{"Hook", "implements none of the hook interfaces", nil}
	case c.BorrowerAsks && (c.ProbeAfter != 0 || c.Probe != nil):
		return &ConfigError{"BorrowerAsks", "is set beside ProbeAfter or Probe", nil}
	case c.LeakAfter > 0 && c.LeakReport == nil:
		return &ConfigError{"LeakAfter", "is set without LeakReport", nil}
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

// withDefaults returns c with its zero fields filled in and "off" written as
// zero where the code that follows wants that.
func (c Config) withDefaults() Config {
	c.MaxConns = defaulted(c.MaxConns, DefaultMaxConns)
	c.MaxLifetime = defaulted(c.MaxLifetime, DefaultMaxLifetime)
	c.MaxDialing = defaulted(c.MaxDialing, DefaultMaxDialing)
	c.DialTimeout = defaulted(c.DialTimeout, DefaultDialTimeout)
	c.LeakAfter = defaulted(c.LeakAfter, DefaultLeakAfter)
	b := &c.DialBackoff
	b.After = defaulted(b.After, DefaultBackoffAfter)
	b.Min = defaulted(b.Min, DefaultMinBackoff)
	b.Max = defaulted(b.Max, max(DefaultMaxBackoff, b.Min))
	if c.Network == "" {
		c.Network = "tcp"
	}
	if c.Backend == nil {
		c.Backend = puddlepool.Open[*Member]
	}
	if c.Dial == nil {
		c.Dial = dialWith(c.Dialer, c.Network, c.Address)
	}
	return c
}

// dialWith returns the Dial of a Config that has none.
func dialWith(d *conn.Dialer, network, address string) func(context.Context) (net.Conn, error) {
	var own conn.Dialer
	if d != nil {
		own = *d
	}
	return func(ctx context.Context) (net.Conn, error) {
		c, err := own.Dial(ctx, network, address)
		if err != nil {
			return nil, err // not c, which would be a nil *conn.Conn in an interface
		}
		return c, nil
	}
}

// defaulted is v, or def if v is zero, or zero if v is negative.
func defaulted[N ~int | ~int64](v, def N) N {
	if v == 0 {
		return def
	}
	return max(v, 0)
}
