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

// defaultCallTimeout is what a zero ClientConfig.CallTimeout means. With the eighth
// that it may take longer, a call ends within 15 s.
const defaultCallTimeout = 13 * time.Second

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
	mu      sync.Mutex  // guards the replacement of current, and what follows
	timer   *time.Timer // ends the stretch; nil before the first
}

// sharedDeadline is the context of the calls without deadline that begin in
// one stretch of time. Most of them ask only for the deadline. So the context that can
// be waited for, with a timer of its own, is made only when somebody waits.
type sharedDeadline struct {
	at    time.Time
	ended atomic.Bool // the stretch has ended; before, nobody needs to look at the clock
	mu    sync.Mutex  // guards the making of waits
	waits atomic.Pointer[waitContext]
}

// Deadline implements context.Context.
func (s *sharedDeadline) Deadline() (time.Time, bool) { return s.at, true }

// Done implements context.Context.
func (s *sharedDeadline) Done() <-chan struct{} { return s.real().Done() }

// Err implements context.Context.
func (s *sharedDeadline) Err() error {
	if w := s.waits.Load(); w != nil {
		return w.Err()
	}
	if !s.ended.Load() || time.Now().Before(s.at) {
		return nil
	}
	return context.DeadlineExceeded
}

// Value implements context.Context. It has no values but those by which package
// context finds a context that it has made.
func (s *sharedDeadline) Value(key any) any {
	if w := s.waits.Load(); w != nil {
		return w.Value(key)
	}
	return nil
}

// real returns a context like this one, that can be waited for. It is never cancelled
// early: calls may use it to the end.
func (s *sharedDeadline) real() *waitContext {
	if w := s.waits.Load(); w != nil {
		return w
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.waits.Load()
	if w == nil {
		w = &waitContext{}
		w.Context, w.cancel = context.WithDeadline(context.Background(), s.at)
		s.waits.Store(w)
	}
	return w
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
	if t.limit < leastShared {
		return context.WithTimeout(ctx, t.limit)
	}
	return t.stretch().with(ctx)
}

// of returns the limit of a call that begins now, nil if it has none or its
// context has a deadline.
func (t *callTimeout) of(ctx context.Context) *sharedDeadline {
	if t.limit == 0 {
		return nil
	}
	if _, ok := ctx.Deadline(); ok {
		return nil
	}
	return t.stretch()
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
	s := &sharedDeadline{at: time.Now().Add(t.limit + t.limit/8)}
	t.current.Store(s)
	if t.timer == nil {
		t.timer = time.AfterFunc(t.limit/16, t.endStretch)
	} else {
		t.timer.Reset(t.limit / 16)
	}
	return s
}

// endStretch is what the timer calls. If it is late, it may end the next stretch too
// early, which does no harm.
func (t *callTimeout) endStretch() {
	if s := t.current.Swap(nil); s != nil {
		s.ended.Store(true)
	}
}

// with returns ctx, or one made from it with the shared deadline. s may be nil.
// cancel must be called.
func (s *sharedDeadline) with(ctx context.Context) (_ context.Context, cancel context.CancelFunc) {
	switch {
	case s == nil:
		return ctx, func() {}
	case ctx == context.Background():
		return s, func() {}
	case ctx.Done() == nil:
		return &deadlineWithValues{s, ctx}, func() {}
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

// ioLimit is the context of the I/O of a call on one connection: its own, with a
// shared deadline. A deadline of the socket serves that, so nobody need wait for it:
// Done is that of the call's context.
type ioLimit struct {
	context.Context
	limit *sharedDeadline
	kept  bool // a goroutine may use it beyond the call
}

// AfterFunc is what package context calls where Context is not one of its types. It
// may keep l then for longer than the call lasts.
func (l *ioLimit) AfterFunc(f func()) (stop func() bool) {
	l.kept = true
	return context.AfterFunc(l.Context, f)
}

// Deadline is the earlier of the two.
func (l *ioLimit) Deadline() (time.Time, bool) {
	at, _ := l.limit.Deadline()
	if own, ok := l.Context.Deadline(); ok && own.Before(at) {
		at = own
	}
	return at, true
}

// getLimit is the context of a call's wait for a connection: its own, with a shared
// deadline. Most calls find an idle connection and wait for nothing. So a timer, and
// the memory that goes with it, is made only when Done is asked for.
type getLimit struct {
	ioLimit
	handedOut atomic.Bool // somebody may keep it
	mu        sync.Mutex  // guards the making of waits
	waits     atomic.Pointer[waitContext]
}

// waitContext is a context with a timer, that ends with a limit.
type waitContext struct {
	context.Context
	cancel context.CancelFunc
}

// Done implements context.Context.
func (l *getLimit) Done() <-chan struct{} { return l.real().Done() }

// AfterFunc is that of package context for a context with the limit.
func (l *getLimit) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(l.real(), f) }

// real returns a context like this one, that can be waited for.
func (l *getLimit) real() *waitContext {
	l.handedOut.Store(true)
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.waits.Load()
	if w == nil {
		w = &waitContext{}
		w.Context, w.cancel = l.limit.with(l.Context)
		l.waits.Store(w)
	}
	return w
}

// Err implements context.Context.
func (l *getLimit) Err() error {
	if w := l.waits.Load(); w != nil {
		return w.Err()
	}
	if err := l.Context.Err(); err != nil {
		return err
	}
	return l.limit.Err()
}

// Value implements context.Context.
func (l *getLimit) Value(key any) any {
	if _, ok := key.(notesKey); ok {
		return l.Context.Value(key)
	}
	l.handedOut.Store(true)
	if w := l.waits.Load(); w != nil {
		return w.Value(key)
	}
	return l.Context.Value(key)
}

// end releases what was made. It reports whether nobody can have kept l.
func (l *getLimit) end() (unused bool) {
	if w := l.waits.Load(); w != nil {
		w.cancel()
	}
	return !l.handedOut.Load()
}
