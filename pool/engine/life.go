package engine

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// dialLocked begins d, whose owner is set. There must be room.
func (p *engine[T]) dialLocked(d *dial[T]) {
	d.gen = p.gen.Load()
	p.dialing++
	p.work.Add(1)
	go func() {
		defer p.work.Done()
		ctx, cancel := p.limits.DialContext(d.caller, p.life)
		defer cancel()
		p.factory.Make(ctx, func(v T, err error) { p.dialed(d, v, err) })
	}()
}

// dialed takes the result of d.
func (p *engine[T]) dialed(d *dial[T], v T, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dialing--
	owner := d.owner
	p.queue.disown(d)
	switch {
	case err != nil:
		if owner != nil {
			p.leaveLocked(owner)
			owner.finish(nil, err)
		}
		d.tell(err)
	case d.gen != p.gen.Load():
		// Cleared or closed meanwhile. An owner gets another dial below.
		p.disposeLocked(v)
		p.rewarmLocked(d)
	default:
		e := &Entry[T]{value: v, engine: p, gen: d.gen}
		p.entries[e] = struct{}{}
		p.store.Add(e)
		p.inheritLocked(owner)
		p.placeLocked(e)
		d.tell(nil)
	}
	p.noteExcessLocked()
	p.settleLocked()
}

// inheritLocked is called when what was dialed for w goes to the head of the
// queue: if that is another, w gets the other's dial instead, so that each has
// one still and none is begun too many.
func (p *engine[T]) inheritLocked(w *waiter[T]) {
	head := p.headLocked()
	if w == nil || !w.queued || head == w || head.dial == nil {
		return
	}
	d := head.dial
	p.queue.disown(d)
	p.queue.own(d, w)
}

// tell reports the end of a dial to the Warm it was begun by, if any.
func (d *dial[T]) tell(err error) {
	if d.report != nil {
		d.report <- err
	}
}

// rewarmLocked begins a dial of Warm anew.
func (p *engine[T]) rewarmLocked(d *dial[T]) {
	switch {
	case d.report == nil:
	case p.closed:
		d.tell(backend.ErrClosed)
	case p.roomLocked():
		p.dialLocked(&dial[T]{caller: d.caller, report: d.report})
	default:
		d.tell(nil) // Resize took the room
	}
}

// Warm implements backend.Backend.
func (p *engine[T]) Warm(ctx context.Context, n int) error {
	if ctx.Err() != nil {
		return backend.Ended(ctx)
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return backend.ErrClosed
	}
	// Dials that nobody waits for will be idle.
	missing := max(n, 0) - p.store.Idle() - (p.dialing - (p.queue.all.len - p.queue.hungry.len))
	if p.max != 0 {
		missing = min(missing, p.max-len(p.entries)-p.dialing)
	}
	begun := max(missing, 0)
	done := make(chan error, begun)
	for range begun {
		p.dialLocked(&dial[T]{caller: ctx, report: done})
	}
	p.mu.Unlock()
	for range begun {
		select {
		case err := <-done:
			if err != nil {
				return p.orClosed(err)
			}
		case <-ctx.Done():
			return backend.Ended(ctx)
		}
	}
	return nil
}

// orClosed returns err, or ErrClosed if Close is likely its cause.
func (p *engine[T]) orClosed(err error) error {
	if p.life.Err() != nil {
		return backend.ErrClosed
	}
	return err
}

// endLocked closes e, which nobody has and the store does not hold idle.
func (p *engine[T]) endLocked(e *Entry[T]) {
	if e.gone {
		return // Close ran out of patience with its borrower
	}
	p.store.Remove(e)
	p.forgetLocked(e)
}

// forgetLocked closes e, whoever has it.
func (p *engine[T]) forgetLocked(e *Entry[T]) {
	e.gone = true
	delete(p.entries, e)
	p.disposeLocked(e.value)
	p.noteExcessLocked()
	if p.closed && len(p.entries) == 0 {
		close(p.drained)
	}
}

// disposeLocked has v closed, by a goroutine: the mutex is held, and nobody
// waits.
func (p *engine[T]) disposeLocked(v T) {
	p.work.Add(1)
	go func() {
		defer p.work.Done()
		p.factory.Dispose(v, func(err error) {
			if err == nil {
				return
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.broken == nil {
				p.broken = err
			}
		})
	}()
}

// flushLocked ends all that is idle and too old or too many.
func (p *engine[T]) flushLocked() {
	var fresh []*Entry[T]
	for e := p.claimLocked(); e != nil; e = p.claimLocked() {
		if p.surplusLocked() {
			p.endLocked(e)
		} else {
			fresh = append(fresh, e)
		}
	}
	for _, e := range slices.Backward(fresh) {
		p.store.Put(e)
	}
}

// noteExcessLocked tells Return whether it must look for a surplus.
func (p *engine[T]) noteExcessLocked() {
	if over := p.surplusLocked(); over != p.excess.Load() {
		p.excess.Store(over)
	}
}

// Clear implements backend.Backend.
func (p *engine[T]) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gen.Add(1)
	p.flushLocked()
	p.settleLocked()
}

// Resize implements backend.Resizer.
func (p *engine[T]) Resize(n int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return backend.ErrClosed
	}
	p.max = max(n, 0)
	p.noteExcessLocked()
	p.flushLocked()
	p.settleLocked()
	return nil
}

// Sweep implements backend.Backend.
func (p *engine[T]) Sweep(keep func(T) bool) {
	p.store.Sweep(func(e *Entry[T]) {
		kept := false
		defer func() { // even if keep panics
			if kept {
				p.release(e)
			} else {
				p.discard(e)
			}
		}()
		kept = e.gen == p.gen.Load() && keep(e.value)
	})
}

// Close implements backend.Backend.
func (p *engine[T]) Close(ctx context.Context) error {
	p.shut()
	var err error
	select {
	case <-p.drained:
	default:
		select {
		case <-p.drained:
		case <-ctx.Done():
			err = backend.Ended(ctx)
			p.evict()
		}
	}
	p.work.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Join(err, p.broken)
}

// shut stops lending and ends what nobody has.
func (p *engine[T]) shut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	p.endLife()
	p.gen.Add(1) // what comes back is too old
	for w := p.queue.all.head; w != nil; w = p.queue.all.head {
		p.leaveLocked(w)
		w.finish(nil, backend.ErrClosed)
	}
	if len(p.entries) == 0 {
		close(p.drained)
	}
	p.flushLocked()
}

// evict ends what is still lent, and the leases with it. It leaves the store
// alone: a Return in progress may be about to put its entry there, or just have.
func (p *engine[T]) evict() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for e := range p.entries {
		e.epoch.Store(evicted)
		p.forgetLocked(e)
	}
}

// Stat implements backend.Backend.
func (p *engine[T]) Stat() backend.Stat {
	p.mu.Lock()
	defer p.mu.Unlock()
	open := len(p.entries)
	idle := min(p.store.Idle(), open)
	return backend.Stat{
		Max:      p.max,
		Idle:     idle,
		Used:     open - idle,
		Dialing:  p.dialing,
		Waiting:  p.queue.all.len,
		Waits:    p.waits.Load(),
		WaitTime: time.Duration(p.waitTime.Load()),
		Refused:  p.refused.Load(),
	}
}

// LateBinding declares promise 11.
func (p *engine[T]) LateBinding() {}
