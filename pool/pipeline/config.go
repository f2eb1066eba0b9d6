package pipeline

import (
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// Config is how a [Pipeline] behaves. The zero value works. [New] copies it.
type Config struct {
	// MaxConns limits the open connections. The first call dials the first
	// one; a call that finds all connections busy starts the dial of another.
	// Zero means 1. Negative is invalid.
	MaxConns int

	// MaxInFlight limits the requests without a reply on all connections
	// together, including those whose callers have given up. Further callers
	// wait, until their contexts end. Zero means 4096. Negative is invalid.
	MaxInFlight int

	// MaxWaiters limits the callers that wait because MaxInFlight is reached.
	// One more fails at once with [ErrTooManyWaiters]. Zero means no limit.
	// Negative means that no caller may wait.
	MaxWaiters int

	// DialTimeout limits one dial. Zero means 30 s. Negative means no limit.
	DialTimeout time.Duration

	// DialBackoff says when dialing stops for a while because dials fail.
	// Calls that need a connection then fail at once with a
	// [conn.BackoffError]. A connection that was sent a request and ended
	// without a reply counts as a failed dial.
	DialBackoff conn.DialBackoff

	// StallTimeout limits how long a connection may be silent while it owes a
	// reply to a caller that has given up. Then it is closed: without that,
	// one request that the server never replies to would block all later
	// calls. A connection whose oldest call still has its caller is not
	// closed; the caller's context limits that wait. Zero means 10 s.
	// Negative means no limit.
	StallTimeout time.Duration

	// Hooks observe the pipeline. Each element implements one or more of
	// [CallHook], [EndHook], [conn.DialHook] and [conn.DialStartHook].
	Hooks []any
}

// ConfigError names the field of a [Config] that is invalid, and why.
type ConfigError struct {
	// Field is the name of the field.
	Field string
	// Problem says what is wrong with it.
	Problem string
	// Err is the cause, or nil.
	Err error
}

// Error returns a line with the field and the problem.
func (e *ConfigError) Error() string { return "pipeline: Config." + e.Field + " " + e.Problem }

// Unwrap returns the cause.
func (e *ConfigError) Unwrap() error { return e.Err }

// SafeToRetry is false: the same Config fails again.
func (e *ConfigError) SafeToRetry() bool { return false }

// Validate returns a [*ConfigError] that names the first invalid field, or
// nil. [New] calls it.
func (c Config) Validate() error {
	for _, f := range []struct {
		name  string
		value int
	}{
		{"MaxConns", c.MaxConns},
		{"MaxInFlight", c.MaxInFlight},
	} {
		if f.value < 0 {
			return &ConfigError{f.name, "is negative", nil}
		}
	}
	if err := c.DialBackoff.Validate(); err != nil {
		return &ConfigError{"DialBackoff", "is invalid: " + err.Error(), err}
	}
	_, err := newHooks(c.Hooks)
	return err
}

// withDefaults returns c with its zero fields filled in.
func (c Config) withDefaults() Config {
	c.MaxConns = orDefault(c.MaxConns, 1)
	c.MaxInFlight = orDefault(c.MaxInFlight, 4096)
	c.DialTimeout = orDefault(c.DialTimeout, 30*time.Second)
	c.StallTimeout = orDefault(c.StallTimeout, 10*time.Second)
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
