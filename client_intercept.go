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

// observedCall is what a call carries in its context past
// ClientConfig.Intercept.
type observedCall struct {
	options  CallOptions
	attempts atomic.Int32
}

// observedKey finds the observedCall of a client's call.
type observedKey struct{ client *Client }

// intercepted returns the call that starts with ClientConfig.Intercept.
func (c *Client) intercepted() Invoker {
	around := c.config.Intercept
	if around == nil {
		around = func(next Invoker) Invoker { return next }
	}
	return around(func(ctx context.Context, dst, request []byte) ([]byte, error) {
		call, _ := ctx.Value(observedKey{c}).(*observedCall)
		if call == nil {
			call = &observedCall{} // the interceptor made a context of its own
		}
		reply, attempts, err := c.do(ctx, dst, request, call.options)
		call.attempts.Add(int32(attempts))
		return reply, err
	})
}

// observed makes a call with interceptors around it and hooks told of it.
func (c *Client) observed(ctx context.Context, dst, request []byte, options CallOptions) ([]byte, error) {
	call := &observedCall{options: options}
	end := CallEnd{Addr: c.addr, Start: time.Now(), RequestSize: len(request)}
	contexts := make([]context.Context, len(c.hooks.calls))
	for i, h := range c.hooks.calls {
		ctx = h.StartCall(ctx, CallStart{Addr: c.addr, RequestSize: len(request)})
		contexts[i] = ctx
	}
	reply, err := c.invoke(context.WithValue(ctx, observedKey{c}, call), dst, request)
	end.Duration, end.Attempts, end.Err = time.Since(end.Start), int(call.attempts.Load()), err
	if err == nil {
		end.ReplySize = max(len(reply)-len(dst), 0)
	}
	for i := len(contexts) - 1; i >= 0; i-- {
		c.hooks.calls[i].EndCall(contexts[i], end)
	}
	return reply, err
}
