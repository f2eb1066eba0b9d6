package gtcp

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/framing/envelope"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/balance"
	"github.com/seed-99d6a01a/gtcp/retry"
)

// Client calls a server that replies to each request frame with one frame. The
// frames are those of gtcp's package protocol, or of another [framing.Format].
// With ClientConfig.Resolver it calls a service of many servers. Its methods
// are safe for concurrent use.
//
// By default each call has a connection of a pool to itself while it lasts.
// With ClientConfig.Shared, all calls share a few pipelined connections. The
// throughput with many callers is then about ten times as high. But without
// ClientConfig.Match a slow reply delays the replies behind it.
//
// A call is repeated automatically only if no byte of it has left the process,
// or if it is declared idempotent.
type Client struct {
	// Some programs have thousands of clients, so what few of them need is behind a
	// pointer, and what the pool or the pipeline has of the configuration is not kept
	// here too.
	addr      string
	retry     retry.Policy
	err       error // of the configuration
	encode    framing.Encoder
	states    callStates
	hooks     *clientHooks // never nil
	invoke    Invoker      // the call with ClientConfig.Intercept, nil without it
	shared    bool         // ClientConfig.Shared
	wrapped   bool         // ClientConfig.Envelope
	watched   bool         // there is an interceptor or a hook around the call
	attempted bool         // there is an interceptor around each attempt
	plain     bool         // the first attempt needs nothing but a connection
	direct    bool         // and it is made by a pipeline
	plainSet  bool         // the same of a client of many servers
	inContext bool         // CallTimeout is in the context of each call
	limit     callTimeout
	count     clientCounters
	latency   atomic.Pointer[latencies]    // of calls with CallOptions.Hedge, nil before the first
	one       endpoint                     // without ClientConfig.Resolver
	set       *balance.Balancer[*endpoint] // with it, else nil
	totals    *totals                      // with it, else nil
}

// CallOptions are the settings of one call. The zero value changes nothing.
type CallOptions struct {
	// Retry replaces ClientConfig.Retry, if it is not nil.
	Retry *retry.Policy
	// Idempotent declares that the server may execute this request more than
	// once, so it may be repeated after it was written.
	Idempotent bool
	// Hedge is how long an attempt may take before a second one begins in parallel.
	// The second one uses another connection, and another server if there are
	// several. The first reply counts. It has an effect only for an idempotent
	// call. It takes one retry from Retry.Budget. Zero or negative means no second
	// attempt. [HedgeAuto] means the 95th percentile of the recent durations of
	// such calls.
	Hedge time.Duration
	// Key keeps calls together: with the policy [balance.Hash], calls with the
	// same key go to the same server. Empty means no key.
	Key string
	// Method is sent in the envelope, with ClientConfig.Envelope: at most 255
	// bytes. It is also in the context of hooks and interceptors; see
	// [envelope.MethodFromContext].
	Method string
}

// NewClient returns a client of the server at addr. If addr is empty,
// config.Target.Address is used. With config.Resolver, addr is only the name of the
// service in errors and hooks. The client connects when it is first called. The
// zero ClientConfig works. Call Close or Shutdown to release its connections.
//
// If addr or config is invalid, each call and Close returns that error. Use
// [ClientConfig.Validate] to see it earlier.
func NewClient(addr string, config ClientConfig) *Client {
	c := &Client{addr: cmp.Or(addr, config.Target.Address)}
	if config.Resolver == nil {
		config.Target.Address = c.addr
	}
	config = config.withEnvelope()
	c.retry, c.shared, c.wrapped = config.Retry, config.Shared, config.Envelope
	c.hooks, c.count.calls = &clientHooks{}, new(callCounter)
	if c.err = config.validate(); c.err != nil {
		return c
	}
	if len(config.Hooks) > 0 {
		*c.hooks, _ = newClientHooks(config.Hooks) // validated
	}
	if c.encode, c.err = framing.NewEncoder(config.Format); c.err != nil {
		return c
	}
	c.states.pool = statePoolOf(config.Format)
	c.states.asks = config.poolConfig().Probe.Mode == pool.ProbeByCaller
	c.states.kept = config.Pool.LeakReport != nil || config.Pool.Probe.Func != nil || len(config.Pool.Hooks) > 0
	c.states.match = config.Match
	c.states.wrapped = config.Envelope
	if len(config.Goodbye) > 0 {
		c.states.goodbye = bytes.Clone(config.Goodbye)
	}
	c.limit.init(config.CallTimeout)
	c.invoke = c.intercepted(config.Intercept)
	c.watched = c.invoke != nil || c.hooks.calls != nil
	if config.Resolver != nil {
		c.set, c.err = c.balanced(config)
	} else {
		c.err = c.one.open(c, &config, config.Target)
	}
	c.attempted = config.InterceptAttempt != nil
	plain := c.err == nil && c.isPlain()
	c.plain, c.plainSet = plain && c.set == nil, plain && c.set != nil
	c.direct = plain && config.Shared && !config.Envelope && (c.limit.limit == 0 || c.limit.limit >= leastShared)
	c.inContext = config.Intercept != nil || c.attempted || c.limit.limit < leastShared && c.limit.limit > 0
	return c
}

