package pipeline

import (
	"context"
	"fmt"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// CallHook observes the end of every call. Hooks are called without a lock,
// from many goroutines at a time. The caller waits until they return. A panic
// of a call's hook goes to the caller, one of a dial's hook is the error of the
// dial, and one of AfterEnd is logged. AfterDial and AfterEnd must not call Close
// or Shutdown, because these wait for the hooks.
type CallHook interface {
	// AfterCall is called when a call has ended. ctx is the call's.
	AfterCall(ctx context.Context, e CallEvent)
}

// CallStartHook observes the start of a call. It can add a value to the context
// of the call, such as the span of a trace.
type CallStartHook interface {
	// BeforeCall returns the context of the call, derived from ctx. AfterCall
	// gets that context. If BeforeCall returns nil, the context stays ctx, and
	// AfterCall of the same hook is not called. If no hook wants to hear of the
	// end, the call costs no more than without hooks.
	BeforeCall(ctx context.Context, addr string) context.Context
}

// EndHook observes the end of every connection.
type EndHook interface {
	// AfterEnd is called after the calls of the connection have ended too.
	AfterEnd(e EndEvent)
}

// CallEvent is the outcome of a call.
type CallEvent struct {
	// Addr is Target.Address.
	Addr string
	// Peer is the address of the peer of the last connection that accepted the
	// call, empty if none did.
	Peer string
	// ID is the number of that connection, as in [conn.DialEvent]; 0 if there
	// was none.
	ID uint64
	// Start is when the call began.
	Start time.Time
	// Phases are those of the call on that connection. For a call that
	// another connection had accepted before, Acquired includes the time on
	// that one.
	conn.Phases
	// Duration is how long the call took.
	Duration time.Duration
	// RequestBytes is the size of the request.
	RequestBytes int
	// ReplyBytes is the size of the reply.
	ReplyBytes int
	// Err is what the call returned. An [*Error] says whether bytes of the
	// request may have left the process.
	Err error
}

// accepted notes the connection that has accepted the call.
func (e *CallEvent) accepted(s *sharedConn) {
	e.Peer, e.ID, e.Phases = s.addr, s.id, conn.Phases{Acquired: max(time.Since(e.Start), 1)}
	begun := s.begun
	if begun.Before(e.Start) {
		begun = e.Start
	}
	e.Dialed = max(s.ready.Sub(begun), 0)
}

// timed notes the times of c, which is out of the queue, or whose connection is
// locked. They are never zero, which says that the call did not get that far: a clock
// may stand still for longer than a call takes.
func (e *CallEvent) timed(s *sharedConn, c *call) {
	since := s.begun.Sub(e.Start)
	if c.wrote > 0 {
		e.Written = max(since+c.wrote-1, 1)
		e.Acquired = min(e.Acquired, e.Written) // it may have been written before accepted
	}
	if c.first > 0 {
		e.FirstByte = max(since+c.first-1, 1)
	}
}

// moment is the time now as a call notes it for hooks: since the dial of its
// connection began, plus 1, so that zero is never.
func (s *sharedConn) moment() time.Duration { return time.Since(s.begun) + 1 }

// awaitFrame waits for the first byte of a frame, and notes when it has been
// read if hooks are told of a call.
func (s *sharedConn) awaitFrame() error {
	if s.p.hooks.calls == nil {
		return nil
	}
	err := s.frames.Wait()
	if s.watched.Load() > 0 {
		s.readAt = s.moment()
	}
	return err
}

// readLocked notes when the first byte of the reply to c was read.
func (s *sharedConn) readLocked(c *call) {
	switch {
	case c.first > 0: // a lone caller has begun to read it
	case s.readAt < c.wrote: // behind another reply, for which no time was taken
		c.first = s.moment()
	default:
		c.first = s.readAt
	}
}

// EndEvent is the end of a connection.
type EndEvent struct {
	// Addr is the address of the peer.
	Addr string
	// ID is the number of the connection, as in [conn.DialEvent].
	ID uint64
	// Reason says why the connection ended.
	Reason Reason
	// Cause is the error behind the reason. The calls that were in flight
	// failed with an [Error] around it.
	Cause error
	// CreatedAt is when the dial of the connection began.
	CreatedAt time.Time
	// Calls counts the requests that the connection accepted.
	Calls uint64
	// Replies counts the replies of the connection that were returned to
	// callers.
	Replies uint64
	// BytesRead counts the bytes received over its life.
	BytesRead uint64
	// BytesWritten counts the bytes sent over its life.
	BytesWritten uint64
}

// callHooks are what one element of Config.Hooks hears of a call, or nil.
type callHooks struct {
	begin CallStartHook
	end   CallHook
}

// hooks are what Config.Hooks implement, by interface.
type hooks struct {
	calls []callHooks
	end   []EndHook
	start []conn.DialStartHook
	dial  []conn.DialHook
}

// noHooks are those of a pipeline without.
var noHooks hooks

func newHooks(all []any) (hs hooks, err error) {
	for i, h := range all {
		var of callHooks
		of.begin, _ = h.(CallStartHook)
		of.end, _ = h.(CallHook)
		known := of != callHooks{}
		if known {
			hs.calls = append(hs.calls, of)
		}
		if h, ok := h.(EndHook); ok {
			hs.end, known = append(hs.end, h), true
		}
		if h, ok := h.(conn.DialStartHook); ok {
			hs.start, known = append(hs.start, h), true
		}
		if h, ok := h.(conn.DialHook); ok {
			hs.dial, known = append(hs.dial, h), true
		}
		if !known {
			return hooks{}, &ConfigError{"Hooks", fmt.Sprintf("has an element %d, a %T, that implements none of the hook interfaces", i, h), nil}
		}
	}
	return hs, nil
}

// observed is a call with the hooks told of it.
func (p *Pipeline) observed(ctx context.Context, dst, request []byte) ([]byte, error) {
	var few [8]bool
	told, wanted := few[:0], false
	for _, h := range p.hooks.calls {
		tell := h.end != nil
		if h.begin != nil {
			if of := h.begin.BeforeCall(ctx, p.target.Address); of != nil {
				ctx = of
			} else {
				tell = false
			}
		}
		told = append(told, tell)
		wanted = wanted || tell
	}
	if !wanted {
		return p.call(ctx, dst, request, nil)
	}
	e := CallEvent{Addr: p.target.Address, Start: time.Now(), RequestBytes: len(request)}
	reply, err := p.call(ctx, dst, request, &e)
	e.Duration, e.Err, e.ReplyBytes = max(time.Since(e.Start), e.FirstByte), err, len(reply)-len(dst)
	for i, h := range p.hooks.calls {
		if told[i] {
			h.end.AfterCall(ctx, e)
		}
	}
	return reply, err
}
