// Package puddlepool is the default pool backend. It keeps its resources in a
// [github.com/jackc/puddle/v2] pool, the one pgx is built on, and acquires the
// one returned last first, so that under a light load a few resources are
// busy and the rest can be closed for idleness.
//
// A pool.Config without a Backend has this one. [Open] is all there is to know:
// what it returns keeps the promises of package backend and is safe for
// concurrent use. The example uses it without package pool.
//
// # How it works
//
// What a caller waits for is decided outside the puddle, by the machinery this
// package shares with slotpool: permits, a first-in-first-out queue, dials and
// closing. The puddle does what it is good at, keeping the books of what is
// there, and is never in the position to do what it is not good at:
//
//   - Its Close does not wake those who wait. Here nobody waits in it.
//   - It dials as often as it is asked, without a deadline, and loses what it
//     constructs while it closes. Here it constructs nothing.
//   - It keeps a place taken until the destructor has returned. Here a
//     resource leaves the puddle first and is closed afterwards.
//   - A handle used twice breaks it. Here a Lease has an epoch, and a stale
//     one never reaches it.
//
// Every dial is late bound: a caller whose dial is slow takes what is returned
// meanwhile. The maximum can be changed with Resize. Sweeps take turns.
package puddlepool

import (
	"github.com/seed-99d6a01a/gtcp/pool/backend"
	"github.com/seed-99d6a01a/gtcp/pool/engine"
)

// Open is a [backend.OpenFunc]. The backend it returns is also a
// [backend.Resizer] and a [backend.LateBinder].
func Open[T any](f backend.Factory[T], l backend.Limits) (backend.Backend[T], error) {
	return engine.Open(f, l, newStore[T]())
}
