// Package backend is the contract between a connection pool's policies and
// the machinery that keeps its connections.
//
// It is for writing a backend of your own. The frontend (package pool) decides
// how old a connection may grow, whether it is healthy, and when to dial again.
// A [Backend] keeps the connections. It gives each connection to one owner at a
// time, queues the callers that wait, keeps to the maximum, and loses no
// connection. Package puddlepool is the default backend, package slotpool the
// fast one.
//
// A backend knows nothing of networks. It works on any type T. Times,
// counters and state of a resource are part of T; the backend does not
// measure the age of a resource.
//
// # The promises
//
// Every backend keeps these thirteen promises. pooltest.Run tests all of
// them on any implementation.
//
//  1. Open and dialing resources together never exceed [Limits].Max. A
//     resource counts from the call of Factory.New until the backend ends it
//     (a discard, a sweep, a clear); closing happens beside the count.
//  2. A resource has one owner at a time.
//  3. When no operation is in progress, no resource is idle while a
//     caller waits.
//  4. Callers that wait are served in the order in which they came.
//  5. A caller whose context has ended gets no resource.
//  6. Returning a [Lease] that has ended is [ErrStale] and touches nothing.
//  7. After an error or a panic of New, Close or a callback, the capacity
//     is unchanged.
//  8. After Clear no caller acquires a resource whose dial began before
//     Clear, and no caller waits for such a dial. Those dials are cancelled.
//  9. Close wakes every waiter at once, closes each resource exactly once and
//     leaves no goroutine behind.
//  10. Return never waits: not for Factory.Close, not for Factory.New.
//  11. If the backend implements [LateBinder], a caller that waits for its
//     dial takes a resource that is released meanwhile. The result of the
//     dial then becomes idle.
//  12. If the context of a caller ends, its dial continues. The result goes to
//     the next waiter or becomes idle. With late binding the next waiter
//     takes over the dial: no new dial begins while there is a dial without a
//     waiter, unless that dial is slow.
//  13. If a dial fails, the caller that it was made for gets the error at
//     once, with its cause.
//
// # Who limits what
//
// The backend keeps to Limits.Max and Limits.MaxWaiters, and uses Limits.Queue
// if it can. It gives Factory.New a context whose deadline is
// Limits.DialTimeout after the start of the dial. That context does not end
// when the context of the caller ends. So callers with short deadlines do not
// prevent dials that take longer. The frontend decides how many dials run at
// once, how fast they follow each other, and when dialing stops. It does so
// inside Factory.New; a wait there counts against DialTimeout.
//
// # Writing a backend
//
// Most backends need not implement [Backend]. Package engine makes a Backend
// from a store. The store says where idle resources are kept and which one is
// acquired first. examples/custompool is such a store, in about a hundred
// lines.
//
// In both cases test it with pooltest.Run.
package backend
