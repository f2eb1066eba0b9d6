package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// caller makes one call and returns its error. One goroutine uses it.
type caller func() error

// load is how calls are made.
type load struct {
	// rate is how many calls a second are due, whatever the server does: an open
	// loop. Zero is a closed loop: each caller calls again when its call ends.
	rate float64
	// grace is for how long after the end calls that are due are still made.
	grace time.Duration
}

// run makes calls for length, or until ctx ends, and returns when all calls have
// ended. It adds to r. A call in progress is never cancelled: each caller limits
// its own calls.
//
// At a rate, a call has a time at which it is due. Its latency counts from there,
// so a server that stalls is measured also by the calls that could not start
// meanwhile. A call that is due and cannot be made until grace is over counts as
// not sent, with the time it has waited.
func (l load) run(ctx context.Context, length time.Duration, callers []caller, r *record) {
	begun := time.Now()
	until := begun.Add(length)
	interrupted := make(chan time.Time, 1)
	stop := context.AfterFunc(ctx, func() { interrupted <- time.Now() })
	var next atomic.Int64 // the number of the next call that is due
	var wg sync.WaitGroup
	for i, call := range callers {
		wg.Go(func() {
			if l.rate > 0 {
				l.onTime(ctx, begun, length, &next, call, r.shard(i))
			} else {
				again(ctx, begun, length, call, r.shard(i))
			}
		})
	}
	wg.Wait()
	ended := time.Now()
	if !stop() {
		until = <-interrupted
	}
	if l.rate > 0 {
		for due := l.due(begun, next.Load()); due.Before(until); due = l.due(begun, next.Add(1)) {
			r.shard(0).notSent(ended.Sub(due))
		}
		if until.After(ended) {
			ended = until
		}
	}
	r.took(ended.Sub(begun))
}

// due is when a call is due.
func (l load) due(begun time.Time, call int64) time.Time {
	return begun.Add(time.Duration(float64(call) / l.rate * float64(time.Second)))
}

// onTime is one of the goroutines that make the calls of an open loop. Each takes
// the next call that is due, so there are as many calls in progress as callers, at
// most.
func (l load) onTime(ctx context.Context, begun time.Time, length time.Duration, next *atomic.Int64, call caller, s *shard) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		due := l.due(begun, next.Add(1)-1)
		if due.Sub(begun) >= length {
			return
		}
		now := time.Now()
		if now.Sub(begun) > length+l.grace {
			s.notSent(now.Sub(due))
			return
		}
		if wait := due.Sub(now); wait > 0 {
			timer.Reset(wait)
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
			}
			now = time.Now()
		}
		err := call()
		s.add(due, now, time.Now(), err)
	}
}

// again is one of the callers of a closed loop.
func again(ctx context.Context, begun time.Time, length time.Duration, call caller, s *shard) {
	for start := time.Now(); start.Sub(begun) < length && ctx.Err() == nil; {
		err := call()
		now := time.Now()
		s.add(start, start, now, err)
		start = now
	}
}
