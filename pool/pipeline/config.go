package pipeline

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/lastcopy"
)

// Config has the settings of a [Pipeline]. The zero value works. [New] copies
// it.
type Config struct {
	// MaxConns limits the open connections. The first call dials the first
	// one; a call that finds all connections busy starts the dial of another.
	// One more may be open for a while when a connection is being replaced,
	// and one more when connections have calls in flight and receive
	// nothing. Zero means 1. Negative is invalid.
	MaxConns int

	// MaxInFlight limits the requests without a reply on all connections
	// together, including those whose contexts have ended. Further callers
	// wait until their contexts end. Zero means 4096. Negative is invalid.
	// With Match, the size of the number limits it too: to 254 for numbers
	// of 1 byte.
	MaxInFlight int

	// MaxWaiters limits the callers that wait because MaxInFlight is reached.
	// One more fails at once with [ErrTooManyWaiters]. Zero means no limit.
	// Negative means that no caller may wait.
	MaxWaiters int

	// DialTimeout limits one dial, AfterConnect included. Zero means 30 s.
	// Negative means no limit.
	DialTimeout time.Duration

	// CallTimeout limits the calls whose context has no deadline, waits
	// included. Such a call ends after CallTimeout, or up to an eighth of it
	// later, with [ErrCallTimeout]. It costs such a call no timer, and no
	// reading of the clock. Zero or negative means no limit.
	CallTimeout time.Duration

	// AfterConnect prepares a new connection before the first call uses it: a
	// login, for instance. If it fails, the dial has failed. Its context ends
	// after DialTimeout, and the connection is then closed. It must leave no
	// unread bytes behind.
	AfterConnect func(ctx context.Context, c *conn.Conn) error

	// DialBackoff says when dialing stops for a while because dials fail.
	// Calls that need a connection then fail at once with a
	// [conn.BackoffError]. A connection that was sent a request and ended
	// without a reply counts as a failed dial.
	DialBackoff conn.DialBackoff

	// Match says where frames carry the number that pairs a reply with its
	// request: a [Number], or a [Matcher] of your own. The pipeline puts a
	// number of its own into each request and the caller's number back into the
	// reply. Replies may then come in any order. A reply to a call whose
	// context has ended is dropped. Nil means that replies come in the order of
	// the requests.
	Match Matcher

	// Envelope says that each frame of the peer begins with an envelope: see
	// package envelope. A frame with its push or goodbye flag is then no reply.
	// Without Match such a frame, unless it is Goodbye, ends the connection with
	// [ErrUnsolicited]: no call may get the reply to another.
	Envelope bool

	// OnPush is called for each frame that is not a reply: Match.Get returns
	// false for it, or no call has had its number. It is called by one
	// goroutine for each connection, in the order of the frames. While it
	// runs, replies are still delivered. When 64 pushes wait for it, the
	// connection is not read. ctx ends when the connection ends, and OnPush
	// must then return. It must not call Close or Shutdown itself, which wait
	// for it: start a goroutine for that. An OnPush that panics ends the
	// connection. Nil means that such a frame ends the connection with
	// [ErrUnsolicited]. It needs Match.
	OnPush func(ctx context.Context, p *Push)

	// Heartbeat checks a connection on which nothing comes.
	Heartbeat Heartbeat

	// Goodbye is the payload of the last frame of a server that closes the
	// connection. It says that the server has not handled the requests
	// without a reply. It is the same value as server.FrameHandler.Goodbye.
	// Those calls move to another connection, or fail with an [Error] that is
	// safe to retry. Empty means that the server has no such frame.
	Goodbye []byte

	// CloseIsGoodbye treats a close between two replies like Goodbye: the
	// server has not handled the requests without a reply. Set it only if you
	// know that your server does this.
	CloseIsGoodbye bool

	// StallTimeout limits how long a connection may receive nothing while the
	// reply to an abandoned call is missing. An abandoned call is one whose
	// caller's context has ended. After StallTimeout the connection is
	// closed, because without that one missing reply would block all later
	// calls. A connection is not closed if the caller of its oldest call
	// still waits; the context of that caller limits the wait. With Match, a
	// connection that receives other replies but not that one is replaced.
	// After about a tenth of StallTimeout, a silent connection with any call
	// in flight takes no new calls. They go to another connection, if needed
	// to one more than MaxConns. If all connections are silent, those with
	// only abandoned calls are closed to make room. Zero means 10 s. Negative
	// means no limit, for all of this.
	StallTimeout time.Duration

	// MaxLifetime limits the age of a connection, counted from its dial. The
	// age includes the time for which the machine was suspended. The limit
	// of each connection is shortened by a random part of up to a tenth, so
	// that connections do not end at the same time. A new connection is
	// dialed first. Then the old one takes no new calls and is closed after
	// its last reply. Zero means 600 s. Negative means no limit.
	MaxLifetime time.Duration

	// MaxIdleTime limits how long a connection may be open without a call. It
	// is accurate to about a second. Zero or negative means no limit.
	MaxIdleTime time.Duration

	// Hooks observe the pipeline. Each element implements one or more of
	// [CallHook], [CallStartHook], [EndHook], [conn.DialHook] and
	// [conn.DialStartHook].
	Hooks []any
}

