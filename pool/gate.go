package pool

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// gate decides when a dial may begin: at most limit at once, the rest in
// turn, and none but a single probe after each wait once they keep failing.
type gate struct {
	limit   int         // dials at once; 0 is no limit
	backoff DialBackoff // with its defaults; After 0 is never
	now     func() int64

	mu       sync.Mutex
	active   int       // dials in progress
	queue    list.List // of chan error: those that wait for active to fall
	failures int       // in a row, while dialing is free
	open     bool      // dialing is suspended but for one probe at a time
	step     int       // how many waits were doubled
	until    int64     // when the next probe may begin
	probing  bool      // the probe is in progress
	last     error     // the last failure; kept after a success
	lastAt   int64
}

// pass is the permission for one dial.
type pass struct{ probe bool }

// enter waits for permission to dial; leave must follow. It fails at once
// while dialing is suspended, and when ctx ends.
func (g *gate) enter(ctx context.Context) (pass, error) {
	g.mu.Lock()
	if g.open {
		defer g.mu.Unlock()
		if wait := g.until - g.now(); wait > 0 || g.probing {
			return pass{}, g.suspended()
		}
		g.probing = true
		g.active++
		return pass{probe: true}, nil
	}
	if g.limit == 0 || g.active < g.limit {
		g.active++
		g.mu.Unlock()
		return pass{}, nil
	}
	turn := make(chan error, 1)
	at := g.queue.PushBack(turn)
	g.mu.Unlock()

	select {
	case err := <-turn:
		return pass{}, err
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case err := <-turn: // served meanwhile
		if err == nil {
			g.active--
			g.serve()
		}
	default:
		g.queue.Remove(at)
	}
	return pass{}, fmt.Errorf("no turn to dial: %w", context.Cause(ctx))
}

// leave ends a dial with its outcome.
func (g *gate) leave(p pass, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.active--
	if p.probe {
		g.probing = false
	}
	switch {
	case err == nil:
		g.failures, g.step, g.open = 0, 0, false
	case errors.Is(err, context.Canceled):
		// Given up, not failed: it says nothing about the address.
	default:
		g.fail(p, err)
	}
	g.serve()
}

// fail counts a failure. g.mu is held.
func (g *gate) fail(p pass, err error) {
	g.last, g.lastAt = err, g.now()
	g.failures++
	switch {
	case g.backoff.After == 0:
		return
	case p.probe:
		g.step++
	case g.open || g.failures < g.backoff.After:
		return // those that were under way when the wait began do not lengthen it
	}
	g.open = true
	g.until = g.lastAt + int64(g.backoff.wait(g.step))
	for e := g.queue.Front(); e != nil; e = g.queue.Front() {
		g.queue.Remove(e).(chan error) <- g.suspended()
	}
}

// serve lets the next in the queue through. g.mu is held.
func (g *gate) serve() {
	for g.active < g.limit && g.queue.Len() > 0 {
		g.active++
		g.queue.Remove(g.queue.Front()).(chan error) <- nil
	}
}

// suspended is the error of a dial that is not made. g.mu is held.
func (g *gate) suspended() error {
	return &BackoffError{Err: g.last, RetryAfter: max(time.Duration(g.until-g.now()), 0)}
}

// lastFailure returns the last dial error, or nil.
func (g *gate) lastFailure() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.last
}

// wait is the length of the wait number step, jitter included.
func (b DialBackoff) wait(step int) time.Duration {
	d := b.Max
	if step < 62 && b.Min < b.Max>>step {
		d = b.Min << step
	}
	return d - rand.N(d/2+1)
}
