package pool

import (
	"context"
	"net"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// Each element of Config.Hooks implements one or more of the interfaces below,
// or of [conn.DialHook] and [conn.DialStartHook]. Hooks observe: they change
// nothing, except that those that begin something return its context. They are
// called without a lock, in the order of events for one connection, from many
// goroutines at a time, and what they do takes the time of the caller. A panic
// of a hook goes to the caller of Get, Close or Replace, and the connection is
// closed. On a goroutine of the pool it is the error of the dial, or that of the
// pool's Close or Shutdown. No panic costs a connection's place. A hook that
// blocks delays what it observes, and Close and Shutdown.

// GetStartHook observes the start of every Get. It can add a value to the
// context of the Get, such as the span of a trace.
type GetStartHook interface {
	// BeforeGet returns the context of the Get, made from ctx. If it returns
	// nil, the context stays ctx, and AfterGet of the same hook is not called.
	BeforeGet(ctx context.Context, addr string) context.Context
}

// GetHook observes the end of every Get. ctx is the context of the Get.
type GetHook interface {
	AfterGet(ctx context.Context, e GetEvent)
}

// ReleaseHook observes the end of every checkout. ctx is the context of the
// Get. It may have ended.
type ReleaseHook interface {
	AfterRelease(ctx context.Context, e ReleaseEvent)
}

// EvictHook observes the end of every connection.
type EvictHook interface {
	AfterEvict(e EvictEvent)
}

// GetEvent is the outcome of a Get.
type GetEvent struct {
	// Addr is the address of the pool's target.
	Addr string
	// ID is the number of the connection, 0 with an error.
	ID uint64
	// Peer is the address of the peer, nil with an error.
	Peer net.Addr
	// Start is when the Get began.
	Start time.Time
	// Duration is how long it took.
	Duration time.Duration
	// Dialed is how much of Duration the dial of that connection took. It is
	// 0 if the connection was open before, and with an error.
	Dialed time.Duration
	// IdleFor is how long the connection was idle before, 0 if it was dialed
	// for this Get.
	IdleFor time.Duration
	// Reused is as Conn.Reused. It is false with an error.
	Reused bool
	// Err is what Get returned.
	Err error
}

// ReleaseEvent is the end of a checkout.
type ReleaseEvent struct {
	// Addr is the address of the pool's target.
	Addr string
	// ID is the number of the connection.
	ID uint64
	// Used is how long the connection was checked out.
	Used time.Duration
	// BytesRead counts the bytes received during the checkout.
	BytesRead uint64
	// BytesWritten counts the bytes sent during the checkout.
	BytesWritten uint64
	// Kept reports whether the connection was kept for other callers.
	Kept bool
	// Reason is why it was not kept, or zero.
	Reason Reason
	// Err is the error behind the reason, or nil if there is none.
	Err error
}

// EvictEvent is the end of a connection.
type EvictEvent struct {
	// Addr is the address of the pool's target.
	Addr string
	// ID is the number of the connection.
	ID uint64
	// Peer is the address of the peer.
	Peer net.Addr
	// Reason is why the connection ended.
	Reason Reason
	// Err is the error behind the reason, or nil if there is none.
	Err error
	// Age is the time since its dial began.
	Age time.Duration
	// Uses is how often it was checked out.
	Uses uint64
	// BytesRead counts the bytes received over its life.
	BytesRead uint64
	// BytesWritten counts the bytes sent over its life.
	BytesWritten uint64
}

// getHooks are what one element of Config.Hooks hears of a Get, or nil.
type getHooks struct {
	begin GetStartHook
	end   GetHook
}

// hooks are the elements of Config.Hooks, by what they observe.
type hooks struct {
	gets       []getHooks
	release    []ReleaseHook
	beforeDial []conn.DialStartHook
	dial       []conn.DialHook
	evict      []EvictHook
}

// noHooks are those of a pool without.
var noHooks hooks

// add sorts v in, and reports whether it is a hook at all.
func (h *hooks) add(v any) bool {
	some := false
	var get getHooks
	get.begin, _ = v.(GetStartHook)
	get.end, _ = v.(GetHook)
	if get != (getHooks{}) {
		h.gets = append(h.gets, get)
		some = true
	}
	take(v, &h.release, &some)
	take(v, &h.beforeDial, &some)
	take(v, &h.dial, &some)
	take(v, &h.evict, &some)
	return some
}

func take[T any](v any, to *[]T, some *bool) {
	if hook, ok := v.(T); ok {
		*to = append(*to, hook)
		*some = true
	}
}

// getObserved is acquire with the hooks told of it. The checkout ends if a hook
// panics, for its caller will never have it.
func (p *Pool) getObserved(ctx context.Context) (*Conn, error) {
	var few [8]bool
	told, wanted := few[:0], false
	for _, h := range p.hooks.gets {
		tell := h.end != nil
		if h.begin != nil {
			if of := h.begin.BeforeGet(ctx, p.target.Address); of != nil {
				ctx = of
			} else {
				tell = false
			}
		}
		told = append(told, tell)
		wanted = wanted || tell
	}
	if !wanted {
		c, _, err := p.acquire(ctx)
		return c, err
	}
	return p.getTold(ctx, told)
}

// getTold is acquire with those of the hooks told of its end that want to be.
func (p *Pool) getTold(ctx context.Context, told []bool) (*Conn, error) {
	start := p.clock.now()
	c, idle, err := p.acquire(ctx)
	done := false
	defer func() {
		if !done && c != nil {
			c.Evict()
		}
	}()
	e := GetEvent{
		Addr: p.target.Address, Start: p.clock.time(start), Duration: time.Duration(p.clock.now() - start), Err: err,
	}
	if c != nil {
		e.ID, e.Peer, e.Reused = c.ID(), c.RemoteAddr(), c.Reused()
		e.Dialed = time.Duration(max(c.life.ready-max(c.life.born, start), 0))
		if e.Reused {
			e.IdleFor = idle
		}
	}
	for i, h := range p.hooks.gets {
		if told[i] {
			h.end.AfterGet(ctx, e)
		}
	}
	done = true
	return c, err
}
