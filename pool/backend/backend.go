package backend

import (
	"context"
	"time"
)

// Backend keeps resources made by a [Factory], within [Limits], and gives each
// to one caller at a time. All methods are safe for concurrent use. No method
// holds a lock while it calls New, Close or a callback, but sweeps may wait for
// one another.
type Backend[T any] interface {
	// Acquire returns a Lease of a resource: of an idle one if there is one and
	// no caller waits before this one, else one made for it if there is room,
	// else the next to come free, in turn. With late binding a caller takes over
	// a dial that no caller waits for any more, before a new one is begun.
	//
	// It fails with an error that is ctx.Err() once ctx has ended, even if a
	// resource is idle; with [ErrClosed] after or during Close; with
	// [ErrTooManyWaiters] or [ErrOverloaded] at once; and with the error of
	// New, unchanged or wrapped, if that was called for it.
	//
	// The fast path, an idle resource and nobody waiting, allocates nothing.
	Acquire(ctx context.Context) (Lease[T], error)

	// Return ends a Lease. With [Keep] the resource goes to the first waiter
	// or becomes idle, unless it is older than the last Clear; with
	// [Discard], or any other verdict, it is closed, and its room is free
	// before Return comes back. Return never blocks, never dials in the
	// caller's time and never waits for Factory.Close.
	//
	// It fails with [ErrStale], having done nothing, if the Lease has ended
	// before or is not of this backend.
	Return(lease Lease[T], v Verdict) error

	// Warm makes resources until n are idle or on their way to be, or Max is
	// reached, and waits for those it began. New sees the values of ctx. A
	// waiter that comes meanwhile is served first. Concurrent calls do not add
	// up. It returns nil if Max allows no more, the first error of New,
	// ErrClosed, or an error that is ctx.Err() when ctx ends; dials begun go
	// on in every case. A dial that Clear gives up is begun anew, and Warm
	// waits for it.
	Warm(ctx context.Context, n int) error

	// Sweep shows keep every resource that was idle when it was called, is
	// still when its turn comes, each at most once, and closes those for
	// which keep says false. It holds at most one resource at a time, so
	// that sweeping starves nobody, and holds no lock others need while
	// keep runs. If keep panics its resource is closed and the panic goes on
	// to the caller. keep must not call Sweep or Close of the same backend.
	Sweep(keep func(T) bool)

	// Clear begins a new generation: idle resources are closed now, others
	// when they are returned. Dials in progress are given up: their contexts
	// are cancelled, resources returned by New are closed, and its errors are
	// discarded. A caller or a Warm that waits for such a dial gets another
	// one, at the latest when New has returned.
	Clear()

	// Close ends the backend. Every waiter gets ErrClosed at once, idle
	// resources are closed, the contexts of dials are cancelled. Then it waits
	// for the resources in use to be returned; if ctx ends first, it closes
	// those too, and to Return them is ErrStale. It returns once every call of New
	// and Factory.Close has: New must heed its context.
	//
	// It returns nil if all were returned, an error that is ctx.Err() if ctx
	// ended first, and joins to either the first *[PanicError] of
	// Factory.Close. More than one Close is allowed: each waits, and any of
	// their contexts ends the wait for resources in use.
	Close(ctx context.Context) error

	// Stat is a snapshot. It is cheap, never blocks on I/O, and its gauges
	// agree with each other up to operations in progress.
	Stat() Stat
}

// OpenFunc makes a backend: the form in which a backend is plugged into a pool.
// It fails if f or l is invalid, and with an error that is
// [errors.ErrUnsupported] if the backend cannot work within l (for example
// without a maximum). It dials nothing.
type OpenFunc[T any] func(f Factory[T], l Limits) (Backend[T], error)

// Resizer is implemented by backends whose maximum can change.
type Resizer interface {
	// Resize sets the maximum, with the meaning of Limits.Max. Growing
	// serves waiters at once. Shrinking keeps what is open up to max and
	// closes the rest, idle resources at once and others as they are
	// returned. Dials beyond what is left of max are given up as Clear does, the
	// newest first; their callers wait on in their turn, for what comes free
	// or another dial, and a Warm that began one is done with it. No new one
	// is made until fewer than max are left. It returns ErrClosed after Close.
	Resize(max int) error
}

// LateBinder is implemented by backends that keep promise 11: a caller whose
// dial is slow takes what comes free meanwhile. Callers with a dial of their
// own then wait in the same queue as the others, and whatever is returned or
// made goes to the first of all; the failure of a dial goes to the caller it
// was made for. Without late binding a dial's result is for that caller, if it
// still waits. The method does nothing; to have it is the declaration.
type LateBinder interface {
	LateBinding()
}

// Lease is the temporary ownership of a resource. It is a small value, to be
// copied freely; the first Return of any copy ends it.
type Lease[T any] struct {
	// Value is the resource. It must not be used after the Lease has ended.
	Value T
	// Handle is the backend's: whatever finds the resource again. Keep a
	// pointer in it, so that making a Lease allocates nothing.
	Handle any
	// Epoch is the backend's: it tells this Lease from earlier and later
	// ones of the same resource.
	Epoch uint64
}

// Verdict says what becomes of a returned resource.
type Verdict uint8

const (
	// Keep keeps the resource for other callers.
	Keep Verdict = iota
	// Discard closes the resource.
	Discard
)

// String returns "keep" or "discard".
func (v Verdict) String() string {
	if v == Keep {
		return "keep"
	}
	return "discard"
}

// Stat is a snapshot of a backend.
type Stat struct {
	// Max is the maximum in force; 0 means none.
	Max int
	// Idle counts the resources nobody has.
	Idle int
	// Used counts the resources in use, those a sweep looks at included.
	Used int
	// Dialing counts the calls of New in progress.
	Dialing int
	// Waiting counts the Acquire calls blocked now, those with a dial of
	// their own included.
	Waiting int
	// Waits counts the Acquire calls so far that had to wait, for a
	// resource or for their own dial, whatever came of it.
	Waits uint64
	// WaitTime is the total time these have waited, as far as they are over.
	WaitTime time.Duration
	// OldestWait is how long the caller that waits longest has waited.
	OldestWait time.Duration
	// Refused counts the Acquire calls that failed with ErrTooManyWaiters.
	Refused uint64
}

// Open is the number of resources made and not ended: Idle plus Used.
func (s Stat) Open() int { return s.Idle + s.Used }
