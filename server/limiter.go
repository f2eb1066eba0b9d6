package server

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// ErrOverloaded is the error that FrameHandler.ErrorReply gets for a request which a
// Limiter refuses: it has not been handled, so a client may repeat it.
var ErrOverloaded error = overloadedError{}

type overloadedError struct{}

func (overloadedError) Error() string     { return "server: too many requests in progress" }
func (overloadedError) SafeToRetry() bool { return true }
func (overloadedError) Kind() string      { return conn.KindOverloaded }

// Limiter limits the requests in progress over all connections of the FrameHandlers
// that share it. Under overload the server then handles as many requests as it can
// in time and refuses the others. Without a Limiter it would handle all of them too
// late. A request above the limit waits for at most MaxWait, the oldest first. Then
// it is refused: its reply is what ErrorReply or ErrorReplyTo returns for
// ErrOverloaded, or with FrameHandler.Envelope a reply with
// envelope.StatusOverloaded. Without all of these it waits without a time limit, and
// its connection is not read meanwhile. A waiting request is dropped if its peer
// closes the connection. If its FrameHandler.Deadline passes, its reply is the one
// for context.DeadlineExceeded.
//
// Only Max must be set. Fields must not change once it is in use.
type Limiter struct {
	// Max is how many requests may be in progress at once. At least 1.
	Max int

	// Min, if positive, makes the limit adaptive, between Min and Max. The
	// limit grows while requests are as fast as at low load. It shrinks when
	// they take more than 1.25 times as long, for example because handlers wait
	// for an overloaded service. Zero or negative means that Max is the limit.
	Min int

	// MaxWait is how long a request may wait until it is refused. Zero means 100
	// milliseconds; negative means that it is refused at once.
	MaxWait time.Duration

	mu       sync.Mutex // guards the fields below
	busy     int        // requests in progress
	bound    float64    // Min ≤ bound ≤ Max; 0 before the first request
	queue    list.List  // of *place: requests that wait, the oldest first
	refused  uint64
	adapting gauge
}

// place is a request that waits for its turn.
type place struct {
	granted chan struct{} // closed when it has its turn
	at      *list.Element // of Limiter.queue
}

// LimiterStat is a snapshot of a Limiter.
type LimiterStat struct {
	Bound      int    // Bound is how many requests may be in progress at present.
	InProgress int    // InProgress is how many are.
	Waiting    int    // Waiting is how many wait for their turn.
	Refused    uint64 // Refused counts the requests refused since the Limiter was made.
}

const defaultMaxWait = 100 * time.Millisecond

// Validate returns an error that names the first invalid field, or nil.
func (l *Limiter) Validate() error {
	switch {
	case l.Max < 1:
		return fmt.Errorf("server: Limiter.Max is %d, less than 1", l.Max)
	case l.Min > l.Max:
		return fmt.Errorf("server: Limiter.Min is %d, more than Max (%d)", l.Min, l.Max)
	}
	return nil
}

// Stat returns the limiter's figures.
func (l *Limiter) Stat() LimiterStat {
	l.mu.Lock()
	defer l.mu.Unlock()
	return LimiterStat{Bound: l.boundLocked(), InProgress: l.busy, Waiting: l.queue.Len(), Refused: l.refused}
}

func (l *Limiter) boundLocked() int {
	switch {
	case l.Min <= 0:
		return l.Max
	case l.bound == 0:
		l.bound = float64(l.Min)
	}
	return int(l.bound)
}

// acquire waits for a place. mayRefuse is whether ErrOverloaded can be its
// reply. Every nil is followed by a release.
func (l *Limiter) acquire(ctx context.Context, mayRefuse bool) error {
	wait := orDefault(l.MaxWait, defaultMaxWait)
	l.mu.Lock()
	if l.busy < l.boundLocked() {
		l.busy++
		l.mu.Unlock()
		return nil
	}
	if mayRefuse && wait == 0 {
		l.refused++
		l.mu.Unlock()
		return ErrOverloaded
	}
	p := &place{granted: make(chan struct{})}
	p.at = l.queue.PushBack(p)
	l.mu.Unlock()

	var timeout <-chan time.Time
	if mayRefuse {
		t := time.NewTimer(wait)
		defer t.Stop()
		timeout = t.C
	}
	select {
	case <-p.granted:
		return nil
	case <-timeout:
		return l.giveUp(p, ErrOverloaded)
	case <-ctx.Done():
		if err := ctx.Err(); errors.Is(err, context.DeadlineExceeded) {
			return l.giveUp(p, err) // its peer may be there
		}
		return l.giveUp(p, errGone)
	}
}