// Addr returns the address of the server, as given to NewClient.
func (c *Client) Addr() string { return c.addr }

// Call sends a request and returns the reply, in memory of its own. The client
// does not use request after Call returns.
//
// The error is a *[CallError], for exclusive and shared clients. It unwraps to
// the error of the last attempt. If ctx ended the call, it unwraps to the
// error of ctx too. [retry.SafeToRetry] reports whether the call can be made
// again safely and might then succeed.
func (c *Client) Call(ctx context.Context, request []byte) ([]byte, error) {
	return c.AppendCall(ctx, nil, request)
}

// AppendCall is Call that appends the reply to dst and returns the result. With
// an error it returns dst as it was. Do not use dst until AppendCall returns.
//
// It allocates nothing if dst has room, with one exception. An exclusive
// client allocates if ctx can end. A shared client allocates if ctx can end and
// its connection is otherwise idle.
func (c *Client) AppendCall(ctx context.Context, dst, request []byte) ([]byte, error) {
	if !c.direct { // or the configuration is invalid
		return c.CallWith(ctx, dst, request, CallOptions{})
	}
	if c.set != nil {
		return c.appendOfSet(ctx, dst, request)
	}
	// Few frames on the stack: see CallOptions.plain.
	c.count.calls.n.Add(1)
	limit := c.limit.of(ctx)
	reply, err := c.one.pipeline.AppendCall(ctx, dst, request)
	if err == nil {
		return reply, nil
	}
	return c.failedDirect(ctx, limit, dst, request, balance.Tried{}, c.one.failedShared(err))
}

// appendOfSet is AppendCall of a shared client of many servers.
func (c *Client) appendOfSet(ctx context.Context, dst, request []byte) (reply []byte, err error) {
	if !c.set.Known() {
		return c.CallWith(ctx, dst, request, CallOptions{})
	}
	c.count.calls.n.Add(1)
	limit := c.limit.of(ctx)
	checkout, err := c.set.Pick(ctx, balance.Request{Idempotent: c.retry.Idempotent})
	if err != nil {
		return c.failedDirect(ctx, limit, dst, request, balance.Tried{}, attemptError(c.addr, false, err))
	}
	if reply, err = pipelined(ctx, &checkout, dst, request); err == nil {
		return reply, nil
	}
	var tried balance.Tried
	tried.Add(checkout.Node)
	return c.failedDirect(ctx, limit, dst, request, tried, err)
}

// pipelined makes an attempt on the pipeline of a server, and tells the balancer how
// it went.
func pipelined(ctx context.Context, checkout *balance.Checkout[*endpoint], dst, request []byte) (reply []byte, err error) {
	err = errPanicked
	defer func() { checkout.Done(verdict(err)) }()
	if reply, err = checkout.Value.pipeline.AppendCall(ctx, dst, request); err != nil {
		err = checkout.Value.failedShared(err)
	}
	return reply, err
}

