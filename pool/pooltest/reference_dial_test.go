package pooltest_test

import (
	"context"
	"errors"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// birth is a dial and the caller it is for.
type birth[T any] struct {
	caller context.Context
	gen    int
	left   bool           // the caller waits no longer; guarded by mu
	done   chan result[T] // has room for the result
}

type result[T any] struct {
	it  *item[T]
	err error
}

// dial fills room, which the caller has received, and waits for it to be done.
// If ctx ends first, the dial goes on by itself.
func (p *chanPool[T]) dial(ctx context.Context) (*item[T], error) {
	b := &birth[T]{caller: ctx, done: make(chan result[T], 1)}
	p.mu.Lock()
	if p.life.Err() != nil {
		p.room <- struct{}{}
		p.mu.Unlock()
		return nil, backend.ErrClosed
	}
	p.begin(b)
	p.mu.Unlock()
	select {
	case r := <-b.done:
		return r.it, r.err
	case <-ctx.Done():
	case <-p.life.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	b.left = true
	select {
	case r := <-b.done: // in the same moment
		if r.it != nil {
			p.place(r.it, true)
		}
	default:
	}
	return nil, p.over(ctx)
}

// begin calls New. mu is held.
func (p *chanPool[T]) begin(b *birth[T]) {
	b.gen = p.gen
	p.stat.Dialing++
	era := p.era
	if p.flaw == "clear lets dials hang" {
		era = p.life
	}
	p.work.Go(func() {
		ctx, cancel := dialContext(p.limits, b.caller, era)
		defer cancel()
		makeOne(ctx, p.factory, func(v T, err error) { p.born(b, v, err) })
	})
}

// born takes the result of New.
func (p *chanPool[T]) born(b *birth[T], v T, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stat.Dialing--
	if err == nil && b.gen == p.gen {
		it := &item[T]{value: v}
		p.open[it] = p.gen
		if b.left && p.flaw == "cancelled dial wasted" {
			p.place(it, false)
		} else if b.left {
			p.idle <- it
		} else {
			b.done <- result[T]{it: it}
		}
		return
	}
	if b.gen != p.gen && (err == nil || p.flaw != "clear fails callers") { // cleared or closed meanwhile
		if err == nil {
			p.dispose(v)
		}
		if p.flaw == "clear strands" {
			p.room <- struct{}{}
			return
		}
		if p.life.Err() == nil && !b.left {
			p.begin(b)
			return
		}
		err = backend.ErrClosed
	}
	var panicked *backend.PanicError
	switch {
	case p.flaw == "room lost to errors":
	case p.flaw == "room lost to panics" && errors.As(err, &panicked):
	default:
		p.room <- struct{}{}
	}
	b.done <- result[T]{err: err}
}

// put makes an item idle that nobody has.
func (p *chanPool[T]) put(it *item[T]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.place(it, true)
}

// place puts an item back that nobody has, or ends it and makes room. mu is held.
func (p *chanPool[T]) place(it *item[T], keep bool) {
	if keep && p.open[it] == p.gen {
		p.idle <- it
	} else if p.end(it) {
		p.room <- struct{}{}
	}
}

// old ends an item that is of an earlier generation, but keeps its room.
func (p *chanPool[T]) old(it *item[T]) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open[it] != p.gen && p.end(it)
}

// end closes an item, once. mu is held.
func (p *chanPool[T]) end(it *item[T]) bool {
	if p.open[it] == 0 {
		return false // a Close that did not wait has ended it
	}
	delete(p.open, it)
	p.dispose(it.value)
	if p.life.Err() != nil && len(p.open) == 0 {
		close(p.drained)
	}
	return true
}

// dispose has v closed, beside. mu is held.
func (p *chanPool[T]) dispose(v T) {
	p.work.Go(func() {
		closeOne(p.factory, v, func(err error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.broken = errors.Join(p.broken, err)
		})
	})
}

func (p *chanPool[T]) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}

// clear makes all there is old. mu is held, so nothing becomes idle meanwhile.
func (p *chanPool[T]) clear() {
	p.gen++
	p.endEra()
	p.era, p.endEra = context.WithCancel(p.life)
	for {
		select {
		case it := <-p.idle:
			p.place(it, true)
		default:
			return
		}
	}
}

func (p *chanPool[T]) Close(ctx context.Context) (err error) {
	p.mu.Lock()
	if p.life.Err() == nil {
		p.endLife()
		if len(p.open) == 0 {
			close(p.drained)
		}
		p.clear()
	}
	p.mu.Unlock()
	select {
	case <-p.drained:
	default:
		select {
		case <-p.drained:
		case <-ctx.Done():
			err = ended(ctx)
			p.mu.Lock()
			for it := range p.open {
				it.epoch++
				p.place(it, false)
			}
			p.mu.Unlock()
		}
	}
	p.work.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Join(err, p.broken)
}
