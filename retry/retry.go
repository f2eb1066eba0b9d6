package retry

import (
	"context"
	"errors"
	"time"
)

// Do calls fn until it succeeds or p allows no further attempt. It calls
// fn on the caller's goroutine, with ctx or, under PerAttemptTimeout, with
// a child of ctx.
//
// When p allows no further attempt, Do returns the last error of fn unchanged,
// so that io.EOF stays io.EOF. It removes the mark of Permanent. When ctx ends
// before, during or between attempts, Do returns an *Error, which is both the
// context's error and the last error of fn. It does so at once if the deadline
// of ctx would pass before the next attempt. If ctx has ended already, fn is
// not called.
func Do(ctx context.Context, p Policy, fn func(ctx context.Context) error) error {
	if ctx.Err() != nil {
		return new(call).stopped(ctx, nil)
	}
	p.Budget.deposit()
	c := call{start: p.start()}
	return c.attempt(ctx, &p, fn)
}

// Resume is Do for a call whose first attempt has been made already, and has
// failed with err, which must not be nil. Use it in code whose first attempt
// nearly always succeeds: that attempt then does not have the cost of Do.
// MaxElapsed counts from Resume, and PerAttemptTimeout does not bound the
// first attempt.
func Resume(ctx context.Context, p Policy, err error, fn func(ctx context.Context) error) error {
	p.Budget.deposit()
	c := call{start: p.start()}
	if err = c.next(ctx, &p, err); err != nil {
		return err
	}
	return c.attempt(ctx, &p, fn)
}

// attempt calls fn until it succeeds or p gives up.
func (c *call) attempt(ctx context.Context, p *Policy, fn func(context.Context) error) error {
	for {
		var err error
		if p.PerAttemptTimeout <= 0 {
			err = fn(ctx)
		} else {
			err = timed(ctx, p.PerAttemptTimeout, fn)
		}
		if err == nil {
			return nil
		}
		if err = c.next(ctx, p, err); err != nil {
			return err
		}
	}
}

// Value is Do for a function that returns a result. It returns the result of
// the last attempt, also with an error, and the zero T if there was no attempt.
func Value[T any](ctx context.Context, p Policy, fn func(ctx context.Context) (T, error)) (v T, err error) {
	if ctx.Err() != nil {
		return v, new(call).stopped(ctx, nil)
	}
	p.Budget.deposit()
	c := call{start: p.start()}
	for {
		if p.PerAttemptTimeout <= 0 {
			v, err = fn(ctx)
		} else {
			v, err = timedValue(ctx, p.PerAttemptTimeout, fn)
		}
		if err == nil {
			return v, nil
		}
		if err = c.next(ctx, &p, err); err != nil {
			return v, err
		}
	}
}

// call is the state of one Do or Value.
type call struct {
	start    time.Time // set if the policy has a MaxElapsed
	attempts int       // that failed
	delay    time.Duration
	last     error // of the last attempt that ctx did not end
	effects  bool  // an attempt may have had an effect
}

// next is called after an attempt has failed. It returns nil when the next
// attempt is due, after the wait, or the error that ends the call.
func (c *call) next(ctx context.Context, p *Policy, err error) error {
	c.attempts++
	c.effects = c.effects || !SafeToRetry(err)
	if ctx.Err() != nil {
		return c.stopped(ctx, err)
	}
	if bare, ok := permanent(err); ok {
		return bare
	}
	if c.attempts == p.most() || !p.retryable(err) {
		return err
	}
	c.last = err
	c.delay = max(0, p.backoff(c.attempts, c.delay, err))
	if p.MaxElapsed > 0 && c.delay > p.MaxElapsed-time.Since(c.start) {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= c.delay {
		return &Error{Attempts: c.attempts, Context: errNoTime, Last: err, safe: !c.effects}
	}
	if !p.Budget.withdraw() {
		return err
	}
	if !wait(ctx, c.delay) {
		return c.stopped(ctx, nil)
	}
	if p.OnRetry != nil {
		p.OnRetry(ctx, Attempt{Number: c.attempts, Err: err, Delay: c.delay})
	}
	return nil
}

// timed calls fn with a deadline of its own.
func timed(ctx context.Context, limit time.Duration, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return fn(ctx)
}

func timedValue[T any](ctx context.Context, limit time.Duration, fn func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return fn(ctx)
}

// wait sleeps for d. It returns false if ctx ended first or at the same time.
func wait(ctx context.Context, d time.Duration) bool {
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return ctx.Err() == nil
}

// stopped makes the error of a call whose context has ended. err is what the
// attempt in progress returned, nil if there was none.
func (c *call) stopped(ctx context.Context, err error) error {
	if bare, ok := permanent(err); ok {
		err = bare
	}
	e := &Error{Attempts: c.attempts, Context: ctx.Err(), Last: c.last, safe: !c.effects}
	switch {
	case err == nil:
	case c.last == nil || !errors.Is(err, ctx.Err()):
		e.Last = err
	default: // err says how the context ended the attempt, last why the attempt was made
		e.Context = err
	}
	if cause := context.Cause(ctx); !errors.Is(e.Context, cause) {
		e.Context = errors.Join(e.Context, cause)
	}
	return e
}
