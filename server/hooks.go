package server

import (
	"context"
	"net"
	"time"
)

// RequestStartHook observes every request before it is handled. It can add a value
// to the context of the request, such as the span of a trace.
type RequestStartHook interface {
	// BeforeRequest returns the context of the request, made from ctx.
	// AfterRequest is given that one.
	BeforeRequest(ctx context.Context, e RequestStart) context.Context
}

// RequestHook observes the end of every request of a FrameHandler.
type RequestHook interface {
	// AfterRequest is called when the reply has been handed to the system, or
	// when it is certain that there will be none. The connection waits until
	// it returns.
	AfterRequest(ctx context.Context, e RequestEvent)
}

// AcceptErrorHook observes every temporary error of Accept.
type AcceptErrorHook interface {
	AfterAcceptError(addr net.Addr, err error)
}

// PanicHook observes every panic in a handler or a hook.
type PanicHook interface {
	// AfterPanic is called on the goroutine that panicked, with what it panicked
	// with and its stack.
	AfterPanic(connID uint64, value any, stack []byte)
}

// RequestStart is a request before it is handled.
type RequestStart struct {
	// ConnID is the number of its connection, the same in all events.
	ConnID uint64
	// Peer is the address of the client.
	Peer net.Addr
	// Bytes is the size of its payload.
	Bytes int
}

// RequestEvent is the outcome of a request.
type RequestEvent struct {
	// ConnID is the number of its connection, the same in all events.
	ConnID uint64
	// Peer is the address of the client.
	Peer net.Addr
	// RequestBytes is the size of its payload.
	RequestBytes int
	// ReplyBytes is the size of the reply's payload.
	ReplyBytes int
	// Start is when the server had read the whole request.
	Start time.Time
	// ReadTime is how long the rest of the request took to arrive, after the
	// server had read its beginning. It is 0 if the request came whole.
	ReadTime time.Duration
	// QueueTime is how long it waited to be handled: for a worker, with
	// Concurrency, and for the Limiter.
	QueueTime time.Duration
	// HandleTime is how long the handler took, Intercept included.
	HandleTime time.Duration
	// WriteTime is the time from the end of the handler until its reply
	// was written.
	WriteTime time.Duration
	// Err is the handler's error, ErrOverloaded where the Limiter refused the
	// request, or nil. It is ErrNoReply for a one-way request.
	Err error
	// Refused reports whether the handler was not called: for the request's size,
	// by the Limiter, or because the connection had ended.
	Refused bool
	// Panicked reports whether the handler panicked or ended its goroutine.
	Panicked bool
	// Replied reports whether a reply was handed to the system.
	Replied bool
}

// hooks are the elements of Server.Hooks by what they implement.
type hooks struct {
	before  []RequestStartHook
	after   []RequestHook
	accepts []AcceptErrorHook
	panics  []PanicHook
}

// sortHooks finds out what each hook implements, once.
func (s *Server) sortHooks() *hooks {
	s.sorting.Do(func() {
		for _, h := range s.Hooks {
			if h, ok := h.(RequestStartHook); ok {
				s.hooks.before = append(s.hooks.before, h)
			}
			if h, ok := h.(RequestHook); ok {
				s.hooks.after = append(s.hooks.after, h)
			}
			if h, ok := h.(AcceptErrorHook); ok {
				s.hooks.accepts = append(s.hooks.accepts, h)
			}
			if h, ok := h.(PanicHook); ok {
				s.hooks.panics = append(s.hooks.panics, h)
			}
		}
	})
	return &s.hooks
}

// isHook reports whether h implements one of the hook interfaces.
func isHook(h any) bool {
	switch h.(type) {
	case RequestStartHook, RequestHook, AcceptErrorHook, PanicHook:
		return true
	}
	return false
}

// observed is a request that hooks are told of.
type observed struct {
	ctx     context.Context
	event   RequestEvent
	began   time.Time // its handler; zero if that was not called
	handled time.Time // zero if the handler did not return
	silent  bool      // there is no reply
}

// observedKey is the key under which the context of such a request holds it.
type observedKey struct{}

// observe begins the observation of a request that has been read; nil if nobody
// observes.
func (s *session) observe(ctx context.Context, bytes int) *observed {
	hooks := s.srv.sortHooks()
	if len(hooks.before) == 0 && len(hooks.after) == 0 {
		return nil
	}
	o := &observed{event: RequestEvent{
		ConnID: s.id, Peer: s.conn.RemoteAddr(), RequestBytes: bytes, Start: time.Now(),
	}}
	o.ctx = context.WithValue(ctx, observedKey{}, o)
	for _, h := range hooks.before {
		s.guard(func() {
			o.ctx = h.BeforeRequest(o.ctx, RequestStart{ConnID: s.id, Peer: o.event.Peer, Bytes: bytes})
		})
	}
	return o
}

// observe is that of the session, for a request that the exchange has read.
func (x *exchange) observe(ctx context.Context, bytes int) *observed {
	o := x.sess.observe(ctx, bytes)
	if o != nil && !x.begun.IsZero() {
		o.event.ReadTime = o.event.Start.Sub(x.begun)
	}
	x.begun = time.Time{}
	return o
}

// noteBegun notes that the exchange waits for the rest of a request, for hooks.
func (x *exchange) noteBegun() {
	if len(x.sess.srv.Hooks) > 0 {
		x.begun = time.Now()
	}
}

// begin notes that the handler begins: behind the Limiter, if there is one.
func (o *observed) begin() { o.began = time.Now() }

// end notes the outcome of the handler, and whether there is a reply.
func (o *observed) end(reply []byte, err error, silent bool) {
	o.handled = time.Now()
	o.silent = silent
	if o.began.IsZero() { // it was not called
		o.began = o.handled
		o.event.Refused = true
	}
	o.event.QueueTime = o.began.Sub(o.event.Start)
	o.event.HandleTime = o.handled.Sub(o.began)
	o.event.ReplyBytes, o.event.Err = len(reply), err
}

// report tells the hooks of requests that are over.
func (s *session) report(all []*observed, written bool) {
	now := time.Now()
	for i, o := range all {
		all[i] = nil
		if o.handled.IsZero() {
			o.event.Panicked = !o.began.IsZero()
			o.end(nil, nil, true)
			if o.event.Refused {
				o.event.Err = errGone // the connection ended before its turn
			}
		}
		o.event.WriteTime = now.Sub(o.handled)
		o.event.Replied = written && !o.silent
		for _, h := range s.srv.hooks.after {
			s.guard(func() { h.AfterRequest(o.ctx, o.event) })
		}
	}
}

// guard calls a hook. One that panics is logged, and has the connection closed.
func (s *session) guard(hook func()) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if v := recover(); v != nil {
			s.srv.panicked(s, v)
		}
		_ = s.conn.Close()
	}()
	hook()
	returned = true
}
