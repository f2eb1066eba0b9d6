package retry

import (
	"context"
	"errors"
	"time"
)

// Do calls fn until it succeeds or p gives up. fn is called on the caller's
// goroutine, with ctx or, under PerAttemptTimeout, a child of it.
//
// When p gives up, Do returns the last error of fn as it is, so that io.EOF
// stays io.EOF; the mark of Permanent is taken off. When ctx ends, before,
// during or between attempts, or would before the next backoff does, Do returns
// an *Error, which is both the context's error and the last one of fn. With a
// ctx that has ended already fn is not called.
func Do(ctx context.Context, p Policy, fn func(ctx context.Context) error) error {
	if ctx.Err() != nil {
		return stopped(ctx, 0, nil, nil)
	}
	p.Budget.deposit()
	var start time.Time
	if p.MaxElapsed > 0 {
		start = time.Now()
	}
	var last error // of the latest attempt that ctx did not end
	var delay time.Duration
	for n := 1; ; n++ {
		err := p.attempt(ctx, fn)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return stopped(ctx, n, last, err)
		}
		if bare, ok := permanent(err); ok {
			return bare
		}
		if n == p.maxAttempts() || !p.retryable(err) {
			return err
		}
		last = err
		delay = max(0, p.backoff(n, delay))
		if p.MaxElapsed > 0 && delay > p.MaxElapsed-time.Since(start) {
			return err
		}
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= delay {
			return &Error{Attempts: n, Context: errNoTime, Last: last}
		}
		if !p.Budget.withdraw() {
			return err
		}
		if !wait(ctx, delay) {
			return stopped(ctx, n, last, nil)
		}
		if p.OnRetry != nil {
			p.OnRetry(Attempt{Number: n, Err: err, Delay: delay})
		}
	}
}

// Value is Do for a function with a result. It returns the result of the last
// attempt, also beside an error, and the zero T where there was none.
func Value[T any](ctx context.Context, p Policy, fn func(ctx context.Context) (T, error)) (T, error) {
	var v T
	err := Do(ctx, p, func(ctx context.Context) error {
		var err error
		v, err = fn(ctx)
		return err
	})
	return v, err
}

func (p *Policy) attempt(ctx context.Context, fn func(context.Context) error) error {
	if p.PerAttemptTimeout <= 0 {
		return fn(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, p.PerAttemptTimeout)
	defer cancel()
	return fn(ctx)
}

// wait sleeps for d; it says false if ctx ended first or at the same time.
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

// stopped is the error of a call whose context has ended. err is what the
// attempt under way returned, last the error of the attempt before it.
func stopped(ctx context.Context, n int, last, err error) error {
	if bare, ok := permanent(err); ok {
		err = bare
	}
	e := &Error{Attempts: n, Context: ctx.Err(), Last: last}
	switch {
	case err == nil:
	case last == nil || !errors.Is(err, ctx.Err()):
		e.Last = err
	default: // err tells how the context ended the attempt; last tells why there was one
		e.Context = err
	}
	if cause := context.Cause(ctx); !errors.Is(e.Context, cause) {
		e.Context = errors.Join(e.Context, cause)
	}
	return e
}
