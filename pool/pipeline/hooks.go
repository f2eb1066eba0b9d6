package pipeline

import (
	"context"
	"fmt"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// CallHook is told of every call. Hooks observe: they return nothing and change
// nothing. They are called without a lock, from many goroutines at a time, and
// the caller waits for them. AfterDial and AfterEnd must not call Close or
// Shutdown, which wait for them.
type CallHook interface {
	// AfterCall is called when a call has ended. ctx is the caller's.
	AfterCall(ctx context.Context, e CallEvent)
}

// EndHook is told of every connection that has ended.
type EndHook interface {
	// AfterEnd is called after the calls of the connection have ended too.
	AfterEnd(e EndEvent)
}

// CallEvent is the outcome of a call.
type CallEvent struct {
	// Addr is Target.Address.
	Addr string
	// Start is when the call began.
	Start time.Time
	// Duration is how long the call took.
	Duration time.Duration
	// Err is what the call returned.
	Err error
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
	// Replies counts the replies that the connection brought to their callers.
	Replies uint64
}

// hooks are what Config.Hooks implement, by interface.
type hooks struct {
	call  []CallHook
	end   []EndHook
	start []conn.DialStartHook
	dial  []conn.DialHook
}

func newHooks(all []any) (hs hooks, err error) {
	for i, h := range all {
		known := false
		if h, ok := h.(CallHook); ok {
			hs.call, known = append(hs.call, h), true
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
