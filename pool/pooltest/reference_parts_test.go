package pooltest_test

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// What any backend written from the ground up needs: the context of a dial,
// and calls of New and Close that cannot get lost.

// dialContext has the caller's values, but neither its end nor its deadline.
func dialContext(l backend.Limits, caller, life context.Context) (context.Context, context.CancelFunc) {
	d := l.DialTimeout
	if d <= 0 {
		d = 30 * time.Second
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(caller), d)
	stop := context.AfterFunc(life, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

func makeOne[T any](ctx context.Context, f backend.Factory[T], done func(T, error)) {
	var v T
	err := errors.New("not called")
	call("New", func() { v, err = f.New(ctx) }, func(p error) {
		if p != nil {
			err = p
		}
		if err != nil {
			var zero T
			v = zero
		}
		done(v, err)
	})
}

func closeOne[T any](f backend.Factory[T], v T, done func(error)) {
	call("Close", func() { f.Close(v) }, done)
}

// call runs f and then done, with f's panic or Goexit as an error.
func call(op string, f func(), done func(error)) {
	returned := false
	defer func() {
		if returned {
			done(nil)
			return
		}
		done(&backend.PanicError{Op: op, Value: recover(), Stack: debug.Stack()})
	}()
	f()
	returned = true
}

// ended is the error of a call whose context has ended.
func ended(ctx context.Context) error { return errors.Join(ctx.Err(), context.Cause(ctx)) }