// isFull reports whether a request would wait.
func (l *Limiter) isFull() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.busy >= l.boundLocked()
}

// giveUp ends a wait with err, unless its turn came at the same moment.
func (l *Limiter) giveUp(p *place, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-p.granted:
		return nil
	default:
	}
	l.queue.Remove(p.at)
	if err == ErrOverloaded {
		l.refused++
	}
	return err
}

// release ends a request that took so long to handle.
func (l *Limiter) release(took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.Min > 0 {
		l.bound = l.adapting.next(l.bound, float64(l.busy), took)
		l.bound = min(max(l.bound, float64(l.Min)), float64(l.Max))
	}
	l.busy--
	for l.busy < l.boundLocked() && l.queue.Len() > 0 {
		p := l.queue.Remove(l.queue.Front()).(*place)
		l.busy++
		close(p.granted)
	}
}

// gauge finds an adaptive bound. Over windows of as many requests as there are
// places it takes the average of how long they took, and compares it with the lowest
// such average. Averages, since requests differ. Once in gaugeProbe windows it halves
// the bound for two windows and measures the lowest anew: it may have become higher
// for good, and while the bound is above what the handlers can do, no window shows
// the lowest.
type gauge struct {
	sum     float64 // nanoseconds, of the requests of this window
	n       int     // requests of this window
	best    float64 // lowest average; 0: none yet
	windows int     // since the last probe
	before  float64 // the bound before the probe, 0 outside one
}

const (
	gaugeWindow    = 20   // the least requests of a window
	gaugeTolerance = 1.25 // so many times the lowest average is no sign of overload
	gaugeProbe     = 100
)

// next is the bound after a request that took so long while busy were in progress.
func (g *gauge) next(bound, busy float64, took time.Duration) float64 {
	g.sum += float64(took)
	if g.n++; float64(g.n) < max(bound, gaugeWindow) {
		return bound
	}
	average := max(g.sum/float64(g.n), 1)
	g.sum, g.n = 0, 0
	g.windows++
	switch {
	case g.before > 0 && g.windows == 1: // still what began before the probe
		return bound
	case g.before > 0:
		g.best, bound, g.before, g.windows = average, g.before, 0, 0
		return bound
	case g.windows > gaugeProbe:
		g.before, g.windows = bound, 0
		return bound / 2
	}
	if g.best == 0 {
		g.best = average
	}
	g.best = min(g.best, average)
	gradient := min(max(gaugeTolerance*g.best/average, 0.5), 1)
	switch {
	case gradient < 1:
		return bound * (0.8 + 0.2*gradient)
	case busy < bound/2:
		return bound // nobody asks for more
	}
	return bound + math.Sqrt(bound)
}

// limited runs handle within the bound, if there is one.
func (h *FrameHandler) limited(ctx context.Context, dst, req []byte) (reply []byte, err error) {
	l := h.Limiter
	if err := l.acquire(ctx, h.repliesToErrors() || h.Envelope); err != nil {
		if errors.Is(err, ErrOverloaded) {
			if s := sessionOf(ctx); s != nil {
				s.srv.stats.overloaded.Add(1)
			}
		} else if h.Envelope && errors.Is(err, context.DeadlineExceeded) {
			err = errTooLate
		}
		return nil, err
	}
	began := time.Now()
	if o, ok := ctx.Value(observedKey{}).(*observed); ok {
		o.begin()
	}
	defer func() { l.release(time.Since(began)) }()
	return h.handler(ctx, dst, req)
}
