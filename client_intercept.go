package gtcp

import (
	"context"
	"sync/atomic"
	"time"
)

// Invoker makes one call, or one attempt at a call: it sends request, appends
// the reply to dst and returns the result. With an error it returns dst as it
// was. See ClientConfig.Intercept.
type Invoker func(ctx context.Context, dst, request []byte) ([]byte, error)

// interceptedCall is the context of a call past ClientConfig.Intercept. It
// carries the options of the call.
type interceptedCall struct {
	context.Context
	client   *Client
	options  CallOptions
	attempts atomic.Int32
}

// interceptedKey finds the interceptedCall of a client's call.
type interceptedKey struct{ client *Client }

// Value implements context.Context.
func (c *interceptedCall) Value(key any) any {
	if key == (interceptedKey{c.client}) {
		return c
	}
	return c.Context.Value(key)
}

// intercepted returns the call that starts with around, or nil without it.
func (c *Client) intercepted(around func(next Invoker) Invoker) Invoker {
	if around == nil {
		return nil
	}
	return around(c.limited(func(ctx context.Context, dst, request []byte) ([]byte, error) {
		call, _ := ctx.Value(interceptedKey{c}).(*interceptedCall)
		if call == nil {
			call = &interceptedCall{} // the interceptor made a context of its own
		}
		reply, attempts, err := c.attempts(ctx, nil, dst, request, call.options)
		call.attempts.Add(int32(attempts))
		return reply, err
	}))
}

// limited is next for a context that may be an interceptor's own, without the limit
// of ClientConfig.CallTimeout.
func (c *Client) limited(next Invoker) Invoker {
	return func(ctx context.Context, dst, request []byte) ([]byte, error) {
		limited, cancel := c.limit.context(ctx)
		if cancel == nil {
			return next(ctx, dst, request)
		}
		defer cancel()
		reply, err := next(limited, dst, request)
		if err != nil {
			c.limit.explain(err, ctx, limited)
		}
		return reply, err
	}
}

// intercept makes a call with the interceptor around it, if there is one.
func (c *Client) intercept(ctx context.Context, limit *sharedDeadline, dst, request []byte, options CallOptions) (reply []byte, attempts int, err error) {
	if c.invoke == nil {
		return c.attempts(ctx, limit, dst, request, options)
	}
	call := &interceptedCall{Context: ctx, client: c, options: options}
	reply, err = c.invoke(call, dst, request)
	return reply, int(call.attempts.Load()), err
}

// attempts makes the attempts of a call. The first one needs no package retry
// if there is nothing around it but hooks.
func (c *Client) attempts(ctx context.Context, limit *sharedDeadline, dst, request []byte, options CallOptions) (reply []byte, attempts int, err error) {
	if !options.plain() || !c.plainRetry() || ctx.Err() != nil {
		return c.do(ctx, limit, dst, request, options)
	}
	r := run{options: options}
	r.policy.Idempotent = options.Idempotent || c.retry.Idempotent
	first, err := c.begin(ctx, &r)
	if err == nil {
		first.limit = limit
		if reply, err = first.call(ctx, dst, request); err == nil {
			return reply, 1, nil
		}
	}
	return c.resume(ctx, limit, dst, request, options, r.tried, err)
}

// observed makes a call with the hooks told of it.
func (c *Client) observed(ctx context.Context, limit *sharedDeadline, dst, request []byte, options CallOptions) ([]byte, error) {
	end := CallEnd{Addr: c.addr, Start: time.Now(), RequestSize: len(request)}
	var few [4]context.Context
	contexts := few[:0]
	for _, h := range c.hooks.calls {
		of := h.StartCall(ctx, CallStart{Addr: c.addr, RequestSize: len(request)})
		contexts = append(contexts, of)
		if of != nil {
			ctx = of
		}
	}
	reply, attempts, err := c.intercept(ctx, limit, dst, request, options)
	end.Duration, end.Attempts, end.Err = time.Since(end.Start), attempts, err
	if err == nil {
		end.ReplySize = max(len(reply)-len(dst), 0)
	}
	for i := len(contexts) - 1; i >= 0; i-- {
		if contexts[i] != nil {
			c.hooks.calls[i].EndCall(contexts[i], end)
		}
	}
	return reply, err
}
