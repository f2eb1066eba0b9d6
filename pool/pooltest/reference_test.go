package pooltest_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// This file and the next are a backend written against the contract alone: two
// buffered channels. One holds what is idle, the other a token for each
// resource there is room for. To acquire is to receive from either, and Go's
// channels do the rest: receivers are served in the order in which they came.
// It has no late binding, so it shows that the suite asks no more than is
// declared. Its flaw, if it has one, is for the suite to find.

// item is a resource and the epoch of its present lease.
type item[T any] struct {
	value T
	epoch uint64
}

type chanPool[T any] struct {
	flaw    string
	factory backend.Factory[T]
	limits  backend.Limits
	life    context.Context // ends when Close begins
	endLife context.CancelFunc
	era     context.Context // ends when Clear begins; guarded by mu
	endEra  context.CancelFunc
	warming chan struct{} // has room for one Warm at a time

	idle chan *item[T] // has room for Max, so to send never blocks
	room chan struct{} // the same

	work    sync.WaitGroup   // goroutines that dial or close
	mu      sync.Mutex       // guards what follows, and all item.epoch
	open    map[*item[T]]int // the generation of each
	gen     int              // from 1
	queued  int              // callers that wait without a dial
	sweeps  int              // sweeps in progress
	stat    backend.Stat     // but Idle and Used
	drained chan struct{}    // closed once closed and nothing is open
	broken  error            // the first panic of Factory.Close
}

// openChan is a backend.OpenFunc. It needs a maximum, for a channel has a size.
func openChan[T any](f backend.Factory[T], l backend.Limits) (backend.Backend[T], error) {
	return openFlawed("", f, l)
}

func openFlawed[T any](flaw string, f backend.Factory[T], l backend.Limits) (backend.Backend[T], error) {
	if err := errors.Join(f.Validate(), l.Validate()); err != nil {
		return nil, err
	}
	if l.Max <= 0 {
		return nil, fmt.Errorf("chanpool: no maximum: %w", errors.ErrUnsupported)
	}
	p := &chanPool[T]{
		flaw:    flaw,
		factory: f,
		limits:  l,
		warming: make(chan struct{}, 1),
		idle:    make(chan *item[T], l.Max),
		room:    make(chan struct{}, l.Max),
		open:    make(map[*item[T]]int),
		gen:     1,
		stat:    backend.Stat{Max: l.Max},
		drained: make(chan struct{}),
	}
	for range l.Max {
		p.room <- struct{}{}
	}
	p.life, p.endLife = context.WithCancel(context.Background())
	p.era, p.endEra = context.WithCancel(p.life)
	return p, nil
}

func (p *chanPool[T]) Acquire(ctx context.Context) (l backend.Lease[T], err error) {
	if ctx.Err() != nil {
		return l, ended(ctx)
	}
	var it *item[T]
	select {
	case it = <-p.idle:
	default:
		if it, err = p.wait(ctx); err != nil {
			return l, err
		}
	}
	if p.old(it) { // claimed while a Clear began: its room is for another
		if it, err = p.dial(ctx); err != nil {
			return l, err
		}
	}
	if ctx.Err() != nil {
		if p.flaw != "served and cancelled" {
			p.put(it)
		}
		return l, ended(ctx)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return backend.Lease[T]{Value: it.value, Handle: it, Epoch: it.epoch}, nil
}

// wait waits for what comes free, or for room and then for a dial.
func (p *chanPool[T]) wait(ctx context.Context) (*item[T], error) {
	begun := time.Now()
	p.mu.Lock()
	room := false
	select {
	case <-p.room:
		room = true
	default:
		if n := p.limits.MaxWaiters; n != 0 && p.queued-p.allowed() >= max(n, 0) {
			p.stat.Refused++
			p.mu.Unlock()
			return nil, backend.ErrTooManyWaiters
		}
		p.queued++
	}
	p.stat.Waits++
	p.stat.Waiting++
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.stat.Waiting--
		p.stat.WaitTime += time.Since(begun)
	}()
	if !room {
		it, err := p.receive(ctx)
		if it != nil || err != nil {
			return it, err
		}
	}
	return p.dial(ctx)
}

// receive waits in the queue, and returns nil and nil for room.
func (p *chanPool[T]) receive(ctx context.Context) (it *item[T], err error) {
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.queued--
	}()
	idle, closed := p.idle, p.life.Done()
	switch p.flaw {
	case "lost wakeup":
		idle = nil
	case "close wakes nobody":
		closed = nil
	}
	select {
	case it = <-idle:
		return it, nil
	case <-p.room:
		if err = p.over(ctx); err != nil {
			p.room <- struct{}{}
		}
		return nil, err
	case <-ctx.Done():
	case <-closed:
	}
	return nil, p.over(ctx)
}

// over says why a caller need not go on.
func (p *chanPool[T]) over(ctx context.Context) error {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	if p.life.Err() != nil {
		return backend.ErrClosed
	}
	return nil
}

// Return puts an item back, or ends it.
func (p *chanPool[T]) Return(l backend.Lease[T], v backend.Verdict) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	it, ok := l.Handle.(*item[T])
	if !ok || p.open[it] == 0 || it.epoch != l.Epoch && p.flaw != "no epochs" {
		return backend.ErrStale
	}
	it.epoch++
	p.place(it, v == backend.Keep)
	return nil
}

func (p *chanPool[T]) Sweep(keep func(T) bool) {
	p.countSweep(1)
	defer p.countSweep(-1)
	seen := make(map[*item[T]]bool)
	for range len(p.idle) {
		select {
		case it := <-p.idle:
			if seen[it] {
				p.put(it)
			} else {
				seen[it] = true
				p.show(it, keep)
			}
		default:
			return
		}
	}
}

func (p *chanPool[T]) countSweep(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweeps += n
}

// allowed is how many may wait for what sweeps look at. mu is held.
func (p *chanPool[T]) allowed() int {
	if p.flaw == "a sweep refuses callers" {
		return 0
	}
	return p.sweeps
}

func (p *chanPool[T]) show(it *item[T], keep func(T) bool) {
	kept := false
	defer func() { // even if keep panics
		p.mu.Lock()
		defer p.mu.Unlock()
		p.place(it, kept)
	}()
	kept = keep(it.value)
}

func (p *chanPool[T]) Warm(ctx context.Context, n int) error {
	select {
	case p.warming <- struct{}{}:
		defer func() { <-p.warming }()
	case <-ctx.Done():
	}
	for len(p.idle) < n {
		if err := p.over(ctx); err != nil {
			return err
		}
		select {
		case <-p.room:
		default:
			return nil
		}
		it, err := p.dial(ctx)
		if err != nil {
			return err
		}
		p.put(it)
	}
	return nil
}

func (p *chanPool[T]) Stat() backend.Stat {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stat
	s.Idle = len(p.idle)
	s.Used = len(p.open) - s.Idle
	return s
}
