package gtcp

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
	"github.com/seed-99d6a01a/gtcp/retry"
)

// ClientConfig says how a [Client] works. The zero value is an exclusive
// client over TCP for gtcp's package protocol. It makes up to three
// attempts where that is safe. [NewClient] copies it.
type ClientConfig struct {
	// Shared lets all calls share a few pipelined connections. If it is
	// false, each call has a connection to itself while it lasts.
	Shared bool

	// Target says how to connect: the network, the dialer with its timeouts
	// and TLS, or a dial function. NewClient's address, unless it is empty,
	// replaces Target.Address.
	Target conn.Target

	// Resolver says where the servers of a service are, in place of one
	// address: see package resolve. Each server has its own pool, or its own
	// pipeline if Shared is set. It is made from Pool or Pipeline, and from
	// Target. Of Target only Dialer may be set then. A retry goes to another
	// server if there is one. The first retry of a call begins at once, unless
	// Retry.Backoff is set. A server that is removed gets no new calls, and
	// its connections are closed when the calls in progress have ended. Nil
	// means one address.
	Resolver resolve.Resolver
	// Balance says which server gets a call. It is used with Resolver only.
	Balance BalanceConfig

	// Format is how requests and replies are framed, and limits their size.
	// The zero value is gtcp's package protocol.
	Format framing.Format

	// Envelope puts metadata before each request, and expects them before each
	// reply: see package envelope and docs/wire.md. The server must do the same,
	// as a server.FrameHandler with Envelope does. The request carries how long
	// the caller waits, the trace of [envelope.ContextWithTrace] and
	// CallOptions.Method. If the reply has a status other than 0, the call fails
	// with an [*envelope.StatusError]. Interceptors see requests and replies
	// without envelopes. Goodbye is then envelope.Goodbye() unless it is set.
	// Replies come in the order of the requests, unless Match is
	// envelope.Matcher{}. Frames for OnPush begin with their envelopes. Format.Strip must be 0. The dst
	// of AppendCall needs room for the envelope of the reply too, or AppendCall
	// allocates: 8 bytes for a success.
	Envelope bool

	// Match says where frames carry the number that pairs a reply with its
	// request: a [pipeline.Number] for the usual protocols. The client then
	// puts a number of its own into each request, and the caller's number back
	// into the reply. A shared client takes replies in any order. An exclusive
	// one fails the call and closes the connection if the number is wrong. Nil
	// means that replies come in the order of the requests.
	Match pipeline.Matcher

	// CallTimeout limits the calls whose context has no deadline, all
	// attempts together. Such a call ends after CallTimeout, or up to an
	// eighth of it later. Zero means 13 s. Negative means no limit.
	CallTimeout time.Duration

	// Retry says when a call is repeated. The zero value makes up to three
	// attempts with short waits between them. It repeats an attempt only if
	// no byte of the request has left the process. Retry.Idempotent declares
	// that all calls may be repeated; Retry.Budget limits the repeats of all
	// calls together. Retry.MaxAttempts of 1 means one attempt only.
	Retry retry.Policy

	// Goodbye, if not empty, is the frame that a server sends on shutdown
	// before it closes a connection. It says that the server did not handle
	// the requests without a reply. It is the same value as
	// server.FrameHandler.Goodbye. Calls that receive it are safe to repeat,
	// and are repeated as Retry says. No reply may be equal to it.
	Goodbye []byte

	// Intercept, if not nil, wraps each call. NewClient calls it once, and
	// the function that it returns runs for each call. next makes the
	// attempts. It can change the request and the reply, record them, or
	// refuse the call. To use several, let one call the next.
	Intercept func(next Invoker) Invoker
	// InterceptAttempt, if not nil, wraps each attempt, as Intercept wraps
	// each call. next makes one attempt. It runs inside Intercept.
	InterceptAttempt func(next Invoker) Invoker
	// Hooks observe the calls. Each element implements [CallHook] or
	// [AttemptHook], or both.
	Hooks []any

	// Pool is the configuration of an exclusive client's pool: limits,
	// lifetimes, probe, backend, hooks. If Mode, After and Func of
	// Pool.Probe are not set, each call checks its connection itself,
	// without an extra system call; see [conn.Conn.Ask]. A shared client
	// does not use it.
	Pool pool.Config

	// Pipeline is the configuration of a shared client's connections: limits,
	// lifetimes, pushes, heartbeats, hooks. Match and Goodbye above replace its
	// fields of the same names, unless they are nil, and CallTimeout always
	// does. An exclusive client does not use it.
	Pipeline pipeline.Config
}

