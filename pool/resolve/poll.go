package resolve

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/signal"
)

// schedule says when a resolver that polls looks again.
type schedule struct {
	interval time.Duration // between looks; not positive: only when asked
	least    time.Duration // between the start of a look and the next
	timeout  time.Duration // of a look
}

// poll looks, reports what has changed, and waits, until ctx ends. It looks
// earlier than the interval when asked to, and after a failed look: first after
// least, then after twice as long each time, up to the interval.
func poll(ctx context.Context, s schedule, asked *signal.Signal, look func(context.Context) ([]Endpoint, error), update func([]Endpoint, error)) error {
	var known []Endpoint
	valid := false // known is what was reported last, and no error has been since
	failures := 0
	for {
		again := asked.Next() // before the look: what asks during it is heard
		begun := time.Now()
		set, err := bounded(ctx, s.timeout, look)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			failures++
			valid = false
			update(nil, err)
		} else if set = Normalize(set); !valid || !equal(set, known) {
			failures, valid, known = 0, true, set
			update(set, nil)
		}
		if err := s.wait(ctx, begun, failures, again); err != nil {
			return err
		}
	}
}

func bounded(ctx context.Context, timeout time.Duration, look func(context.Context) ([]Endpoint, error)) ([]Endpoint, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return look(ctx)
}

// wait returns nil when the next look is due, or the error of ctx.
func (s schedule) wait(ctx context.Context, begun time.Time, failures int, again <-chan struct{}) error {
	var due <-chan time.Time
	if d := s.pause(failures); d > 0 {
		timer := time.NewTimer(time.Until(begun.Add(max(d, s.least))))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-due:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-again:
	}
	early := time.NewTimer(time.Until(begun.Add(s.least)))
	defer early.Stop()
	select {
	case <-early.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pause is the time from one look to the next, with jitter that shortens it by
// up to a tenth, so that many clients do not look at the same moment.
func (s schedule) pause(failures int) time.Duration {
	d := s.interval
	if failures > 0 {
		most := d
		if most <= 0 {
			most = defaultInterval
		}
		d = min(s.least<<min(failures-1, 16), most)
	}
	if d <= 0 {
		return 0
	}
	return d - rand.N(d/10+1)
}
