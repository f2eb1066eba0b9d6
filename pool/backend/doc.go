// Package backend is the contract between a connection pool's policies and
// the machinery that keeps its connections.
//
// It is for writing a backend of your own. The frontend (package pool) decides
// how old a connection may grow, whether it is healthy, and when to dial again.
// A [Backend] keeps the connections: it gives each to one owner at a time, makes
// callers wait in turn, holds the maximum, and loses nothing. Package puddlepool
// is the default backend, package slotpool the fast one.
//
// A backend knows nothing of networks. It works on any T, which carries its
// own times, counters and state: a backend reads no clock on behalf of its
// user.
//
// # The promises
//
// Every backend keeps these thirteen. Package pooltest proves them of any
// implementation with one call, pooltest.Run.
//
//  1. Open and dialing resources together never exceed [Limits].Max. A
//     resource counts from the call of Factory.New until the backend ends it
//     (a discard, a sweep, a clear); closing happens beside the count.
//  2. A resource has one owner at a time.
//  3. Once all is quiet, no resource is idle while a caller waits.
//  4. Callers that wait are served in the order in which they came.
//  5. Nothing is handed to a caller whose context has ended.
//  6. Returning a [Lease] that has ended is [ErrStale] and touches nothing.
//  7. Errors and panics of New, Close and callbacks cost no capacity.
//  8. After Clear nothing made, or begun to be made, before is acquired, and
//     nobody waits for it: its dials are cancelled.
//  9. Close wakes every waiter at once, closes each resource exactly once and
//     leaves no goroutine behind.
//  10. Return never waits: not for Factory.Close, not for Factory.New.
//  11. Where the backend declares [LateBinder], a caller whose dial is slow
//     takes the resource that comes free meanwhile, and the dial's result
//     becomes idle.
//  12. The dial of a caller that gave up goes on, and its result serves the
//     next waiter or becomes idle. With late binding the next waiter takes the
//     dial over: no new one is begun while there is a dial that nobody waits
//     for, unless that one takes long.
//  13. A dial's failure reaches the caller it was made for at once, with its
//     cause.
//
// # Who limits what
//
// The backend holds Limits.Max and Limits.MaxWaiters, heeds Limits.Queue if it
// can, and gives Factory.New a
// context that always has a deadline, Limits.DialTimeout from the dial's
// start, and that does not end with the caller's: a dial outlives the caller
// that asked for it, so a caller's short deadline never starves the pool of
// connections slower than that. How many dials run at once, how fast they
// follow each other and when to stop trying is policy: the frontend puts it
// inside Factory.New (a semaphore there counts against DialTimeout).
//
// # Writing a backend
//
// Most need not implement [Backend] at all: package engine makes one out of a
// store, which says where idle resources are kept and which is acquired first.
// examples/custompool is such a store, of about a hundred lines.
//
// In both cases pooltest.Run says whether it is right.
package backend
