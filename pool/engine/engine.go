// Package engine makes a pool backend out of a [Store]: a place for what is
// idle, and the choice of what is acquired first. Everything that is hard about a
// backend is in the engine: permits, waiters, dials, generations, closing.
// puddlepool and slotpool are stores of one or two hundred lines;
// examples/custompool is a shorter one, and so is the example of [Store].
//
// To write a backend, implement [Store] and return what [Open] returns; then let
// pooltest.Run prove it. The backend is safe for concurrent use and keeps the
// promises of package backend, whose errors it returns.
//
// # How it works
//
// The fast path takes no lock of the engine's: Acquire claims an idle entry
// from the store, Return puts it back. Everything else happens under one
// mutex. The two meet by publishing first and checking after, on both sides: a
// caller that will wait makes itself visible, then looks for an idle entry
// once more; Return makes the entry visible, then looks for waiters. Whichever
// comes second sees the other, so no wakeup is lost.
//
// Every backend it makes is also a [backend.Resizer] and a
// [backend.LateBinder]: callers with a dial of their own wait in the same queue
// as the others, what is made or returned goes to the first, and an error goes
// to the one whose dial it was.
package engine

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// Store keeps idle entries. All methods may be called at any time by any
// goroutine, and none but Sweep blocks. A store need not look at what is in an
// entry; it may keep its own in Entry.Ref.
type Store[T any] interface {
	// Add makes an entry known. It is not idle yet.
	Add(e *Entry[T])
	// Remove forgets an entry that is known and not idle. It is not called for
	// an entry that was in use when a Close did not wait for it.
	Remove(e *Entry[T])
	// Claim takes an idle entry, the one to be acquired first. It returns nil
	// only if no entry was idle all the time from its call to its return.
	Claim() *Entry[T]
	// Put makes an entry idle that was added or claimed.
	Put(e *Entry[T])
	// Sweep claims the idle entries one after the other and calls visit
	// with each, which puts it back or removes it before it returns or
	// panics. An entry is visited at most once. All that stay idle from its
	// start are visited: entries that are put meanwhile take no other's turn,
	// and do not keep it from its end. Entries that have not been visited
	// must stay claimable. Do not claim an entry and Put it back
	// yourself: a concurrent Acquire would miss it and block.
	Sweep(visit func(e *Entry[T]))
	// Idle is the number of idle entries.
	Idle() int
}

// Entry is a resource. It is made for one result of Factory.New and never used
// for another, so a pointer and an epoch identify one Lease.
type Entry[T any] struct {
	// Ref is the store's own. The engine does not touch it.
	Ref any

	value  T
	engine *engine[T]
	gen    uint64 // engine.gen when it was made

	// epoch goes up by one when a Lease ends, or is set to evicted. Whoever
	// changes it is the one who ended that Lease.
	epoch atomic.Uint64
	place int  // in engine.entries; guarded by engine.mu
	gone  bool // closed or being closed; guarded by engine.mu
}

// evicted is the epoch of an entry that was in use when a Close did not wait for
// it. A Lease of this epoch was made too late and has ended already.
const evicted = math.MaxUint64

func (e *Entry[T]) lease() backend.Lease[T] {
	return backend.Lease[T]{Value: e.value, Handle: e, Epoch: e.epoch.Load()}
}

// engine is a backend over a [Store]. Open returns one as a backend.Backend.
type engine[T any] struct {
	factory backend.Factory[T]
	limits  backend.Limits
	store   Store[T]
	born    time.Time

	// Written under mu, read without it on every Acquire and Return, so kept
	// apart from what changes all the time.
	waiting atomic.Int64  // queue.all.len
	gen     atomic.Uint64 // of the last Clear or Close
	excess  atomic.Bool   // more are open than max: Resize made it smaller
	_       [64]byte

	waiters  sync.Pool // of *waiter[T], for reuse: waiting allocates nothing
	waits    atomic.Uint64
	waitTime atomic.Int64
	refused  atomic.Uint64

	mu       sync.Mutex // guards what follows; never held during a callback
	max      int        // 0: none
	entries  []*Entry[T]
	dials    []*dial[T] // those not given up, the oldest first
	orphans  []*dial[T] // those of them that nobody waits for, the oldest first
	canceled int        // those given up: calls of New that have not returned
	queue    queue[T]
	standing time.Duration // since when the queue has not been empty
	turn     uint64        // counts those served while the newest are first
	sweeping int           // sweeps in progress
	closed   bool
	drained  chan struct{} // made when closed is set, and closed when no entry is left
	broken   error         // the first panic of Factory.Close

	// work counts the goroutines that dial or close. Once drained is closed
	// it grows no more from zero, so Close may wait for it.
	work sync.WaitGroup
}

var (
	_ backend.Backend[int] = (*engine[int])(nil)
	_ backend.Resizer      = (*engine[int])(nil)
	_ backend.LateBinder   = (*engine[int])(nil)
)

// Open returns an engine that keeps its idle entries in store, which must be
// empty and nobody else's. It fails if f or l is invalid.
func Open[T any](f backend.Factory[T], l backend.Limits, store Store[T]) (backend.Backend[T], error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	if err := l.Validate(); err != nil {
		return nil, err
	}
	p := &engine[T]{
		factory: f,
		limits:  l,
		store:   store,
		max:     max(l.Max, 0),
		queue:   newQueue[T](),
		born:    time.Now(),
	}
	p.waiters.New = func() any { return &waiter[T]{ready: make(chan struct{}, 1)} }
	return p, nil
}

// ended is the error of a call whose context has ended.
func ended(ctx context.Context) error {
	return &endedError{err: ctx.Err(), cause: context.Cause(ctx)}
}

type endedError struct {
	err   error // ctx.Err()
	cause error // context.Cause(ctx)
}

func (e *endedError) Error() string     { return "backend: gave up waiting: " + e.cause.Error() }
func (e *endedError) Temporary() bool   { return e.Timeout() }
func (e *endedError) SafeToRetry() bool { return true }
func (e *endedError) Timeout() bool     { return errors.Is(e.err, context.DeadlineExceeded) }
func (e *endedError) Unwrap() []error   { return []error{e.err, e.cause} }

func (e *endedError) Kind() string {
	if e.Timeout() {
		return "timeout"
	}
	return "canceled"
}
