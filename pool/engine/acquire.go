package engine

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// Acquire implements backend.Backend.
func (p *engine[T]) Acquire(ctx context.Context) (backend.Lease[T], error) {
	if ctx.Err() != nil {
		return backend.Lease[T]{}, ended(ctx)
	}
	if p.waiting.Load() == 0 { // no overtaking
		if e := p.store.Claim(); e != nil {
			if e.gen == p.gen.Load() {
				return e.lease(), nil
			}
			p.discard(e)
		}
	}
	return p.acquireSlow(ctx)
}

// acquireSlow waits in turn, with a dial of its own if there is room.
func (p *engine[T]) acquireSlow(ctx context.Context) (backend.Lease[T], error) {
	// The context is the user's code: it is asked here, where a panic of it is
	// its caller's alone. Elsewhere, and under the lock, w.done tells.
	w := p.waiters.Get().(*waiter[T])
	w.ctx, w.done = ctx, ctx.Done()
	w.since = time.Since(p.born) // half the price of time.Now
	w.deadline = math.MaxInt64
	if deadline, ok := ctx.Deadline(); ok && p.limits.Queue != nil {
		w.deadline = w.since + time.Until(deadline)
	}
	if e, err := p.enqueue(w); e != nil || err != nil {
		p.recycle(w)
		if err != nil {
			return backend.Lease[T]{}, err
		}
		return e.lease(), nil
	}
	p.waits.Add(1)
	begun := w.since
	e, err := p.wait(w)
	p.waitTime.Add(int64(time.Since(p.born) - begun))
	p.recycle(w)
	if err == errGaveUp {
		err = ended(ctx)
	}
	if err != nil {
		return backend.Lease[T]{}, err
	}
	return e.lease(), nil
}

// recycle keeps a waiter that has left the queue for another caller.
func (p *engine[T]) recycle(w *waiter[T]) {
	w.ctx, w.done, w.entry, w.err = nil, nil, nil, nil
	p.waiters.Put(w)
}

// enqueue makes w wait. It returns an entry or an error if there is no need.
func (p *engine[T]) enqueue(w *waiter[T]) (*Entry[T], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, backend.ErrClosed
	}
	if p.queue.all.len == 0 {
		if e := p.claimLocked(); e != nil {
			return e, nil
		}
		p.standing = w.since
	}
	if err := p.admitLocked(w); err != nil {
		return nil, err
	}
	p.queue.push(w)
	p.waiting.Store(int64(p.queue.all.len))
	p.dispatchLocked()
	return nil, nil
}

// admitLocked says why another caller may not wait, if so.
func (p *engine[T]) admitLocked(w *waiter[T]) error {
	if w.room = p.roomLocked(); w.room {
		return nil
	}
	// Each dial will serve a waiter, and what a sweep looks at another; only
	// the others count.
	ahead := p.queue.all.len - len(p.dials) - p.sweeping
	if most := p.limits.MaxWaiters; most != 0 && ahead >= max(most, 0) {
		p.refused.Add(1)
		return backend.ErrTooManyWaiters
	}
	if !p.mayWaitLocked(w, w.since, max(ahead, 0)) {
		return backend.ErrOverloaded
	}
	return nil
}

// mayWaitLocked asks the policy about w, behind so many.
func (p *engine[T]) mayWaitLocked(w *waiter[T], now time.Duration, ahead int) bool {
	return w.deadline == math.MaxInt64 || p.limits.Queue.Admit(w.deadline-now, ahead, len(p.entries))
}

// errGaveUp tells a waiter that its context has ended. It does not leave the
// package.
var errGaveUp = errors.New("bug: errGaveUp was returned")

// wait blocks until w is served or failed or its context ends. The waiter is
// then the caller's alone.
func (p *engine[T]) wait(w *waiter[T]) (*Entry[T], error) {
	select {
	case <-w.ready:
	case <-w.done:
		if p.leave(w) {
			return nil, errGaveUp
		}
		<-w.ready // it was finished meanwhile
	}
	if w.err == nil && w.ended() {
		p.release(w.entry) // for the next
		return nil, errGaveUp
	}
	return w.entry, w.err
}

// leave reports whether w was still in the queue, and takes it out.
func (p *engine[T]) leave(w *waiter[T]) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !w.queued {
		return false
	}
	p.leaveLocked(w)
	return true
}

// Return implements backend.Backend.
func (p *engine[T]) Return(l backend.Lease[T], v backend.Verdict) error {
	e, ok := l.Handle.(*Entry[T])
	if !ok || e == nil || e.engine != p || l.Epoch == evicted || !e.epoch.CompareAndSwap(l.Epoch, l.Epoch+1) {
		return backend.ErrStale
	}
	if v == backend.Keep {
		p.release(e)
	} else {
		p.discard(e)
	}
	return nil
}

