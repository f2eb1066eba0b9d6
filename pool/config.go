package pool

import (
	"context"
	"math"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/lastcopy"
	"github.com/seed-99d6a01a/gtcp/pool/backend"
	"github.com/seed-99d6a01a/gtcp/pool/puddlepool"
)

// The values of a Config's zero fields.
const (
	defaultMaxConns    = 64
	defaultMaxLifetime = 600 * time.Second
	defaultMaxDialing  = 16
	defaultDialTimeout = 30 * time.Second
	defaultLeakAfter   = time.Minute

	// maxMinIdle bounds MinIdle where MaxConns does not.
	maxMinIdle = 1 << 16
)

// Config says how a [Pool] works. The zero value of every field is a sensible
// setting, and the sentence of the field says which. Negative means none or
// off; where that has no meaning it is invalid. New copies the Config: later
// changes have no effect.
type Config struct {
	// AfterConnect prepares each new connection, before any caller gets it: a
	// handshake, or a login. Its result is kept with the connection, and
	// [Conn.Session] returns it. An error closes the connection and counts as
	// a failed dial. It shares the context and the time limit of the dial:
	// when they end, the connection is closed, so that I/O on it fails. It
	// must leave no deadline set and no byte unread. Nil means none.
	AfterConnect func(ctx context.Context, c *conn.Conn) (session any, err error)

	// Backend keeps the connections: slotpool.Open[*pool.Member],
	// puddlepool.Open[*pool.Member], or one of your own. Nil means puddlepool.
	Backend backend.OpenFunc[*Member]

	// MaxConns bounds the connections that are open or being dialed. Zero
	// means 64. Negative means no bound.
	MaxConns int
	// MinIdle is how many idle connections are kept ready, as far as MaxConns
	// allows. It is at most 65,536. Zero or negative means none.
	MinIdle int
	// MaxWaiters bounds the callers that wait because MaxConns is reached. One
	// more fails at once with [ErrTooManyWaiters]. Zero means no bound.
	// Negative means that no caller may wait.
	MaxWaiters int
	// GetTimeout limits each Get and Replace, in addition to the context.
	// Zero or negative means that only the context limits them.
	GetTimeout time.Duration
	// StrictFIFO serves waiters in the order in which they came, always, and
	// never fails one early. False means two things. A waiter whose deadline
	// is too near for its place in the queue fails at once with
	// [ErrOverloaded]. While the queue does not empty and waiters time out,
	// the newest waiter is served first. A waiter without a deadline never
	// fails with ErrOverloaded.
	StrictFIFO bool

	// MaxLifetime bounds the age of a connection, counted from the start of
	// its dial. An older one is not checked out. It is closed when it is
	// released, or within a second if it is idle. A caller that has it is not
	// disturbed. Zero means 600 seconds. Negative means no bound.
	MaxLifetime time.Duration
	// LifetimeJitter shortens the lifetime of each connection by a random time
	// of up to this value. So connections that were made at the same time do
	// not expire at the same time. Zero or negative means none.
	LifetimeJitter time.Duration
	// MaxIdleTime bounds how long a connection may be idle. After that it is
	// closed; the connections of MinIdle are then replaced. Zero or negative
	// means no bound but MaxLifetime.
	MaxIdleTime time.Duration

	// Probe says how connections are checked before they are checked out. The
	// zero Probe is one system call at each Get.
	Probe Probe
	// KeepAlive is the interval at which the pool probes an idle connection
	// with Probe.Func. If KeepAlive is positive, Probe.Func must be set. A
	// connection that fails is closed. Each interval is shortened by a random
	// part of up to a tenth. Connections in use are never touched. Zero or
	// negative means never.
	KeepAlive time.Duration

	// MaxDialing bounds the dials in progress. Waiting for a turn counts
	// against DialTimeout. Zero means 16. Negative means no bound but
	// MaxConns.
	MaxDialing int
	// DialTimeout bounds each dial, AfterConnect included. Zero means 30
	// seconds. Negative is invalid: it cannot be switched off.
	DialTimeout time.Duration
	// DialBackoff says when to stop dialing an address that fails. While
	// dialing is suspended and connections are in use, a Get waits for one of
	// them. If none is in use, it fails at once with a [*conn.BackoffError].
	// The zero value means pauses of 5 % of the outage so far.
	DialBackoff conn.DialBackoff

	// Hooks observe the pool. Each element implements one or more of
	// [GetStartHook], [GetHook], [ReleaseHook], [conn.DialStartHook],
	// [conn.DialHook] and [EvictHook]. Empty means none.
	Hooks []any
	// LeakReport is called once for each checkout that lasts longer than
	// LeakAfter, with the stack of the caller of Get. It makes each Get slower
	// by some microseconds, so use it only to find a leak. Nil means off.
	LeakReport func(Leak)
	// LeakAfter is when LeakReport is called. Zero means a minute. Negative is
	// invalid.
	LeakAfter time.Duration
}

