package engine

import (
	"context"
	"runtime/debug"
	"slices"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// defaultDialTimeout is what a zero Limits.DialTimeout means.
const defaultDialTimeout = 30 * time.Second

// dial is a call of Factory.New in progress. Its fields are guarded by
// engine.mu.
type dial[T any] struct {
	caller   context.Context // whose values New sees
	cancel   context.CancelFunc
	canceled bool // given up: its result counts for nothing
	slow     bool // in progress for longer than slowAfter
	ended    bool // New has returned
	timer    *time.Timer
	owner    *waiter[T] // who gets its error; nil if nobody waits for it
	warm     *warming   // the Warm that began it and waits for it, or nil
}

// warming is a Warm in progress.
type warming struct {
	wanted int
	report chan error // gets one value from each dial, and has room for all
	over   bool       // it waits no longer
}

// dialingLocked is the number of calls of Factory.New in progress.
func (p *engine[T]) dialingLocked() int { return len(p.dials) + p.canceled }

// dialLocked begins d. There must be room.
func (p *engine[T]) dialLocked(d *dial[T]) {
	timeout := p.limits.DialTimeout
	if timeout == 0 {
		timeout = defaultDialTimeout
	}
	// The dial has the caller's values, but neither its end nor its deadline.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.caller), timeout)
	d.cancel = cancel
	d.timer = time.AfterFunc(slowAfter, func() { p.isSlow(d) })
	p.dials = append(p.dials, d)
	p.work.Add(1)
	go func() {
		defer p.work.Done()
		defer cancel()
		defer d.timer.Stop()
		makeOne(ctx, p.factory, func(v T, err error) { p.dialed(d, v, err) })
	}()
}

// slowAfter is how long a dial may take before another is begun beside it: the
// peer may be gone, and its name lead elsewhere by now.
const slowAfter = 3 * time.Second

// isSlow is told that d has been in progress for slowAfter, or as long again.
func (p *engine[T]) isSlow(d *dial[T]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d.ended {
		return
	}
	d.slow = true
	d.timer.Reset(slowAfter)
	w := d.owner
	if w == nil || p.closed {
		return
	}
	// Another dial for the same waiter. The failure of d is still its.
	if fresh := slices.ContainsFunc(p.orphans, isFresh[T]); !fresh && p.roomLocked() {
		beside := &dial[T]{caller: w.ctx}
		p.dialLocked(beside)
		p.orphans = append(p.orphans, beside)
		p.thinOutLocked()
	}
}

func isFresh[T any](d *dial[T]) bool { return !d.slow }

// thinOutLocked gives up slow dials that nobody waits for. As many go on as
// half the waiters, the oldest: a peer may be far away.
func (p *engine[T]) thinOutLocked() {
	slow := 0
	for _, d := range slices.Clone(p.orphans) {
		if d.slow {
			slow++
		}
		if d.slow && slow > max(p.queue.all.len/2, 1) {
			p.cancelDialLocked(d)
		}
	}
}

// cancelDialsLocked gives up the n newest dials.
func (p *engine[T]) cancelDialsLocked(n int) {
	for range n {
		p.cancelDialLocked(p.dials[len(p.dials)-1])
	}
}

// cancelDialLocked gives a dial up. Its owner waits on, for what comes free or
// another dial. The dial counts until New returns, which must heed its context.
func (p *engine[T]) cancelDialLocked(d *dial[T]) {
	p.forgetDialLocked(d)
	p.canceled++
	p.queue.disown(d)
	d.canceled = true
	d.cancel()
}

// orphanLocked takes a dial that nobody waits for, or returns nil: the oldest
// of those that are not slow, and a slow one only if there is no room for
// another.
func (p *engine[T]) orphanLocked() *dial[T] {
	if len(p.orphans) == 0 {
		return nil
	}
	i := slices.IndexFunc(p.orphans, isFresh[T])
	if i < 0 {
		if p.roomLocked() {
			return nil
		}
		i = 0
	}
	d := p.orphans[i]
	p.orphans = slices.Delete(p.orphans, i, i+1)
	return d
}

// forgetDialLocked takes d out of those in progress.
func (p *engine[T]) forgetDialLocked(d *dial[T]) {
	if i := slices.Index(p.dials, d); i >= 0 {
		p.dials = slices.Delete(p.dials, i, i+1)
	}
	p.forgetOrphanLocked(d)
}

func (p *engine[T]) forgetOrphanLocked(d *dial[T]) {
	if i := slices.Index(p.orphans, d); i >= 0 {
		p.orphans = slices.Delete(p.orphans, i, i+1)
	}
}

// dialed takes the result of d.
func (p *engine[T]) dialed(d *dial[T], v T, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d.ended = true
	if d.canceled {
		p.canceled--
		if err == nil {
			p.disposeLocked(v)
		}
		p.rewarmLocked(d)
		p.dispatchLocked()
		return
	}
	p.forgetDialLocked(d)
	owner := d.owner
	p.queue.disown(d)
	if err != nil {
		if owner != nil {
			p.failLocked(owner, err)
		}
	} else {
		e := &Entry[T]{value: v, engine: p, gen: p.gen.Load()}
		e.place = len(p.entries)
		p.entries = append(p.entries, e)
		p.store.Add(e)
		p.inheritLocked(owner)
		p.deliverLocked(e)
	}
	d.tell(err)
	p.dispatchLocked()
}

// inheritLocked is called when what was dialed for w goes to the next in the
// queue: if that is another, w gets the other's dial instead, so that each has
// one still and none is begun too many.
func (p *engine[T]) inheritLocked(w *waiter[T]) {
	if w == nil || !w.queued {
		return
	}
	first := p.firstLocked()
	if !w.queued || first == w || first.dial == nil {
		return
	}
	d := first.dial
	p.queue.disown(d)
	p.queue.own(d, w)
}

// tell reports the end of a dial to the Warm that waits for it, if any.
func (d *dial[T]) tell(err error) {
	if d.warm != nil {
		d.warm.report <- err
		d.warm = nil
	}
}

// rewarmLocked begins a dial of Warm anew that was given up, if it is still
// missing and there is room.
func (p *engine[T]) rewarmLocked(d *dial[T]) {
	switch {
	case d.warm == nil || d.warm.over:
	case p.closed:
		d.tell(backend.ErrClosed)
	case p.missingLocked(d.warm.wanted) > 0:
		p.dialLocked(&dial[T]{caller: d.caller, warm: d.warm})
	default:
		d.tell(nil)
	}
}

// missingLocked is how many dials to begin for n to be idle, as far as there is
// room. Dials that nobody waits for will be idle.
func (p *engine[T]) missingLocked(n int) int {
	owned := p.queue.all.len - p.queue.needDial.len
	missing := max(n, 0) - p.store.Idle() - (len(p.dials) - owned)
	if p.max != 0 {
		missing = min(missing, p.max-len(p.entries)-p.dialingLocked())
	}
	return max(missing, 0)
}

// warmAtOnce bounds the dials that one Warm begins at a time.
const warmAtOnce = 256

// Warm implements backend.Backend.
func (p *engine[T]) Warm(ctx context.Context, n int) error {
	done := ctx.Done()
	for {
		if ctx.Err() != nil {
			return ended(ctx)
		}
		w, begun, err := p.beginWarm(ctx, n)
		if err != nil || begun == 0 {
			return err
		}
		for range begun {
			select {
			case err = <-w.report:
			case <-done:
				err = errGaveUp
			}
			if err != nil {
				break
			}
		}
		if err != nil {
			p.abandon(w)
			if err == errGaveUp {
				err = ended(ctx)
			}
			return err
		}
		if begun < warmAtOnce {
			return nil
		}
	}
}

// beginWarm begins the dials that are missing for n to be idle.
func (p *engine[T]) beginWarm(ctx context.Context, n int) (*warming, int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, 0, backend.ErrClosed
	}
	begun := min(p.missingLocked(n), warmAtOnce)
	w := &warming{wanted: n, report: make(chan error, begun)}
	for range begun {
		p.dialLocked(&dial[T]{caller: ctx, warm: w})
	}
	return w, begun, nil
}

// abandon leaves the dials of a Warm that does not wait for them any more to
// whoever needs one.
func (p *engine[T]) abandon(w *warming) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.over = true
	for _, d := range p.dials {
		if d.warm == w {
			d.warm = nil
			p.orphans = append(p.orphans, d)
		}
	}
	p.dispatchLocked()
}

// makeOne calls New and then done, exactly once, whatever New does: a panic in
// New and a runtime.Goexit become a *backend.PanicError.
func makeOne[T any](ctx context.Context, f backend.Factory[T], done func(T, error)) {
	var v, zero T
	err := guard("New", func() (err error) {
		v, err = f.New(ctx)
		return err
	}, func(err error) { done(zero, err) })
	if err != nil {
		v = zero
	}
	done(v, err)
}

// closeOne calls Close and then done, exactly once, whatever Close does.
func closeOne[T any](f backend.Factory[T], v T, done func(error)) {
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
			err = &backend.PanicError{Op: op, Value: r, Stack: debug.Stack()}
			return
		}
		exiting(&backend.PanicError{Op: op, Stack: debug.Stack()})
	}()
	err = f()
	returned = true
	return err
}
