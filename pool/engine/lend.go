package engine

import (
	"context"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// Acquire implements backend.Backend.
func (p *engine[T]) Acquire(ctx context.Context) (backend.Lease[T], error) {
	if ctx.Err() != nil {
		return backend.Lease[T]{}, backend.Ended(ctx)
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

// acquireSlow waits in turn, having begun a dial if there is room.
func (p *engine[T]) acquireSlow(ctx context.Context) (backend.Lease[T], error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return backend.Lease[T]{}, backend.ErrClosed
	}
	if p.queue.all.len == 0 {
		if e := p.claimLocked(); e != nil {
			p.mu.Unlock()
			return e.lease(), nil
		}
	}
	if !p.admitLocked() {
		p.mu.Unlock()
		p.refused.Add(1)
		return backend.Lease[T]{}, backend.ErrTooManyWaiters
	}
	w := p.waiters.Get().(*waiter[T])
	w.ctx = ctx
	p.queue.push(w)
	p.waiting.Store(int64(p.queue.all.len))
	p.settleLocked()
	p.mu.Unlock()

	p.waits.Add(1)
	begun := time.Since(p.born) // half the price of time.Now
	e, err := p.wait(ctx, w)
	p.waitTime.Add(int64(time.Since(p.born) - begun))
	w.ctx, w.entry, w.err = nil, nil, nil
	p.waiters.Put(w)
	if err != nil {
		return backend.Lease[T]{}, err
	}
	return e.lease(), nil
}

// admitLocked reports whether another caller may wait.
func (p *engine[T]) admitLocked() bool {
	if p.limits.MaxWaiters == 0 || p.roomLocked() {
		return true
	}
	// Each dial will serve a waiter; only the others count.
	return p.queue.all.len-len(p.dials) < max(p.limits.MaxWaiters, 0)
}

// wait blocks until w is served or failed or ctx ends. The waiter is then
// the caller's alone.
func (p *engine[T]) wait(ctx context.Context, w *waiter[T]) (*Entry[T], error) {
	select {
	case <-w.ready:
	case <-ctx.Done():
		p.mu.Lock()
		if w.queued {
			p.leaveLocked(w)
			p.mu.Unlock()
			return nil, backend.Ended(ctx)
		}
		p.mu.Unlock()
		<-w.ready // it was finished meanwhile
	}
	if w.err == nil && ctx.Err() != nil {
		p.release(w.entry) // give it on
		return nil, backend.Ended(ctx)
	}
	return w.entry, w.err
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

// release hands on, or makes idle, an entry that nobody has.
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
		p.placeLocked(e)
	}
	p.settleLocked()
	p.mu.Unlock()
}

// discard ends an entry that nobody has.
func (p *engine[T]) discard(e *Entry[T]) {
	p.mu.Lock()
	p.endLocked(e)
	p.settleLocked()
	p.mu.Unlock()
}

// placeLocked gives e to the first waiter, or makes it idle, or ends it if it
// is too old or too many. Ending makes room: call settleLocked afterwards.
func (p *engine[T]) placeLocked(e *Entry[T]) {
	if e.gen != p.gen.Load() || p.surplusLocked() {
		p.endLocked(e)
		return
	}
	if w := p.headLocked(); w != nil {
		p.leaveLocked(w)
		w.finish(e, nil)
		return
	}
	p.store.Put(e)
}

// settleLocked serves the waiters with what is idle, and begins dials for
// those left as far as there is room.
func (p *engine[T]) settleLocked() {
	for p.queue.all.len > 0 {
		e := p.claimLocked()
		if e == nil {
			break
		}
		p.placeLocked(e)
	}
	for !p.closed && p.roomLocked() {
		w := p.queue.hungry.head
		if w == nil {
			return
		}
		d := &dial[T]{caller: w.ctx}
		p.queue.own(d, w)
		p.dialLocked(d)
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

// headLocked returns the first waiter that still wants something, having
// told those before it whose contexts have ended.
func (p *engine[T]) headLocked() *waiter[T] {
	for w := p.queue.all.head; w != nil; w = p.queue.all.head {
		if w.ctx.Err() == nil {
			return w
		}
		p.leaveLocked(w)
		w.finish(nil, backend.Ended(w.ctx))
	}
	return nil
}

// leaveLocked takes w out of the queue.
func (p *engine[T]) leaveLocked(w *waiter[T]) {
	p.queue.unlink(w)
	p.waiting.Store(int64(p.queue.all.len))
}

// dialingLocked is the number of calls of Factory.New in progress.
func (p *engine[T]) dialingLocked() int { return len(p.dials) + p.ending }

// roomLocked reports whether a dial may begin.
func (p *engine[T]) roomLocked() bool {
	return p.max == 0 || len(p.entries)+p.dialingLocked() < p.max
}

// surplusLocked reports whether more are open than there may be. Dials do not
// count: Resize gives up those that are too many.
func (p *engine[T]) surplusLocked() bool {
	return p.max != 0 && len(p.entries) > p.max
}