// release gives an entry that nobody has to a waiter, or makes it idle.
func (p *engine[T]) release(e *Entry[T]) {
	if p.waiting.Load() == 0 && e.gen == p.gen.Load() && !p.excess.Load() {
		p.store.Put(e)
		// Published; now check for what came between.
		if p.waiting.Load() == 0 && e.gen == p.gen.Load() && !p.excess.Load() {
			return
		}
		p.mu.Lock()
		p.flushLocked()
	} else {
		p.mu.Lock()
		p.deliverLocked(e)
	}
	p.dispatchLocked()
	p.mu.Unlock()
}

// discard ends an entry that nobody has.
func (p *engine[T]) discard(e *Entry[T]) {
	p.mu.Lock()
	p.endLocked(e)
	p.dispatchLocked()
	p.mu.Unlock()
}

// deliverLocked gives e to the next waiter, or makes it idle, or ends it if it
// is too old or too many. Ending makes room: call dispatchLocked afterwards.
func (p *engine[T]) deliverLocked(e *Entry[T]) {
	if e.gen != p.gen.Load() || p.surplusLocked() {
		p.endLocked(e)
		return
	}
	if w := p.nextLocked(); w != nil {
		p.leaveLocked(w)
		w.finish(e, nil)
		return
	}
	p.store.Put(e)
}

// dispatchLocked serves the waiters with what is idle. Those left get a dial:
// one that nobody waits for any more, or a new one as far as there is room.
func (p *engine[T]) dispatchLocked() {
	for p.queue.all.len > 0 {
		e := p.claimLocked()
		if e == nil {
			break
		}
		p.deliverLocked(e)
	}
	for !p.closed {
		w := p.queue.needDial.head
		if w == nil {
			return
		}
		if d := p.orphanLocked(); d != nil {
			p.queue.own(d, w)
			continue
		}
		if !p.roomLocked() {
			return
		}
		d := &dial[T]{caller: w.ctx}
		p.dialLocked(d)
		p.queue.own(d, w)
		p.thinOutLocked()
	}
}

// claimLocked takes an idle entry of this generation, nil if there is none.
func (p *engine[T]) claimLocked() *Entry[T] {
	for {
		e := p.store.Claim()
		if e == nil || e.gen == p.gen.Load() {
			return e
		}
		p.endLocked(e)
	}
}

// oldestEvery is how often the oldest waiter is served while the newest are
// served first, so that one without a deadline is served at all.
const oldestEvery = 8

// nextLocked returns the waiter to be served next: the first who came, or the
// last if the policy says so. It tells those it passes whose time is over.
func (p *engine[T]) nextLocked() *waiter[T] {
	policy := p.limits.Queue
	if policy == nil {
		return p.firstLocked()
	}
	now := time.Since(p.born)
	newest := p.queue.all.len > 1 && policy.NewestFirst(now-p.standing)
	if newest {
		p.turn++
		newest = p.turn%oldestEvery != 0
	}
	for p.queue.all.len > 0 {
		w := p.queue.all.head
		if newest {
			w = p.queue.all.tail
		}
		switch {
		case w.ended():
			p.failLocked(w, errGaveUp)
		case !w.room && !p.mayWaitLocked(w, now, 0):
			p.failLocked(w, backend.ErrOverloaded)
		default:
			return w
		}
	}
	return nil
}

// firstLocked returns the first waiter that still wants something, having told
// those before it whose contexts have ended.
func (p *engine[T]) firstLocked() *waiter[T] {
	for w := p.queue.all.head; w != nil; w = p.queue.all.head {
		if !w.ended() {
			return w
		}
		p.failLocked(w, errGaveUp)
	}
	return nil
}

// failLocked takes w out of the queue and tells it why.
func (p *engine[T]) failLocked(w *waiter[T], err error) {
	p.leaveLocked(w)
	w.finish(nil, err)
}

// leaveLocked takes w out of the queue. A dial of its own goes on for the next.
func (p *engine[T]) leaveLocked(w *waiter[T]) {
	if d := w.dial; d != nil {
		p.queue.disown(d)
		p.orphans = append(p.orphans, d)
	}
	p.queue.unlink(w)
	p.waiting.Store(int64(p.queue.all.len))
}

// roomLocked reports whether a dial may begin.
func (p *engine[T]) roomLocked() bool {
	return p.max == 0 || len(p.entries)+p.dialingLocked() < p.max
}

// surplusLocked reports whether more are open than there may be. Dials do not
// count: Resize gives up those that are too many.
func (p *engine[T]) surplusLocked() bool {
	return p.max != 0 && len(p.entries) > p.max
}
