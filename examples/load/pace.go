package main

import (
	"context"
	"sync"
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
	// sleep waits. Nil means as exactly as the system can.
	sleep func(time.Duration)
}

// run makes calls for length, or until ctx ends, and returns when all calls have
// ended. It adds to r. A call in progress is never cancelled: each caller limits
// its own calls.
func (l load) run(ctx context.Context, length time.Duration, callers []caller, r *record) {
	begun := time.Now()
	var wg sync.WaitGroup
	if l.rate <= 0 {
		for i, call := range callers {
			wg.Go(func() { again(ctx, begun, length, call, r.shard(i)) })
		}
		wg.Wait()
		r.took(time.Since(begun))
		return
	}
	interrupted := make(chan time.Time, 1)
	stop := context.AfterFunc(ctx, func() { interrupted <- time.Now() })
	calls := make(chan int64) // the number of a call that is due
	for i, call := range callers {
		wg.Go(func() { l.onTime(begun, length, calls, call, r.shard(i)) })
	}
	next := l.pace(ctx, begun, length, calls)
	wg.Wait()
	until, ended := begun.Add(length), time.Now()
	if !stop() {
		until = <-interrupted
	}
	for ; l.due(begun, next).Before(until); next++ {
		r.shard(0).notSent(ended.Sub(l.due(begun, next)))
	}
	r.took(max(ended.Sub(begun), until.Sub(begun)))
}

// due is when a call is due.
func (l load) due(begun time.Time, call int64) time.Time {
	return begun.Add(time.Duration(float64(call) / l.rate * float64(time.Second)))
}

// longestSleep is after how long a sleep looks whether ctx has ended.
const longestSleep = 10 * time.Millisecond

// pace gives each call that is due to a caller, as soon as one is free. It returns
// the number of the first call that it has not given to one.
func (l load) pace(ctx context.Context, begun time.Time, length time.Duration, calls chan<- int64) int64 {
	defer close(calls)
	sleep := l.sleep
	if sleep == nil {
		sleep = exactSleep
	}
	for call := int64(0); ; call++ {
		due := l.due(begun, call)
		if due.Sub(begun) >= length {
			return call
		}
		for wait := time.Until(due); wait > 0 && ctx.Err() == nil; wait = time.Until(due) {
			sleep(min(wait, longestSleep))
		}
		if ctx.Err() != nil {
			return call
		}
		select {
		case calls <- call:
		case <-ctx.Done():
			return call
		}
	}
}

// onTime is one of the goroutines that make the calls of an open loop. There are as
// many calls in progress as callers, at most.
//
// The latency of a call counts from when it was due. So a server that stalls is
// measured also by the calls that could not start meanwhile. A call that cannot be
// made until grace is over counts as not sent, with the time it has waited.
func (l load) onTime(begun time.Time, length time.Duration, calls <-chan int64, call caller, s *shard) {
	for n := range calls {
		due, start := l.due(begun, n), time.Now()
		if start.Sub(begun) > length+l.grace {
			s.notSent(start.Sub(due))
			continue
		}
		err := call()
		s.add(due, start, time.Now(), err)
	}
}

// again is one of the callers of a closed loop. It makes one call at least, unless
// there is no time at all.
func again(ctx context.Context, begun time.Time, length time.Duration, call caller, s *shard) {
	if length <= 0 {
		return
	}
	for start := time.Now(); ctx.Err() == nil; {
		err := call()
		now := time.Now()
		s.add(start, start, now, err)
		if start = now; start.Sub(begun) >= length {
			return
		}
	}
}
