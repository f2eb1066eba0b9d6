package envelope

import (
	"context"
	"sync"
	"time"
)

// RequestContext is the context of a request at a server. It ends when the
// caller's time has passed, and carries the envelope: see [FromContext] and
// [TraceFromContext]. It needs no timer until somebody asks for its Done
// channel. server.FrameHandler makes it; a program that handles frames itself
// can use it too. Call Begin before any other method, and End after the
// request.
type RequestContext struct {
	context.Context
	envelope Envelope
	deadline time.Time // zero if there is none

	mu     sync.Mutex         // guards what follows
	timed  context.Context    // made when Done is first asked for
	cancel context.CancelFunc // of timed
	over   bool
}

// Begin makes c a child of parent for a request with the envelope e, which
// arrived at the given time. c must not have been used before.
func (c *RequestContext) Begin(parent context.Context, e *Envelope, arrived time.Time) {
	c.Context, c.envelope = parent, *e
	if e.Timeout != 0 {
		c.deadline = arrived.Add(e.Timeout)
	}
}

// End releases what c uses. If the caller has a time limit, it also ends c.
func (c *RequestContext) End() {
	if c.deadline.IsZero() {
		return
	}
	c.mu.Lock()
	c.over = true
	cancel := c.cancel
	c.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

// Deadline implements context.Context.
func (c *RequestContext) Deadline() (time.Time, bool) {
	at, ok := c.Context.Deadline()
	if c.deadline.IsZero() || ok && at.Before(c.deadline) {
		return at, ok
	}
	return c.deadline, true
}

// Done implements context.Context.
func (c *RequestContext) Done() <-chan struct{} {
	if c.deadline.IsZero() {
		return c.Context.Done()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timed == nil {
		c.timed, c.cancel = context.WithDeadline(c.Context, c.deadline)
		if c.over {
			c.cancel()
		}
	}
	return c.timed.Done()
}

// Err implements context.Context.
func (c *RequestContext) Err() error {
	if c.deadline.IsZero() {
		return c.Context.Err()
	}
	c.mu.Lock()
	timed, over := c.timed, c.over
	c.mu.Unlock()
	switch {
	case timed != nil:
		return timed.Err()
	case c.Context.Err() != nil:
		return c.Context.Err()
	case !time.Now().Before(c.deadline):
		return context.DeadlineExceeded
	case over:
		return context.Canceled
	}
	return nil
}

// requestKey finds the innermost RequestContext of a context.
type requestKey struct{}

// Value implements context.Context.
func (c *RequestContext) Value(key any) any {
	switch key.(type) {
	case requestKey, traceKey:
		return c
	}
	c.mu.Lock()
	timed := c.timed
	c.mu.Unlock()
	if timed != nil { // by which package context hangs its children on it
		return timed.Value(key)
	}
	return c.Context.Value(key)
}

// FromContext returns the envelope of the request that ctx belongs to, or nil.
// Its slices are valid until the handler returns.
func FromContext(ctx context.Context) *Envelope {
	if c, ok := ctx.Value(requestKey{}).(*RequestContext); ok {
		return &c.envelope
	}
	return nil
}

// methodKey finds the method that a context carries.
type methodKey struct{}

// named is a context that carries a method.
type named struct {
	context.Context
	method string
}

func (c *named) Value(key any) any {
	if key == (methodKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// ContextWithMethod returns a child of ctx that carries the method which a
// client sends in the envelope of its calls. It allocates once.
func ContextWithMethod(ctx context.Context, method string) context.Context {
	return &named{ctx, method}
}

// MethodFromContext returns the method of [ContextWithMethod], or "". It is not
// the method of the request that a handler handles: that is in [FromContext].
func MethodFromContext(ctx context.Context) string {
	if c, ok := ctx.Value(methodKey{}).(*named); ok {
		return c.method
	}
	return ""
}
