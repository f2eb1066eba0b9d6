package gtcp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
)

// defaultCallTimeout is what a zero ClientConfig.CallTimeout means.
const defaultCallTimeout = 15 * time.Second

// leastShared is the shortest limit for which contexts are shared: with shorter
// ones a timer that is late would matter.
const leastShared = time.Second

// callTimeout gives calls without a deadline one. A timer for each call would
// cost more than the rest of a shared call, so those that begin within a
// sixteenth of the timeout share one context, and its deadline. Where nothing but
// a pipeline has to end a call, its own CallTimeout does.
type callTimeout struct {
	limit   time.Duration // 0 if there is none
	current atomic.Pointer[sharedDeadline]
	mu      sync.Mutex // guards the replacement of current
}

// sharedDeadline is the context of the calls without deadline that begin in
// one stretch of time.
type sharedDeadline struct {
	context.Context
	cancel context.CancelFunc // never called early: calls may use it to the end
}

// init sets the limit from ClientConfig.CallTimeout.
func (t *callTimeout) init(configured time.Duration) {
	t.limit = max(configured, 0)
	if configured == 0 {
		t.limit = defaultCallTimeout
	}
}

// context returns ctx, or one made from it with a deadline where it has none.
// cancel is nil where nothing is to be released.
func (t *callTimeout) context(ctx context.Context) (_ context.Context, cancel context.CancelFunc) {
	if t.limit == 0 {
		return ctx, nil
	}
	if _, ok := ctx.Deadline(); ok {
		return ctx, nil
	}
	if ctx.Done() != nil || t.limit < leastShared {
		return context.WithTimeout(ctx, t.limit)
	}
	return t.stretch().values(ctx), nil
}

// stretch returns the context of the calls that begin now.
func (t *callTimeout) stretch() *sharedDeadline {
	s := t.current.Load()
	if s == nil || s.Err() != nil {
		s = t.replace(s)
	}
	return s
}

// explain says in the text of a call's error that the time limit was that of the
// client, and not that of the call's own context.
func (t *callTimeout) explain(err error, own, limited context.Context) {
	_, has := own.Deadline()
	e, ok := err.(*CallError)
	if t.limit == 0 || has || !ok || !errors.Is(err, context.DeadlineExceeded) {
		return
	}
	if deadline, _ := limited.Deadline(); !time.Now().Before(deadline) || errors.Is(err, pipeline.ErrCallTimeout) {
		e.hint = fmt.Sprintf("the call had no deadline, and ClientConfig.CallTimeout is %v", t.limit)
	}
}

// replace makes the context of the stretch that begins now, in place of old. A
// stretch is half an eighth of the limit: its calls have all their time even if
// the timer that ends it is late by the other half.
func (t *callTimeout) replace(old *sharedDeadline) *sharedDeadline {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.current.Load(); s != nil && s != old {
		return s
	}
	s := &sharedDeadline{}
	s.Context, s.cancel = context.WithTimeout(context.Background(), t.limit+t.limit/8)
	t.current.Store(s)
	time.AfterFunc(t.limit/16, func() { t.current.CompareAndSwap(s, nil) })
	return s
}

// values is the shared deadline for a call with the context ctx, which never ends.
func (s *sharedDeadline) values(ctx context.Context) context.Context {
	if ctx == context.Background() {
		return s
	}
	return &deadlineWithValues{s, ctx}
}

// with returns ctx, or one made from it with the shared deadline where it has
// none. cancel must be called.
func (s *sharedDeadline) with(ctx context.Context) (_ context.Context, cancel context.CancelFunc) {
	if ctx.Done() == nil {
		return s.values(ctx), func() {}
	}
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	deadline, _ := s.Deadline()
	return context.WithDeadline(ctx, deadline)
}

// deadlineWithValues is a shared deadline with the values of a call's context,
// which never ends.
type deadlineWithValues struct {
	*sharedDeadline
	values context.Context
}

// Value asks the shared context first. It knows only the context package's own
// key, by which that finds it without a goroutine.
func (d *deadlineWithValues) Value(key any) any {
	if v := d.sharedDeadline.Value(key); v != nil {
		return v
	}
	return d.values.Value(key)
}

// deadlineOnly is a shared deadline for I/O on one connection: a deadline of
// the socket serves it, so nobody need wait for its end.
type deadlineOnly struct{ *sharedDeadline }

// Done returns nil: see [deadlineOnly].
func (deadlineOnly) Done() <-chan struct{} { return nil }
