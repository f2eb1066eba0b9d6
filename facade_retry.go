package gtcp

import (
	"context"
	"errors"
	"math"
	"net"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/retry"
)

// defaultRetryInterval is what a zero Retry.Interval means.
const defaultRetryInterval = 100 * time.Millisecond

// Retry says what to do when an operation times out: make up to Count further
// attempts, Interval apart. An attempt continues where the attempt before it
// stopped. So no byte is sent twice and none is lost. A call with a timeout
// gives each attempt the whole timeout again. Any error other than a timeout
// ends the call at once.
type Retry struct {
	Count    int           // Further attempts after the first. Zero or negative means none.
	Interval time.Duration // The pause before each. Zero means 100 ms, negative none.
}

func (r Retry) policy() retry.Policy {
	interval := r.Interval
	if interval == 0 {
		interval = defaultRetryInterval
	}
	return retry.Policy{
		MaxAttempts: min(r.Count, math.MaxInt-1) + 1,
		Backoff:     retry.Constant(max(interval, 0)),
		Retryable:   resumable,
	}
}

// resumable says whether a call can go on behind err: a timeout of its I/O. One
// of the dial of another connection is the end, for there is none.
func resumable(err error) bool {
	var dial *pool.Error
	return isTimeout(err) && !errors.As(err, &dial)
}

// limit is the timeout of a call, which each of its attempts has anew. The
// zero limit bounds nothing.
type limit struct {
	covers  covers
	timeout time.Duration
}

// covers says what a timeout bounds.
type covers uint8

const (
	coversNothing covers = iota
	coversAll            // the wait for the direction's lock, the dial of another connection, and the I/O
	coversStart          // the lock and the dial: the part of a request before it is written
)

// simple says that a call is one step with nothing around it. Callers make the
// step themselves then: through attempt it costs as much again.
func simple(l limit, r Retry) bool { return l.covers == coversNothing && r.Count <= 0 }

// attempt takes the lock of direction d and runs step on t within l, and again
// as r says on what step made of t. It reports whether it holds the lock, which
// it does unless the wait for it timed out; then the caller releases it.
func attempt[T any](s *innerConn, d direction, l limit, r Retry, t T, step func(T) (T, error)) (T, bool, error) {
	if r.Count <= 0 {
		return bounded(s, d, l, false, t, step)
	}
	return attempts(s, d, l, r, t, step)
}

// attempts is apart from attempt so that a call without retry allocates
// nothing for what the closure captures.
func attempts[T any](s *innerConn, d direction, l limit, r Retry, t T, step func(T) (T, error)) (T, bool, error) {
	held := false
	err := retry.Do(context.Background(), r.policy(), func(context.Context) (err error) {
		t, held, err = bounded(s, d, l, held, t, step)
		return err
	})
	return t, held, err
}

// bounded runs step on t once, within l and with the lock held.
func bounded[T any](s *innerConn, d direction, l limit, held bool, t T, step func(T) (T, error)) (T, bool, error) {
	var by time.Time
	if l.covers != coversNothing {
		by = time.Now().Add(l.timeout)
	}
	if !held {
		if err := s.enter(d, by); err != nil {
			return t, false, err
		}
	}
	if l.covers == coversNothing {
		t, err := step(t)
		return t, true, err
	}
	if err := s.arm(d, l.covers, by); err != nil {
		return t, true, err
	}
	t, err := step(t)
	_ = s.arm(d, l.covers, time.Time{})
	return t, true, err
}

// arm bounds the attempt in progress. The zero time ends the bound and leaves
// the caller's own deadline as it is.
func (s *innerConn) arm(d direction, c covers, by time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.makeBoundsLocked().of(d)
	if c == coversStart {
		b.start = by
		return nil
	}
	b.call = by
	err := d.setDeadline(s.current(), b.deadline())
	if errors.Is(err, net.ErrClosed) {
		return nil // the I/O says so too, in the words of I/O
	}
	return err
}

// first is the optional argument of a call, or its zero value.
func first[T any](optional []T) (v T) {
	if len(optional) > 0 {
		v = optional[0]
	}
	return v
}
