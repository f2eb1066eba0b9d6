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
	// Acquire returns a Lease of a resource. It takes an idle resource if there
	// is one and no caller waits before this one. Otherwise it makes a resource
	// if Max allows it. Otherwise it waits in the queue for the next resource.
	// With late binding, a caller takes over a dial without a waiter before it
	// begins a new one.
	//
	// If ctx has ended, it fails with an error that is ctx.Err(), even if a
	// resource is idle. During and after Close it fails with [ErrClosed]. It
	// fails at once with [ErrTooManyWaiters] or [ErrOverloaded]. If New
	// fails for this caller, it returns the error of New, unchanged or
	// wrapped.
	//
	// If a resource is idle and no caller waits, Acquire allocates nothing.
	Acquire(ctx context.Context) (Lease[T], error)

	// Return ends a Lease. With [Keep] the resource goes to the first waiter
	// or becomes idle; a resource older than the last Clear is closed. With
	// [Discard], or any other verdict, the resource is closed, and it no
	// longer counts against Max when Return returns. Return never blocks,
	// never dials on the caller's goroutine and never waits for
	// Factory.Close.
	//
	// It fails with [ErrStale] and has no effect if the Lease has ended
	// before or is not of this backend.
	Return(lease Lease[T], v Verdict) error

	// Warm makes resources until n are idle or on their way to be, or Max is
	// reached, and waits for those it began. New sees the values of ctx. A
	// waiter that comes meanwhile is served first. Concurrent calls do not add
	// up. It returns nil if Max allows no more, the first error of New,
	// ErrClosed, or an error that is ctx.Err() when ctx ends; dials in
	// progress continue in every case. If Clear cancels a dial, Warm begins
	// another one and waits for it.
	Warm(ctx context.Context, n int) error

	// Sweep calls keep for every resource that was idle at the start of
	// Sweep and is still idle when its turn comes. It calls keep at most
	// once for each resource, and closes the resource if keep returns false.
	// It takes at most one resource at a time, so that the others can be
	// acquired. While keep runs, Sweep holds no lock that other methods
	// need. If keep panics, its resource is closed and the panic continues
	// in the caller. keep must not call Sweep or Close of the same backend.
	Sweep(keep func(T) bool)

	// Clear begins a new generation: idle resources are closed now, others
	// when they are returned. The contexts of dials in progress are
	// cancelled. Resources that these calls of New still return are closed,
	// and their errors are discarded. A caller or a Warm that waits for such
	// a dial gets a new dial, at the latest when New has returned.
	Clear()

	// Close ends the backend. Every waiter gets ErrClosed at once, idle resources
	// are closed, the contexts of dials are cancelled. Then it waits until the
	// resources in use are returned. If ctx ends first, it closes those too, and a
	// later Return of them fails with ErrStale. Close returns when every call of
	// New and Factory.Close has returned. So New must return when its context
	// ends.
	//
	// It returns nil if all resources were returned, and an error that is
	// ctx.Err() if ctx ended first. If Factory.Close panicked, the first
	// *[PanicError] is joined to that result. Close may be called more than
	// once. Each call waits. The wait for resources in use ends when the
	// context of any of the calls ends.
	Close(ctx context.Context) error

	// Stat is a snapshot. It is cheap and never blocks on I/O. Its figures
	// may differ from each other by the operations in progress.
	Stat() Stat
}

// OpenFunc makes a backend for a pool. It fails if f or l is invalid, and with
// an error that is [errors.ErrUnsupported] if the backend cannot work within l
// (for example without a maximum). It dials nothing.
type OpenFunc[T any] func(f Factory[T], l Limits) (Backend[T], error)

// Resizer is implemented by backends whose maximum can change.
type Resizer interface {
	// Resize sets the maximum, with the meaning of Limits.Max. Growing serves
	// waiters at once. Shrinking closes the resources beyond max: idle ones at
	// once, others when they are returned. If open resources and dials together
	// are more than max, the newest dials are cancelled, as in Clear. Their
	// callers keep their place in the queue, and get a released resource or
	// another dial. A Warm does not wait for a cancelled dial. No resource is
	// made until fewer than max are left. Resize returns ErrClosed after Close.
	Resize(max int) error
}

// LateBinder is implemented by backends that keep promise 11: a caller that
// waits for its dial takes a resource that is released meanwhile. Callers with
// a dial then wait in the same queue as the others, and each returned or new
// resource goes to the first waiter. If a dial fails, the caller it was made
// for gets the error. Without late binding the result of a dial goes to that
// caller, if it still waits. The method LateBinding does nothing; it only
// marks the type.
type LateBinder interface {
	LateBinding()
}

// Lease is the temporary ownership of a resource. It is a small value, to be
// copied freely; the first Return of any copy ends it.
type Lease[T any] struct {
	// Value is the resource. It must not be used after the Lease has ended.
	Value T
	// Handle is for the backend, which finds the resource by it. Keep a
	// pointer in it, so that making a Lease allocates nothing.
	Handle any
	// Epoch is for the backend. It distinguishes this Lease from earlier
	// and later ones of the same resource.
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
	// Idle counts the resources that no caller has.
	Idle int
	// Used counts the resources in use, those a sweep looks at included.
	Used int
	// Dialing counts the calls of New in progress.
	Dialing int
	// Waiting counts the Acquire calls blocked now, those with a dial of
	// their own included.
	Waiting int
	// Waits counts the Acquire calls so far that had to wait for a
	// resource or for their own dial, whether they succeeded or not.
	Waits uint64
	// WaitTime is the total time of all waits that have ended.
	WaitTime time.Duration
	// OldestWait is how long the caller that waits longest has waited.
	OldestWait time.Duration
	// Refused counts the Acquire calls that failed with ErrTooManyWaiters.
	Refused uint64
}

// Open is the number of resources made and not ended: Idle plus Used.
func (s Stat) Open() int { return s.Idle + s.Used }
