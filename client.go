package gtcp

import (
	"context"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/retry"
)

// Client calls one server that answers each request frame with one reply
// frame, in order: any server of gtcp's package protocol that answers what it
// reads, or of another [framing.Format]. Its methods may be called from many
// goroutines.
//
// Each call has a connection of a pool to itself, or, with
// ClientConfig.Shared, all calls share a few pipelined connections: fewer
// system calls and ten times the throughput where many callers are at work,
// at the price that a slow reply holds up the ones behind it.
//
// A call is repeated by itself only where no byte of it has left the process,
// or where it is declared idempotent.
type Client struct {
	addr     string
	config   ClientConfig
	pool     *pool.Pool
	pipeline *pipeline.Pipeline
	exchange exchanges
	encode   framing.Encoder
	err      error // of the configuration
}

// CallOptions are what one call does differently from its Client's others.
// The zero value is no difference.
type CallOptions struct {
	// Retry replaces ClientConfig.Retry, if it is not nil.
	Retry *retry.Policy
	// Idempotent declares that the server may execute this request twice, so
	// that it may be repeated although it may have been seen.
	Idempotent bool
}

// NewClient returns a client of the server at addr, which dials when first
// called. Close it to release its connections. The zero ClientConfig works.
//
// An address or configuration that cannot be used is the error of every call
// and of Close; ask for it early with [ClientConfig.Validate].
func NewClient(addr string, config ClientConfig) *Client {
	c := &Client{addr: addr, config: config}
	if c.err = config.validate(addr); c.err != nil {
		return c
	}
	c.exchange.format = config.Format
	if c.encode, c.err = framing.NewEncoder(config.Format); c.err != nil {
		return c
	}
	if config.Shared {
		c.pipeline, c.err = pipeline.New(config.pipelineConfig(addr))
	} else {
		cfg := config.poolConfig(addr)
		c.exchange.asks = cfg.BorrowerAsks
		c.pool, c.err = pool.New(cfg)
	}
	return c
}

// Call sends a request and returns the reply, in memory of its own. The
// request is not used after Call returns.
//
// The error is that of the last attempt. It is ctx's error too if ctx ended
// the call, an [*pool.Error] where there was no connection to be had, and then
// a [*CallError] or, of a shared client, a [*pipeline.Error]. Ask
// [retry.SafeToRetry] whether the call may be made again, with no harm and some
// hope: it says no where the server may have seen the request, be it in an
// earlier attempt only (the error is in a [*CallError] then), where the
// configuration is invalid and where the client is closed. A request
// that the format cannot express fails with the error of [framing.Format].Append.
func (c *Client) Call(ctx context.Context, request []byte) ([]byte, error) {
	return c.CallWith(ctx, nil, request, CallOptions{})
}

// AppendCall is Call that appends the reply to dst and returns the result.
// Where dst has room it allocates nothing, but for a ctx that can end: then
// an exclusive client does, and a shared one whose connection is otherwise
// idle. With an error it returns dst as it was. dst must not be touched until
// AppendCall returns.
func (c *Client) AppendCall(ctx context.Context, dst, request []byte) ([]byte, error) {
	return c.CallWith(ctx, dst, request, CallOptions{})
}

// CallWith is AppendCall with options of its own.
func (c *Client) CallWith(ctx context.Context, dst, request []byte, options CallOptions) ([]byte, error) {
	if c.err != nil {
		return dst, c.err
	}
	policy := c.config.Retry
	if options.Retry != nil {
		policy = *options.Retry
	}
	policy.Idempotent = policy.Idempotent || options.Idempotent
	reply, seen := dst, false
	err := retry.Do(ctx, policy, func(ctx context.Context) (err error) {
		if c.pipeline != nil {
			reply, err = c.pipeline.AppendCall(ctx, dst, request)
		} else {
			reply, err = c.exclusive(ctx, dst, request)
		}
		seen = seen || err != nil && !retry.SafeToRetry(err)
		return err
	})
	switch {
	case err == nil:
		return reply, nil
	case seen && retry.SafeToRetry(err): // the last attempt alone is
		err = &CallError{Addr: c.addr, Written: true, Err: err}
	}
	return dst, err
}

// Close refuses new calls, waits until ctx ends for those in progress, and
// closes the connections; then it returns ctx's error if calls were cut off.
func (c *Client) Close(ctx context.Context) error {
	switch {
	case c.err != nil:
		return c.err
	case c.pipeline != nil:
		return c.pipeline.Close(ctx)
	}
	return c.pool.Close(ctx)
}

// ClientStat is a snapshot of a Client's connections.
type ClientStat struct {
	Pool     pool.Stat     // of an exclusive client
	Pipeline pipeline.Stat // of a shared one
}

// Stat returns a snapshot.
func (c *Client) Stat() (s ClientStat) {
	if c.pool != nil {
		s.Pool = c.pool.Stat()
	}
	if c.pipeline != nil {
		s.Pipeline = c.pipeline.Stat()
	}
	return s
}
