package backend

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// DefaultDialTimeout is the DialTimeout of the zero [Limits].
const DefaultDialTimeout = 30 * time.Second

// Limits is what a backend holds. The zero value works: no maximum, any
// number of waiters, and a dial may take [DefaultDialTimeout].
type Limits struct {
	// Max is the most resources that may be open or being dialed at once.
	// Zero and below mean no maximum.
	Max int
	// MaxWaiters is the most Acquire calls that may wait because Max is
	// reached, beyond those whose dials are in progress. Zero means no
	// limit; below zero nobody may wait, and Acquire fails at once when all
	// are taken.
	MaxWaiters int
	// DialTimeout bounds each call of Factory.New by its context. Zero means
	// DefaultDialTimeout. It cannot be switched off, for a dial without a
	// bound holds its place for ever: negative is invalid.
	DialTimeout time.Duration
}

// Validate says which field is invalid, if one is.
func (l Limits) Validate() error {
	if l.DialTimeout < 0 {
		return fmt.Errorf("backend: Limits.DialTimeout is negative: %v", l.DialTimeout)
	}
	return nil
}

// Unbounded reports whether l sets no maximum.
func (l Limits) Unbounded() bool { return l.Max <= 0 }

// DialContext returns the context for one call of Factory.New: it has the
// values of caller but neither its deadline nor its cancellation, ends
// DialTimeout from now, and ends when life, the backend's own context, does.
// cancel must be called when New has returned, and may be before, to give the
// dial up.
func (l Limits) DialContext(caller, life context.Context) (ctx context.Context, cancel context.CancelFunc) {
	d := l.DialTimeout
	if d <= 0 {
		d = DefaultDialTimeout
	}
	ctx, cancelDial := context.WithTimeout(context.WithoutCancel(caller), d)
	stop := context.AfterFunc(life, cancelDial)
	return ctx, func() {
		stop()
		cancelDial()
	}
}

// Factory makes and closes the resources of a backend.
type Factory[T any] struct {
	// New makes a resource. Its context always has a deadline, has the
	// values of the context of the Acquire or Warm that asked for it, and
	// does not end with it; it is cancelled when the backend gives the dial
	// up, in Close, Clear or Resize. New is called on a goroutine of the
	// backend's own, any number at once, never under a lock, and must return
	// soon after its context has ended.
	New func(ctx context.Context) (T, error)
	// Close ends a resource. It is called exactly once for each success of
	// New, on a goroutine of the backend's own, any number at once, never
	// under a lock. However long it takes, it delays nobody but the
	// backend's Close.
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

// Make calls New and then done, exactly once, whatever New does: a panic in
// New and a runtime.Goexit become a *[PanicError]. done must not panic. Call
// it on a goroutine of its own, for the caller of Acquire does not wait for a
// dial once its context has ended.
func (f Factory[T]) Make(ctx context.Context, done func(T, error)) {
	var v T
	err := guard("New", func() (err error) {
		v, err = f.New(ctx)
		return err
	}, func(err error) { // Goexit: the goroutine is ending
		var zero T
		done(zero, err)
	})
	if err != nil {
		var zero T
		v = zero
	}
	done(v, err)
}

// Dispose calls Close and then done, exactly once, whatever Close does: a
// panic in Close and a runtime.Goexit become a *[PanicError]. done must not
// panic.
func (f Factory[T]) Dispose(v T, done func(error)) {
	done(guard("Close", func() error {
		f.Close(v)
		return nil
	}, done))
}

// guard calls f and returns its error, or its panic as one. If f ends the
// goroutine instead, exiting is called.
func guard(op string, f func() error, exiting func(error)) (err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if r := recover(); r != nil {
			err = newPanicError(op, r)
			return
		}
		exiting(newPanicError(op, nil))
	}()
	err = f()
	returned = true
	return err
}
