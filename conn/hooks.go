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
