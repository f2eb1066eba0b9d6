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
	ctx, cancel := p.limits.DialContext(d.caller, context.Background())
	d.cancel = cancel
	p.dials = append(p.dials, d)
	p.work.Add(1)
	go func() {
		defer p.work.Done()
		defer cancel()
		p.factory.Make(ctx, func(v T, err error) { p.dialed(d, v, err) })
	}()
}

// giveUpLocked gives up the n newest dials. Their owners wait on, for what comes
// free or another dial. They count until New returns, which must heed its context.
func (p *engine[T]) giveUpLocked(n int) {
	for range n {
		last := len(p.dials) - 1
		d := p.dials[last]
		p.dials[last], p.dials = nil, p.dials[:last]
		p.ending++
		p.queue.disown(d)
		d.void = true
		d.cancel()
	}
}

// dialed takes the result of d.
func (p *engine[T]) dialed(d *dial[T], v T, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d.void {
		p.ending--
		if err == nil {
			p.disposeLocked(v)
		}
		p.rewarmLocked(d)
		p.settleLocked()
		return
	}
	i := slices.Index(p.dials, d)
	p.dials = slices.Delete(p.dials, i, i+1)
	owner := d.owner
	p.queue.disown(d)
	if err != nil {
		if owner != nil {
			p.leaveLocked(owner)
			owner.finish(nil, err)
		}
	} else {
		e := &Entry[T]{value: v, engine: p, gen: p.gen.Load()}
		p.entries[e] = struct{}{}
		p.store.Add(e)
		p.inheritLocked(owner)
		p.placeLocked(e)
	}
	d.tell(err)
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

// rewarmLocked begins a dial of Warm anew that was given up, if it is still
// missing and there is room.
func (p *engine[T]) rewarmLocked(d *dial[T]) {
	switch {
	case d.report == nil:
	case p.closed:
		d.tell(backend.ErrClosed)
	case p.missingLocked(d.wanted) > 0:
		p.dialLocked(&dial[T]{caller: d.caller, report: d.report, wanted: d.wanted})
	default:
		d.tell(nil)
	}
}

// missingLocked is how many dials to begin for n to be idle, as far as there is
// room. Dials that nobody waits for will be idle.
func (p *engine[T]) missingLocked(n int) int {
	owned := p.queue.all.len - p.queue.hungry.len
	missing := max(n, 0) - p.store.Idle() - (len(p.dials) - owned)
	if p.max != 0 {
		missing = min(missing, p.max-len(p.entries)-p.dialingLocked())
	}
	return max(missing, 0)
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
	begun := p.missingLocked(n)
	done := make(chan error, begun)
	for range begun {
		p.dialLocked(&dial[T]{caller: ctx, report: done, wanted: n})
	}
	p.mu.Unlock()
	for range begun {
		select {
		case err := <-done:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return backend.Ended(ctx)
		}
	}
	return nil
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
	p.giveUpLocked(len(p.dials))
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
	if p.max != 0 {
		p.giveUpLocked(min(len(p.dials), max(len(p.entries)+len(p.dials)-p.max, 0)))
	}
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
	p.gen.Add(1) // what comes back is too old
	p.giveUpLocked(len(p.dials))
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
		Dialing:  p.dialingLocked(),
		Waiting:  p.queue.all.len,
		Waits:    p.waits.Load(),
		WaitTime: time.Duration(p.waitTime.Load()),
		Refused:  p.refused.Load(),
	}
}

// LateBinding declares promise 11.
func (p *engine[T]) LateBinding() {}
