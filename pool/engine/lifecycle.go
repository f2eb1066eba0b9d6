package engine

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// endLocked closes e, which nobody has and the store does not hold idle.
func (p *engine[T]) endLocked(e *Entry[T]) {
	if e.gone {
		return // a Close that did not wait has ended it
	}
	p.store.Remove(e)
	p.forgetLocked(e)
}

// forgetLocked closes e, whoever has it.
func (p *engine[T]) forgetLocked(e *Entry[T]) {
	e.gone = true
	last := len(p.entries) - 1
	p.entries[e.place] = p.entries[last]
	p.entries[e.place].place = e.place
	p.entries[last] = nil
	p.entries = p.entries[:last]
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
		closeOne(p.factory, v, func(err error) {
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
	p.cancelDialsLocked(len(p.dials))
	p.flushLocked()
	p.dispatchLocked()
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
		p.cancelDialsLocked(min(len(p.dials), max(len(p.entries)+len(p.dials)-p.max, 0)))
	}
	p.noteExcessLocked()
	p.flushLocked()
	p.dispatchLocked()
	return nil
}

// Sweep implements backend.Backend.
func (p *engine[T]) Sweep(keep func(T) bool) {
	p.sweep(1)
	defer p.sweep(-1)
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

// sweep counts the sweeps in progress. Each may have one entry in its hands,
// which is idle for all that callers know.
func (p *engine[T]) sweep(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweeping += n
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
			err = ended(ctx)
			p.evict()
		}
	}
	p.work.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Join(err, p.broken)
}

// shut lets no caller in any more, and ends what nobody has.
func (p *engine[T]) shut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	p.drained = make(chan struct{})
	p.gen.Add(1) // what comes back is too old
	p.cancelDialsLocked(len(p.dials))
	for w := p.queue.all.head; w != nil; w = p.queue.all.head {
		p.failLocked(w, backend.ErrClosed)
	}
	if len(p.entries) == 0 {
		close(p.drained)
	}
	p.flushLocked()
}

// evict ends what is still in use, and each Lease with it. It leaves the store
// alone: a Return in progress may be about to put its entry there, or just have.
func (p *engine[T]) evict() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.entries) > 0 {
		e := p.entries[len(p.entries)-1]
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
	var oldest time.Duration
	if w := p.queue.all.head; w != nil {
		oldest = time.Since(p.born) - w.since
	}
	return backend.Stat{
		OldestWait: oldest,

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
