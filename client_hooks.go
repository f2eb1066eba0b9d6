package gtcp

import (
	"context"
	"fmt"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// CallHook observes the calls of a [Client]. An element of ClientConfig.Hooks
// implements it, or [AttemptHook], or both. Hooks run on the caller's
// goroutine, with no lock held and no connection checked out, from many
// goroutines at a time. Their time adds to the time of the call. A panic of a
// hook goes to the caller.
type CallHook interface {
	// StartCall is called before a call. It returns the context of the call:
	// ctx, or one made from it, with a span for instance. If it returns nil,
	// the context stays ctx, and EndCall of this hook is not called.
	StartCall(ctx context.Context, e CallStart) context.Context
	// EndCall is called after the call, with the context that StartCall
	// returned.
	EndCall(ctx context.Context, e CallEnd)
}

// AttemptHook observes each attempt of a call; see [CallHook]. The context
// that StartAttempt returns reaches the hooks of the pool and the pipeline.
type AttemptHook interface {
	// StartAttempt is called before an attempt. It returns the attempt's
	// context. If it returns nil, the context stays ctx, and EndAttempt of this
	// hook is not called. If all hooks return nil, the attempt costs no more
	// than without hooks: so a tracer returns nil for a call that it does not
	// record.
	StartAttempt(ctx context.Context, e AttemptStart) context.Context
	// EndAttempt is called after the attempt, with the context that
	// StartAttempt returned.
	EndAttempt(ctx context.Context, e AttemptEnd)
}

// CallStart describes a call that begins.
type CallStart struct {
	// Addr is the client's address, as given to NewClient.
	Addr string
	// RequestSize is the size of the request in bytes, without the header.
	RequestSize int
}

// CallEnd describes a call that has ended.
type CallEnd struct {
	// Addr is the client's address, as given to NewClient.
	Addr string
	// Start is when the call began.
	Start time.Time
	// Duration is how long the call took, all attempts and waits included.
	Duration time.Duration
	// RequestSize is the size of the request in bytes, without the header.
	RequestSize int
	// ReplySize is the size of the reply in bytes, without the header. It is
	// 0 if the call failed.
	ReplySize int
	// Attempts is the number of attempts that were made.
	Attempts int
	// Err is what the call returned.
	Err error
}

// AttemptStart describes an attempt that begins.
type AttemptStart struct {
	// Addr is the address of the server that the attempt goes to.
	Addr string
	// Number counts the attempts of the call from 1.
	Number int
}

// AttemptEnd describes an attempt that has ended.
type AttemptEnd struct {
	// Addr is the address of the server that the attempt went to.
	Addr string
	// Number counts the attempts of the call from 1.
	Number int
	// Start is when the attempt began.
	Start time.Time
	// Phases say how long the attempt waited for a connection, and so on. They
	// are the same for exclusive and shared clients. If the attempt used two
	// connections, because the first one had been closed while idle, they are
	// those on the second.
	conn.Phases
	// Duration is how long the attempt took, the wait for a connection
	// included.
	Duration time.Duration
	// ConnID is the number of the connection, the same in all events of its
	// pool or pipeline. It is 0 if the attempt got none.
	ConnID uint64
	// Peer is the address of that connection's peer, empty if the attempt got
	// no connection.
	Peer string
	// RequestSize is the size of the request in bytes, without the header.
	RequestSize int
	// ReplySize is the size of the reply in bytes, without the header. It is
	// 0 if the attempt failed.
	ReplySize int
	// Err is what the attempt returned.
	Err error
}

// clientHooks are ClientConfig.Hooks by what they implement.
type clientHooks struct {
	calls    []CallHook
	attempts []AttemptHook
}

func newClientHooks(hooks []any) (h clientHooks, err error) {
	for i, v := range hooks {
		call, isCall := v.(CallHook)
		attempt, isAttempt := v.(AttemptHook)
		if isCall {
			h.calls = append(h.calls, call)
		}
		if isAttempt {
			h.attempts = append(h.attempts, attempt)
		}
		if !isCall && !isAttempt {
			return h, fmt.Errorf("gtcp: ClientConfig.Hooks[%d], a %T, implements none of the hook interfaces", i, v)
		}
	}
	return h, nil
}
