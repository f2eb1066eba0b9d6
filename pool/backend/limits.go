package backend

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Limits is what a backend holds. The zero value works: no maximum, any number
// of waiters, and 30 seconds for each dial.
type Limits struct {
	// Max bounds the resources that are open or being dialed. Zero or negative
	// means no maximum.
	Max int
	// MaxWaiters bounds the Acquire calls that wait because Max is reached,
	// beyond those whose dials are in progress. Zero means no bound. Negative
	// means that no caller may wait: Acquire fails at once when all are in
	// use.
	MaxWaiters int
	// DialTimeout bounds each call of Factory.New by its context. Zero means
	// 30 seconds. Negative is invalid: a dial without a bound holds its place
	// for ever.
	DialTimeout time.Duration
	// Queue decides about waiters. Nil means that all may wait, and are served
	// in the order in which they came. A backend may ignore it.
	Queue Queue
}

// Queue is a policy for the callers that wait because Limits.Max is reached.
// A backend that heeds it calls it with a lock held, so its methods only
// compute.
type Queue interface {
	// Admit reports whether a caller may wait, or may still be served: one
	// with so much time left, behind so many others, where so many resources
	// are open. A caller that may not fails with [ErrOverloaded]. It is not
	// asked about a caller whose context has no deadline.
	Admit(remaining time.Duration, ahead, open int) bool
	// NewestFirst reports whether the newest waiter is to be served first,
	// where the queue has not been empty for so long.
	NewestFirst(standing time.Duration) bool
}

// Validate says which field is invalid, if one is.
func (l Limits) Validate() error {
	if l.DialTimeout < 0 {
		return fmt.Errorf("backend: Limits.DialTimeout is negative: %v", l.DialTimeout)
	}
	return nil
}

// Factory makes and closes the resources of a backend.
type Factory[T any] struct {
	// New makes a resource. Its context always has a deadline, has the values
	// of the context of the Acquire or Warm that asked for it, and does not
	// end with it; it is cancelled when the backend gives the dial up, in
	// Close, Clear or Resize. New is called on a goroutine of the backend's
	// own, any number at once, never under a lock, and must return soon after
	// its context has ended.
	New func(ctx context.Context) (T, error)
	// Close ends a resource. It is called exactly once for each success of
	// New, on a goroutine of the backend's own, any number at once, never
	// under a lock. However long it takes, it delays nobody but the backend's
	// Close.
	Close func(T)
}

// Validate says which field is missing, if one is.
func (f Factory[T]) Validate() error {
	if f.New == nil {
		return errors.New("backend: Factory.New is nil")
	}
	if f.Close == nil {
		return errors.New("backend: Factory.Close is nil")
	}
	return nil
}