// Validate returns an error that names the first invalid field, or nil. A
// missing address is not an error here, since NewClient's argument replaces
// it.
func (c ClientConfig) Validate() error {
	if c.Resolver == nil {
		c.Target.Address = cmp.Or(c.Target.Address, "address:0")
	}
	return c.validate()
}

// validate is Validate with the address.
func (c ClientConfig) validate() error {
	if c.Resolver != nil {
		if err := c.validateResolver(); err != nil {
			return inField("Balance", err)
		}
		c.Target.Address = "address:0" // each server has its own
	}
	if err := c.Target.Validate(); err != nil {
		return inField("", err)
	}
	if err := c.Format.Writable(); err != nil {
		return fmt.Errorf("gtcp: ClientConfig.Format: %w", err)
	}
	if c.Envelope && c.Format.Strip < 0 {
		return errors.New("gtcp: ClientConfig.Envelope needs a Format whose Strip is 0: an envelope begins the payload")
	}
	if err := c.Retry.Validate(); err != nil {
		return fmt.Errorf("gtcp: ClientConfig.Retry: %w", err)
	}
	if _, err := newClientHooks(c.Hooks); err != nil {
		return err
	}
	if err := c.poolConfig().Validate(); err != nil {
		return inField("Pool", err)
	}
	if err := c.pipelineConfig().Validate(); err != nil {
		if e := (*pipeline.ConfigError)(nil); c.Match != nil && errors.As(err, &e) && e.Field == "Match" {
			return inField("Match", err)
		}
		return inField("Pipeline", err)
	}
	if hb := c.Pipeline.Heartbeat; hb.Interval > 0 {
		if _, err := c.Format.Append(nil, hb.Request); err != nil {
			return fmt.Errorf("gtcp: ClientConfig.Pipeline.Heartbeat: Request does not fit Format: %w", err)
		}
	}
	return nil
}

// inField puts ClientConfig's name of the field before the error of a part.
func inField(field string, err error) error {
	if e := (*conn.ConfigError)(nil); errors.As(err, &e) {
		field = e.Field
	}
	return fmt.Errorf("gtcp: ClientConfig.%s: %w", field, err)
}

// poolConfig is Pool, where the probe is left to the calls unless it is
// configured.
func (c ClientConfig) poolConfig() pool.Config {
	p := c.Pool
	if p.Probe.Mode == pool.ProbeDefault && p.Probe.After == 0 && p.Probe.Func == nil {
		p.Probe.Mode = pool.ProbeByCaller
	}
	p.Hooks = c.withPhases(p.Hooks)
	return p
}

// withPhases returns the hooks of a pool or a pipeline, and the client's own if
// hooks are told of attempts.
func (c ClientConfig) withPhases(hooks []any) []any {
	if own, _ := newClientHooks(c.Hooks); own.attempts != nil {
		return append(slices.Clip(hooks), phasesHook{})
	}
	return hooks
}

func (c ClientConfig) pipelineConfig() pipeline.Config {
	p := c.Pipeline
	if c.Match != nil {
		p.Match = c.Match
	}
	if len(c.Goodbye) > 0 {
		p.Goodbye = c.Goodbye
	}
	p.Envelope = p.Envelope || c.Envelope
	var limit callTimeout
	limit.init(c.CallTimeout)
	p.CallTimeout = limit.limit
	p.Hooks = c.withPhases(p.Hooks)
	return p
}
