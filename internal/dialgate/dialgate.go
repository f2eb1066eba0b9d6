// Package dialgate decides when a dial may begin: how many run at once, and
// when to stop for a while because they fail. Packages pool and pipeline use
// it, so that both keep the rule of [conn.DialBackoff] in the same way.
package dialgate

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// Gate is the permission to dial one address. Make it with New. All its
// methods may be called from several goroutines.
type Gate struct {
	limit   int // dials at once; 0 means no limit
	backoff conn.DialBackoff

	mu      sync.Mutex // guards what follows
	active  int        // dials in progress
	queue   *list.List // of chan error: callers that wait for active to fall; nil before the first
	trouble *trouble   // nil before the first failure
}

// trouble is what a gate knows of failures. Most gates have none, and there may be a
// gate for each of thousands of addresses.
type trouble struct {
	failures int       // in a row
	since    time.Time // when the first of them began
	unproven int       // failures before the last success, until a peer has answered
	before   time.Time // their since
	paused   bool      // no dial but one probe at a time
	until    time.Time // when the next probe may begin
	probing  bool      // the probe is in progress
	last     error     // the last failure; kept after a success
}

// New returns a gate that lets limit dials run at once, any number if limit is
// 0 or less. b must be valid.
func New(limit int, b conn.DialBackoff) *Gate {
	return &Gate{limit: max(limit, 0), backoff: b}
}

// Pass is the permission for one dial. Leave ends it.
type Pass struct {
	probe bool
	begun time.Time
}

// Enter waits for its turn. It fails with a [*conn.BackoffError] at once while
// dialing is suspended, and with an error that is ctx.Err() and
// context.Cause(ctx) when ctx ends.
func (g *Gate) Enter(ctx context.Context) (Pass, error) {
	g.mu.Lock()
	if t := g.trouble; t != nil && t.paused {
		defer g.mu.Unlock()
		now := time.Now()
		if t.probing || now.Before(t.until) {
			return Pass{}, g.suspended(t, now)
		}
		t.probing = true
		g.active++
		return Pass{probe: true, begun: now}, nil
	}
	if g.limit == 0 || g.active < g.limit {
		g.active++
		g.mu.Unlock()
		return Pass{begun: time.Now()}, nil
	}
	turn := make(chan error, 1)
	if g.queue == nil {
		g.queue = list.New()
	}
	at := g.queue.PushBack(turn)
	g.mu.Unlock()

	select {
	case err := <-turn:
		return Pass{begun: time.Now()}, err
	case <-ctx.Done():
	}
	if g.leaveQueue(at, turn) {
		return Pass{}, noTurn(ctx)
	}
	return Pass{begun: time.Now()}, <-turn // decided in the same moment
}

// leaveQueue reports whether the caller was still in the queue, and takes it
// out.
func (g *Gate) leaveQueue(at *list.Element, turn chan error) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(turn) > 0 {
		return false
	}
	g.queue.Remove(at)
	return true
}

// noTurn is the error of a caller whose context ended in the queue.
func noTurn(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == err {
		return fmt.Errorf("no turn to dial: %w", err)
	}
	return fmt.Errorf("no turn to dial: %w: %w", err, cause)
}

// Leave ends a dial with its outcome. An error that is context.Canceled means
// that the dial was given up: it says nothing about the address.
func (g *Gate) Leave(p Pass, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.active--
	t := g.trouble
	if p.probe {
		t.probing = false
	}
	switch {
	case err == nil && t == nil:
	case err == nil:
		if t.failures > 0 {
			t.unproven, t.before = t.failures, t.since
		}
		t.failures, t.paused = 0, false
	case errors.Is(err, context.Canceled):
	case t != nil && t.paused && !p.probe:
		// It was in progress when the pause began, and does not lengthen it.
		t.last = err
		t.failures++
	default:
		g.failLocked(p.begun, err)
	}
	g.serveLocked()
}

// Answered says that a peer has sent something on a connection. Failures from
// before that are over.
func (g *Gate) Answered() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.trouble != nil {
		g.trouble.unproven = 0
	}
}

// Unanswered says that a connection, whose dial began at the given time, broke
// before its peer sent anything. That counts as a failed dial: a peer that
// accepts and closes must not be dialed in a tight loop.
func (g *Gate) Unanswered(begun time.Time, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t := g.trouble; t != nil {
		if t.paused {
			return
		}
		if t.unproven > 0 {
			t.failures += t.unproven
			t.since, t.unproven = t.before, 0
		}
	}
	g.failLocked(begun, err)
}

// failLocked counts a failure, and begins a pause if it is due.
func (g *Gate) failLocked(begun time.Time, err error) {
	if g.trouble == nil {
		g.trouble = new(trouble)
	}
	t, now := g.trouble, time.Now()
	t.last = err
	if t.failures == 0 {
		t.since = begun
	}
	t.failures++
	pause := g.backoff.Pause(t.failures, now.Sub(t.since))
	if pause == 0 {
		return
	}
	t.paused = true
	t.until = now.Add(pause)
	for g.queue != nil && g.queue.Len() > 0 {
		g.queue.Remove(g.queue.Front()).(chan error) <- g.suspended(t, now)
	}
}

// serveLocked lets the next in the queue through.
func (g *Gate) serveLocked() {
	for g.queue != nil && g.active < g.limit && g.queue.Len() > 0 {
		g.active++
		g.queue.Remove(g.queue.Front()).(chan error) <- nil
	}
}

// suspended is the error of a dial that is not made. While the probe is
// in progress nobody knows when the next may begin: it is then the pause that
// would follow if the probe failed now.
func (g *Gate) suspended(t *trouble, now time.Time) error {
	wait := t.until.Sub(now)
	if wait <= 0 {
		wait = g.backoff.Pause(t.failures+1, now.Sub(t.since))
	}
	return &conn.BackoffError{Err: t.last, Wait: wait}
}

// Readable is err as a snapshot shows it: encoding/json writes its text, where it
// would write {} for most errors. Nil stays nil.
func Readable(err error) error {
	if err == nil {
		return nil
	}
	return readable{err}
}

type readable struct{ error }

func (r readable) Unwrap() error                { return r.error }
func (r readable) MarshalText() ([]byte, error) { return []byte(r.Error()), nil }

// LastError returns the last failure so far, or nil.
func (g *Gate) LastError() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.trouble == nil {
		return nil
	}
	return g.trouble.last
}

// Suspended returns until when dialing is suspended, and whether it is. While
// a probe is in progress that time has passed.
func (g *Gate) Suspended() (until time.Time, suspended bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.trouble == nil {
		return time.Time{}, false
	}
	return g.trouble.until, g.trouble.paused
}
