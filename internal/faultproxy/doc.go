// Package faultproxy is a TCP proxy for tests that stands in front of a
// server and does to its connections what networks do: it delays, splits,
// truncates, half-closes, resets, refuses and goes silent.
//
// What happens to a connection is its Plan. A plan function is asked once for
// each accepted connection and can be changed at any time with SetPlan;
// Refuse, Freeze and ResetAll act on the whole proxy at once. Random makes a
// seeded plan function for soaks: the same seed gives the n-th connection the
// same plan, whatever the timing. Counts says which faults were really
// injected, so that a soak cannot pass by injecting none.
//
// The sockets are real and on 127.0.0.1. Close ends every connection and
// returns when the last goroutine has.
//
// It is for tests only; production packages may not import it.
package faultproxy
