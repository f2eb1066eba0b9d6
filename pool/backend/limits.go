package backend

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Limits are the limits of a backend. The zero value works: no maximum, any
// number of waiters, and 30 seconds for each dial.
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
	// 30 seconds. Negative is invalid, because a dial without a limit could
	// count against Max for ever.
	DialTimeout time.Duration
	// Queue decides about waiters. Nil means that all may wait, and are served
	// in the order in which they came. A backend may ignore it.
	Queue Queue
}

// Queue is a policy for the callers that wait because Limits.Max is reached.
// A backend calls it with a lock held, so its methods must not block.
type Queue interface {
	// Admit reports whether a caller may wait, or may still get a resource.
	// remaining is the time until its deadline, ahead is the number of
	// waiters before it, and open is the number of open resources. If the
	// result is false, the caller fails with [ErrOverloaded]. Admit is not
	// called for a caller whose context has no deadline.
	Admit(remaining time.Duration, ahead, open int) bool
	// NewestFirst reports whether the newest waiter gets the next
	// resource. standing is the time for which the queue has not been
	// empty.
	NewestFirst(standing time.Duration) bool
}

// Validate returns an error that names the invalid field, or nil.
func (l Limits) Validate() error {
	if l.DialTimeout < 0 {
		return fmt.Errorf("backend: Limits.DialTimeout is negative: %v", l.DialTimeout)
	}
	return nil
}

// Factory makes and closes the resources of a backend.
type Factory[T any] struct {
	// New makes a resource. Its context always has a deadline, and has the
	// values of the context of the Acquire or Warm that needs the resource.
	// It does not end when that context ends. Close, Clear and Resize can
	// cancel it. New is called on a goroutine of the backend's own, any
	// number at once, never under a lock, and must return soon after its
	// context has ended.
	New func(ctx context.Context) (T, error)
	// Close ends a resource. It is called exactly once for each success of
	// New, on a goroutine of the backend's own, any number at once, never
	// under a lock. If it is slow, it delays only the backend's Close.
	Close func(T)
}

// Validate returns an error that names the missing field, or nil.
func (f Factory[T]) Validate() error {
	if f.New == nil {
		return errors.New("backend: Factory.New is nil")
	}
	if f.Close == nil {
		return errors.New("backend: Factory.Close is nil")
	}
	return nil
}