// failedDirect goes on with a call of AppendCall whose first attempt has failed.
func (c *Client) failedDirect(ctx context.Context, limit *sharedDeadline, dst, request []byte, tried balance.Tried, err error) ([]byte, error) {
	reply, _, err := c.resume(ctx, limit, dst, request, CallOptions{}, tried, err)
	if err != nil {
		c.count.failed(err)
		if limit != nil {
			c.limit.explain(err, ctx, limit)
		}
		return dst, err
	}
	return reply, nil
}

// CallWith is AppendCall with options for this call.
func (c *Client) CallWith(ctx context.Context, dst, request []byte, options CallOptions) ([]byte, error) {
	if c.err != nil {
		return dst, c.err
	}
	c.count.calls.n.Add(1)
	if options.Method != "" {
		ctx = envelope.ContextWithMethod(ctx, options.Method)
	}
	if c.inContext || c.set != nil && !c.set.Known() {
		return c.withContext(ctx, dst, request, options)
	}
	return c.within(ctx, c.limit.of(ctx), dst, request, options)
}

// withContext makes a call whose context has the limit of CallTimeout: there are
// interceptors, which may look at it, or the call may have to wait for the first set
// of servers.
func (c *Client) withContext(ctx context.Context, dst, request []byte, options CallOptions) ([]byte, error) {
	limited, cancel := c.limit.context(ctx)
	if cancel != nil {
		defer cancel()
	}
	reply, err := c.within(limited, nil, dst, request, options)
	if err != nil {
		c.limit.explain(err, ctx, limited)
	}
	return reply, err
}

// within makes a call that is over with limit, if that is not nil. That costs the
// first attempt no context of its own.
func (c *Client) within(ctx context.Context, limit *sharedDeadline, dst, request []byte, options CallOptions) (reply []byte, err error) {
	switch {
	case c.plain && options.plain():
		if reply, err = c.one.attempt(ctx, limit, dst, request); err == nil {
			return reply, nil
		}
		reply, _, err = c.resume(ctx, limit, dst, request, options, balance.Tried{}, err)
	case c.plainSet && options.plain():
		var tried balance.Tried
		if reply, tried, err = c.firstOfSet(ctx, limit, dst, request, &options); err == nil {
			return reply, nil
		}
		reply, _, err = c.resume(ctx, limit, dst, request, options, tried, err)
	case c.watched:
		reply, err = c.observed(ctx, limit, dst, request, options)
	default:
		reply, _, err = c.attempts(ctx, limit, dst, request, options)
	}
	if err != nil {
		c.count.failed(err)
		if limit != nil {
			c.limit.explain(err, ctx, limit)
		}
		return dst, err
	}
	return reply, nil
}

// plain reports whether the first attempt of a call with these options needs
// nothing but a connection. It is kept apart from what follows a failure,
// which needs much of the stack: with many callers, that costs more than the
// code.
func (o *CallOptions) plain() bool { return o.Retry == nil && o.Hedge <= 0 }

// isPlain is the same of the configuration.
func (c *Client) isPlain() bool {
	return !c.watched && !c.attempted && c.hooks.attempts == nil && c.plainRetry()
}

// plainRetry reports whether the first attempt needs nothing of package retry.
func (c *Client) plainRetry() bool {
	p := &c.retry
	return p.PerAttemptTimeout <= 0 && p.MaxElapsed <= 0 && p.Budget == nil
}

// run is one call while it lasts.
type run struct {
	progress
	options CallOptions
	policy  retry.Policy
	tried   balance.Tried
}

// start returns the state of a call that begins.
func (c *Client) start(options CallOptions) run {
	r := run{options: options, policy: c.retry}
	if options.Retry != nil {
		r.policy = *options.Retry
	}
	r.policy.Idempotent = r.policy.Idempotent || options.Idempotent
	if c.set != nil && r.policy.Backoff == nil {
		r.policy.Backoff = elsewhere{}
	}
	return r
}

// do makes the attempts of a call.
func (c *Client) do(ctx context.Context, limit *sharedDeadline, dst, request []byte, options CallOptions) (reply []byte, attempts int, err error) {
	ctx, cancel := limit.with(ctx)
	defer cancel()
	r := c.start(options)
	err = retry.Do(ctx, r.policy, func(ctx context.Context) (err error) {
		reply, err = c.next(ctx, &r, dst, request)
		return err
	})
	if err != nil {
		return dst, r.attempts, r.error(c.addr, err)
	}
	return reply, r.attempts, nil
}

