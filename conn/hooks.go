package conn

import (
	"context"
	"net"
	"time"
)

// DialHook observes every dial. Config.Hooks of pool and pipeline take a value
// that implements it; the same value can serve both.
type DialHook interface {
	// AfterDial is called when a dial has ended, AfterConnect included. ctx
	// is the context of the dial and has the values of the call that asked
	// for it.
	AfterDial(ctx context.Context, e DialEvent)
}

// DialStartHook observes the start of a dial. It can add a value to the
// context of the dial, such as the span of a trace.
type DialStartHook interface {
	// BeforeDial returns the context of the dial, made from ctx.
	BeforeDial(ctx context.Context, addr string) context.Context
}

// Phases says when the parts of a call were over. Events of the Client, the
// pipeline and the pool have it. Each field but Dialed is the time since the
// Start of the event. Zero means that the call did not get that far.
type Phases struct {
	// Acquired is when the call had a connection. Until then it waited for its
	// turn or for a dial.
	Acquired time.Duration
	// Dialed is how much of Acquired the dial of that connection took. It is
	// zero if the connection was open before.
	Dialed time.Duration
	// Written is when the write of the request began.
	Written time.Duration
	// FirstByte is when the first byte of the reply had been read. It can be
	// zero for a call on a shared connection that was given up.
	FirstByte time.Duration
}

// DialEvent is the outcome of a dial.
type DialEvent struct {
	// Addr is Target.Address: the address that was asked for.
	Addr string
	// Peer is the address of the peer that was reached. It is nil if the dial
	// failed.
	Peer net.Addr
	// ID is the number of the new connection, the same in all events of its
	// pool or pipeline. It is 0 if the dial failed.
	ID uint64
	// Start is when the dial began.
	Start time.Time
	// Duration is how long the dial took, AfterConnect included.
	Duration time.Duration
	// Err is why the dial failed, or nil.
	Err error
}