// ConfigError names the field of a [Config] that is invalid, and why.
type ConfigError struct {
	// Field is the name of the field: "MinIdle", "Probe.Func".
	Field string
	// Problem says what is wrong with it.
	Problem string
	// Err is the cause, where the field checks itself, or nil.
	Err error
}

// Error returns a line with the field and the problem.
func (e *ConfigError) Error() string { return "pool: Config." + e.Field + " " + e.Problem }

// SafeToRetry is false: the same Config fails again.
func (e *ConfigError) SafeToRetry() bool { return false }

// Unwrap returns the cause, or nil.
func (e *ConfigError) Unwrap() error { return e.Err }

// Validate returns a [*ConfigError] that names the first invalid field, or nil.
// [New] calls it.
func (c Config) Validate() error {
	for _, f := range []struct {
		name  string
		value time.Duration
	}{
		{"DialTimeout", c.DialTimeout},
		{"LeakAfter", c.LeakAfter},
		{"Probe.After", c.Probe.After},
		{"Probe.Timeout", c.Probe.Timeout},
	} {
		if f.value < 0 {
			return &ConfigError{f.name, "is negative", nil}
		}
	}
	if err := c.DialBackoff.Validate(); err != nil {
		return &ConfigError{"DialBackoff", "is invalid: " + err.Error(), err}
	}
	d := c.withDefaults()
	switch {
	case d.MaxConns > 0 && d.MinIdle > d.MaxConns:
		return &ConfigError{"MinIdle", "is larger than MaxConns", nil}
	case d.MinIdle > maxMinIdle:
		return &ConfigError{"MinIdle", "is larger than 65,536", nil}
	case d.MaxLifetime > 0 && d.LifetimeJitter >= d.MaxLifetime:
		return &ConfigError{"LifetimeJitter", "is not smaller than MaxLifetime", nil}
	case c.LeakAfter > 0 && c.LeakReport == nil:
		return &ConfigError{"LeakAfter", "is set without LeakReport", nil}
	case d.KeepAlive > 0 && c.Probe.Func == nil:
		return &ConfigError{"KeepAlive", "is set without Probe.Func", nil}
	}
	for _, h := range c.Hooks {
		if !new(hooks).add(h) {
			return &ConfigError{"Hooks", "has an element that implements none of the hook interfaces", nil}
		}
	}
	return c.Probe.validate()
}

// withDefaults returns c with its zero fields filled in, and "off" written as
// zero.
func (c Config) withDefaults() Config {
	c.MaxConns = defaulted(c.MaxConns, defaultMaxConns)
	c.MinIdle = max(c.MinIdle, 0)
	c.GetTimeout = max(c.GetTimeout, 0)
	c.MaxLifetime = defaulted(c.MaxLifetime, defaultMaxLifetime)
	c.LifetimeJitter = max(c.LifetimeJitter, 0)
	c.MaxIdleTime = max(c.MaxIdleTime, 0)
	c.KeepAlive = max(c.KeepAlive, 0)
	c.MaxDialing = defaulted(c.MaxDialing, defaultMaxDialing)
	c.DialTimeout = defaulted(c.DialTimeout, defaultDialTimeout)
	c.LeakAfter = defaulted(c.LeakAfter, defaultLeakAfter)
	c.Probe = c.Probe.withDefaults()
	if c.Backend == nil {
		c.Backend = puddlepool.Open[*Member]
	}
	return c
}

// lastConfig is the Config of the last pool that could share it.
var lastConfig lastcopy.Last[Config]

// shared returns c for a pool to keep, without the backend, which is made once. Pools
// with the same settings share it, if these have no code in them.
func (c Config) shared() *Config {
	c.Backend = nil
	if c.AfterConnect != nil || c.Probe.Func != nil || c.LeakReport != nil || len(c.Hooks) > 0 {
		return &c
	}
	return lastConfig.Of(c)
}

// defaulted is v, or def if v is zero, or zero if v is negative.
func defaulted[N ~int | ~int64](v, def N) N {
	if v == 0 {
		return def
	}
	return max(v, 0)
}

// never is a time that does not come, on the pool's clock.
const never = math.MaxInt64
