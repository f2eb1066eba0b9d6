// Package slotpool is the fast pool backend. Each resource has a slot, each
// slot a bit that says whether it is idle, and to acquire is to clear the
// lowest bit that is set with one compare-and-swap: no lock, no allocation, no
// clock. Taking the lowest first keeps the load on few resources, as a stack
// would, so that the rest can be closed for idleness.
//
//	p, err := pool.New(conn.Target{Address: "127.0.0.1:8999"}, pool.Config{
//		Backend: slotpool.Open[*pool.Member],
//	})
//
// [Open] is all there is to know. What it returns keeps the promises of package
// backend and is safe for concurrent use; docs/tuning.md says when to choose it.
//
// # How it works
//
// When nothing is idle, callers wait in a first-in-first-out queue and are
// handed what is returned directly. Every dial is late bound: a caller whose
// dial is slow takes what is returned meanwhile, and the dial's result becomes
// idle. The maximum can be changed with Resize; without one, slots are added
// as they are needed, 64 at a time. Up to 512 slots Acquire reads a word for
// each 64 lower slots that are in use; beyond, a second level of bits leads it to
// the words worth reading, so that ten thousand connections nearly all in use
// cost it little more than ten.
package slotpool

import (
	"github.com/seed-99d6a01a/gtcp/pool/backend"
	"github.com/seed-99d6a01a/gtcp/pool/engine"
)

// Open is a [backend.OpenFunc]. The backend it returns is also a
// [backend.Resizer] and a [backend.LateBinder].
func Open[T any](f backend.Factory[T], l backend.Limits) (backend.Backend[T], error) {
	return engine.Open(f, l, newStore[T]())
}