// Heartbeat checks a connection that receives nothing. If it has received
// nothing for Interval, Request is sent. If it receives nothing for Timeout
// after that, it ends with [ErrNoHeartbeat] and its calls fail.
type Heartbeat struct {
	// Interval is how long a connection must have received nothing before
	// Request is sent. Zero or negative means no heartbeats.
	Interval time.Duration
	// Timeout is how long the connection may then receive nothing before it
	// ends. Zero means Interval. Without Match it must be longer than the
	// slowest reply takes, because the server replies in order. Negative is
	// invalid.
	Timeout time.Duration
	// Request is the frame to send, as a caller would give it to Call.
	Request []byte
	// Reply reports whether a frame is the peer's reply to Request. Such a
	// frame is dropped. Nil means that the reply comes like the replies to
	// calls: in order, or with the number of Match.
	Reply func(frame []byte) bool
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
	if err := c.validateProtocol(); err != nil {
		return err
	}
	_, err := newHooks(c.Hooks)
	return err
}

// validateProtocol checks the fields that say what the server speaks.
func (c Config) validateProtocol() error {
	if n, ok := c.Match.(Number); ok {
		if problem := n.problem(); problem != "" {
			return &ConfigError{"Match", problem, nil}
		}
	}
	hb := c.Heartbeat
	switch {
	case c.Match != nil && c.Match.Max() < 3:
		return &ConfigError{"Match", "has fewer than 3 numbers", nil}
	case c.OnPush != nil && c.Match == nil:
		return &ConfigError{"OnPush", "is set without Match", nil}
	case hb.Timeout < 0:
		return &ConfigError{"Heartbeat", "has a negative Timeout", nil}
	case hb.Interval > 0 && c.Match != nil && hb.Reply == nil:
		request := append([]byte(nil), hb.Request...)
		if _, ok := c.Match.Put(request, 1); !ok {
			return &ConfigError{"Heartbeat", "has a Request without room for the number of Match", ErrNoNumber}
		}
	}
	return nil
}

// withDefaults returns c with its zero fields filled in, and slices of its own.
func (c Config) withDefaults() Config {
	c.MaxConns = orDefault(c.MaxConns, 1)
	c.MaxInFlight = orDefault(c.MaxInFlight, 4096)
	c.DialTimeout = orDefault(c.DialTimeout, 30*time.Second)
	c.StallTimeout = orDefault(c.StallTimeout, 10*time.Second)
	c.MaxLifetime = orDefault(c.MaxLifetime, 600*time.Second)
	c.Heartbeat.Timeout = orDefault(c.Heartbeat.Timeout, c.Heartbeat.Interval)
	c.Goodbye, c.Heartbeat.Request = slices.Clone(c.Goodbye), slices.Clone(c.Heartbeat.Request)
	return c
}

// lastConfig is the Config of the last pipeline that could share it.
var lastConfig lastcopy.Last[Config]

// shared returns c for a pipeline to keep. Pipelines with the same settings share it, if
// these have no code in them.
func (c Config) shared() *Config {
	n, plain := c.Match.(Number)
	plain = plain && n.Reply == nil || c.Match == nil
	if !plain || c.AfterConnect != nil || c.OnPush != nil || c.Heartbeat.Reply != nil || len(c.Hooks) > 0 {
		return &c
	}
	return lastConfig.Of(c)
}

// permits returns how many calls may be in flight. Each has a number, and one
// number of each connection is for its heartbeat.
func (c *Config) permits() int64 {
	n := uint64(c.MaxInFlight)
	if c.Match != nil {
		n = min(n, c.Match.Max()-1)
	}
	return int64(n)
}

// lifetime returns how old a connection may get; zero means without a limit.
func (c *Config) lifetime() time.Duration {
	if c.MaxLifetime < 0 {
		return 0
	}
	return c.MaxLifetime - rand.N(c.MaxLifetime/10+1)
}

// orDefault returns v, or def when v is zero.
func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}