// resume goes on with a call whose first attempt has failed,
// that has used the servers in tried.
func (c *Client) resume(ctx context.Context, limit *sharedDeadline, dst, request []byte, options CallOptions, tried balance.Tried, err error) (reply []byte, attempts int, _ error) {
	ctx, cancel := limit.with(ctx)
	defer cancel()
	r := c.start(options)
	r.attempts, r.tried = 1, tried
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		_ = r.failed(err)
		return dst, 1, r.error(c.addr, err)
	}
	err = retry.Resume(ctx, r.policy, r.failed(err), func(ctx context.Context) (err error) {
		reply, err = c.next(ctx, &r, dst, request)
		return err
	})
	if err != nil {
		return dst, r.attempts, r.error(c.addr, err)
	}
	return reply, r.attempts, nil
}

// next makes one attempt and notes how it went.
func (c *Client) next(ctx context.Context, r *run, dst, request []byte) ([]byte, error) {
	if r.attempts > 0 {
		c.count.failures().retries.Add(1)
	}
	reply, err := c.attempt(ctx, r, dst, request)
	if err != nil {
		err = r.failed(err)
	}
	return reply, err
}

// attempt makes one attempt, or two side by side.
func (c *Client) attempt(ctx context.Context, r *run, dst, request []byte) (reply []byte, err error) {
	if r.options.Hedge > 0 && r.policy.Idempotent {
		begun := time.Now()
		defer func() { c.latencies().learn(time.Since(begun), err) }()
		if delay, ok := c.hedgeDelay(&r.options); ok {
			return c.hedged(ctx, r, delay, dst, request)
		}
	}
	a, err := c.begin(ctx, r)
	if err != nil {
		return dst, err
	}
	return a.call(ctx, dst, request)
}

// callAttempt is one attempt at a call: its number and its endpoint.
type callAttempt struct {
	number   int
	endpoint *endpoint
	limit    *sharedDeadline             // of the call, nil if its context has it
	checkout balance.Checkout[*endpoint] // of a client of many servers
}

// begin chooses the endpoint of the next attempt.
func (c *Client) begin(ctx context.Context, r *run) (a callAttempt, err error) {
	r.attempts++
	a.number, a.endpoint = r.attempts, &c.one
	if c.set != nil {
		a.checkout, err = c.pick(ctx, r)
		a.endpoint = a.checkout.Value
	}
	return a, err
}

// call makes the attempt.
func (a *callAttempt) call(ctx context.Context, dst, request []byte) ([]byte, error) {
	if a.checkout.Node != nil {
		return a.balanced(ctx, dst, request)
	}
	return a.direct(ctx, dst, request)
}

// balanced makes the attempt, and tells the balancer how it went.
func (a *callAttempt) balanced(ctx context.Context, dst, request []byte) (reply []byte, err error) {
	err = errPanicked
	defer func() { a.checkout.Done(verdict(err)) }()
	reply, err = a.direct(ctx, dst, request)
	return reply, err
}

// direct makes the attempt, with the hooks told of it.
func (a *callAttempt) direct(ctx context.Context, dst, request []byte) ([]byte, error) {
	if a.endpoint.client.hooks.attempts != nil {
		return a.observed(ctx, dst, request)
	}
	return a.endpoint.call(ctx, a.limit, dst, request)
}

// Shutdown refuses new calls and waits for those in progress, then closes the
// connections. If ctx ends first, it closes them at once, the remaining calls
// fail, and Shutdown returns ctx's error.
func (c *Client) Shutdown(ctx context.Context) error {
	if c.err != nil {
		return c.err
	}
	if c.set != nil {
		return c.set.Shutdown(ctx)
	}
	return c.one.shutdown(ctx)
}

// Close closes the connections at once and refuses new calls. Calls in
// progress fail. Use [Client.Shutdown] to wait for them first.
func (c *Client) Close() error {
	if c.err != nil {
		return c.err
	}
	if c.set != nil {
		return c.set.Close()
	}
	return c.one.close()
}
