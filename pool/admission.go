package pool

import (
	"sync/atomic"
	"time"
)

// admission decides about waiters, unless Config.StrictFIFO. It is the
// backend.Queue of the pool, and only computes.
type admission struct {
	hold atomic.Int64 // median of how long checkouts take lately, in nanoseconds
	seen atomic.Int32 // how many it was learned from, as far as that matters
	miss atomic.Int64 // Unix nanoseconds: when the time of a waiter was last over
	lifo atomic.Bool  // the newest are served first
}

const (
	// overloadedAfter is how long the queue must not have been empty for the
	// newest waiter to be served first.
	overloadedAfter = 100 * time.Millisecond
	// knownFrom is how many checkouts make an estimate.
	knownFrom = 16
	// missedLately is how long a waiter that ran out of time is remembered.
	missedLately = time.Second
)

// observe learns from a checkout that took d. The estimate follows the median:
// each sample moves it by a sixteenth, up or down, so that a few long ones do
// not matter. Callers at the same time may overwrite each other.
func (a *admission) observe(d int64) {
	d = max(d, 1)
	if a.seen.Load() < knownFrom {
		a.seen.Add(1)
	}
	switch old := a.hold.Load(); {
	case old == 0:
		a.hold.Store(d)
	case d > old:
		a.hold.Store(min(old+old/16+1, d))
	default:
		a.hold.Store(max(old-old/16, d))
	}
}

// holdTime is the estimate, 0 while it is not known.
func (a *admission) holdTime() time.Duration {
	if a.seen.Load() < knownFrom {
		return 0
	}
	return time.Duration(a.hold.Load())
}

// missed notes that the time of a waiter was over at the given moment.
func (a *admission) missed(at time.Time) { a.miss.Store(at.UnixNano()) }

// Admit implements backend.Queue: may a caller with so much time left wait
// behind so many? When its turn comes it must have time for more than a call at
// the median, since half of all calls take longer than that.
func (a *admission) Admit(remaining time.Duration, ahead, open int) bool {
	hold := a.holdTime()
	if hold == 0 {
		return true
	}
	need := hold + hold/2
	if remaining < need {
		return false
	}
	turns := time.Duration(ahead / max(open, 1))
	if turns == 0 || a.lifo.Load() {
		return true
	}
	return (remaining-need)/turns >= hold
}

// NewestFirst implements backend.Queue: the queue has not been empty for so
// long.
func (a *admission) NewestFirst(standing time.Duration) bool {
	lifo := standing > overloadedAfter && time.Now().UnixNano()-a.miss.Load() < int64(missedLately)
	if lifo != a.lifo.Load() {
		a.lifo.Store(lifo)
	}
	return lifo
}
