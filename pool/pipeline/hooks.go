package pipeline

import (
	"context"
	"time"
)

// A Config.Hook implements any of the three interfaces below. Hooks observe:
// they return nothing and change nothing. They are called without a lock, from
// many goroutines at a time, and what they do takes the time of the caller.
// AfterDial and AfterEnd must not call Close, which waits for them.

// CallHook is told of every call.
type CallHook interface {
	AfterCall(ctx context.Context, e CallEvent)
}

// DialHook is told of every dial, before a call is made on its connection. ctx
// is the dial's and has the values of the call that asked for it.
type DialHook interface {
	AfterDial(ctx context.Context, e DialEvent)
}

// EndHook is told of every connection that has ended, after its calls.
type EndHook interface {
	AfterEnd(e EndEvent)
}

// CallEvent is the outcome of a call.
type CallEvent struct {
	Addr     string // Config.Address
	Start    time.Time
	Duration time.Duration
	Err      error // what the call returned
}

// DialEvent is the outcome of a dial.
type DialEvent struct {
	Addr     string // Config.Address
	Start    time.Time
	Duration time.Duration
	Err      error
}

// EndEvent is the end of a connection.
type EndEvent struct {
	Addr    string // the peer's
	Reason  Reason
	Cause   error // as in the [Error] of the calls it was fatal to
	Replies uint64
}

// hooks are the interfaces that Config.Hook implements, nil where it does not.
type hooks struct {
	call CallHook
	dial DialHook
	end  EndHook
}

func newHooks(h any) hooks {
	var hs hooks
	hs.call, _ = h.(CallHook)
	hs.dial, _ = h.(DialHook)
	hs.end, _ = h.(EndHook)
	return hs
}
