package gtcp

import (
	"context"
	"math"
	"time"

	"github.com/seed-99d6a01a/gtcp/retry"
)

// defaultRetryInterval is what a zero Retry.Interval means.
const defaultRetryInterval = 100 * time.Millisecond

// Retry says what to do when an operation times out: up to Count further
// attempts, Interval apart. An attempt goes on where the one before it was
// cut, so no byte is sent twice and none is lost, and a call with a timeout
// gives each attempt that timeout anew. An error other than a timeout is final
// at once.
type Retry struct {
	Count    int           // further attempts after the first; 0 and less: none
	Interval time.Duration // pause before each; 0: 100 ms, negative: none
}

func (r Retry) policy() retry.Policy {
	interval := r.Interval
	if interval == 0 {
		interval = defaultRetryInterval
	}
	return retry.Policy{
		MaxAttempts: min(r.Count, math.MaxInt-1) + 1,
		Backoff:     retry.Constant(max(interval, 0)),
		Retryable:   isTimeout,
	}
}

// A limit bounds each attempt of a call by arming one direction's deadline.
// The zero limit bounds nothing.
type limit struct {
	arm     func(*innerConn, time.Time) error
	timeout time.Duration
}

func recvLimit(d time.Duration) limit { return limit{(*innerConn).limitRecv, d} }
func sendLimit(d time.Duration) limit { return limit{(*innerConn).limitSend, d} }

// bounded runs step on t once, within l.
func bounded[T any](s *innerConn, l limit, t T, step func(T) (T, error)) (T, error) {
	if l.arm == nil {
		return step(t)
	}
	if err := l.arm(s, time.Now().Add(l.timeout)); err != nil {
		return t, err
	}
	t, err := step(t)
	_ = l.arm(s, time.Time{}) // it fails on a closed connection only
	return t, err
}

// simple says that a call is one step and nothing around it. Callers make the
// step themselves then: through attempt it costs as much again.
func simple(l limit, r Retry) bool { return l.arm == nil && r.Count <= 0 }

// attempt runs step on t within l, and again as r says on what step made of t.
func attempt[T any](s *innerConn, l limit, r Retry, t T, step func(T) (T, error)) (T, error) {
	if r.Count <= 0 {
		return bounded(s, l, t, step)
	}
	return attempts(s, l, r, t, step)
}

// attempts is apart from attempt so that a call without retry allocates
// nothing for what the closure captures.
func attempts[T any](s *innerConn, l limit, r Retry, t T, step func(T) (T, error)) (T, error) {
	err := retry.Do(context.Background(), r.policy(), func(context.Context) (err error) {
		t, err = bounded(s, l, t, step)
		return err
	})
	return t, err
}

// first is the optional argument of a call, or its zero value.
func first[T any](optional []T) (v T) {
	if len(optional) > 0 {
		v = optional[0]
	}
	return v
}
