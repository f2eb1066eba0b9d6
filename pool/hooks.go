package pool

import (
	"context"
	"time"
)

// A Config.Hook implements any of the four interfaces below. Hooks observe:
// they return nothing and change nothing. They are called without a lock, in
// the order of events for one connection, from many goroutines at a time, and
// what they do takes the time of the caller. The times in events are enough
// to make a span of a trace after the fact.

// GetHook is told of every Get.
type GetHook interface {
	AfterGet(ctx context.Context, e GetEvent)
}

// ReleaseHook is told of every loan that ends.
type ReleaseHook interface {
	AfterRelease(e ReleaseEvent)
}

// DialHook is told of every dial, AfterConnect included. ctx is the dial's and
// has the values of the Get that asked for it.
type DialHook interface {
	AfterDial(ctx context.Context, e DialEvent)
}

// EvictHook is told of every connection that has ended.
type EvictHook interface {
	AfterEvict(e EvictEvent)
}

// GetEvent is the outcome of a Get.
type GetEvent struct {
	Addr     string
	Start    time.Time
	Duration time.Duration
	Reused   bool  // as Conn.Reused; false with an error
	Err      error // what Get returned
}

// ReleaseEvent is the end of a loan.
type ReleaseEvent struct {
	Addr   string
	Used   time.Duration // how long it was lent
	Kept   bool
	Reason Reason // why it was not kept; zero if it was
}

// DialEvent is the outcome of a dial.
type DialEvent struct {
	Addr     string
	Start    time.Time
	Duration time.Duration
	Err      error
}

// EvictEvent is the end of a connection.
type EvictEvent struct {
	Addr   string
	Reason Reason
	Age    time.Duration
	Uses   uint64 // how often it was lent
}

// hooks is a Config.Hook taken apart.
type hooks struct {
	get     GetHook
	release ReleaseHook
	dial    DialHook
	evict   EvictHook
}

func newHooks(v any) (h hooks) {
	h.get, _ = v.(GetHook)
	h.release, _ = v.(ReleaseHook)
	h.dial, _ = v.(DialHook)
	h.evict, _ = v.(EvictHook)
	return h
}

// getObserved is take with the hook told of it. The loan ends if the hook
// panics, for its caller will never have it.
func (p *Pool) getObserved(ctx context.Context) (*Conn, error) {
	start := p.now()
	c, err := p.take(ctx)
	told := false
	defer func() {
		if !told && c != nil {
			c.Evict()
		}
	}()
	p.hooks.get.AfterGet(ctx, GetEvent{
		Addr: p.cfg.Address, Start: p.time(start), Duration: time.Duration(p.now() - start),
		Reused: c != nil && c.Reused(), Err: err,
	})
	told = true
	return c, err
}

// released tells the hook of the end of a loan, when the member has been given
// back and nothing is lost if the hook panics.
func (p *Pool) released(used time.Duration, why Reason) {
	if h := p.hooks.release; h != nil {
		h.AfterRelease(ReleaseEvent{Addr: p.cfg.Address, Used: used, Kept: why == kept, Reason: why})
	}
}
