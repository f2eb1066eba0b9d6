package pooltest_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
	"github.com/seed-99d6a01a/gtcp/pool/engine"
)

type entry = engine.Entry[*resource]

// stack is a store with nothing wrong, to be embedded.
type stack struct {
	mu   sync.Mutex
	idle []*entry
}

func (s *stack) Add(*entry)    {}
func (s *stack) Remove(*entry) {}

func (s *stack) Claim() *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.idle) == 0 {
		return nil
	}
	e := s.idle[len(s.idle)-1]
	s.idle = s.idle[:len(s.idle)-1]
	return e
}

func (s *stack) Put(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle = append(s.idle, e)
}

func (s *stack) Sweep(visit func(*entry)) {
	var all []*entry
	for e := s.Claim(); e != nil; e = s.Claim() {
		all = append(all, e)
	}
	for _, e := range all {
		visit(e)
	}
}

func (s *stack) Idle() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.idle)
}

// slowStore publishes too late: whoever looked before waits in vain.
type slowStore struct{ stack }

func (s *slowStore) Put(e *entry) {
	time.AfterFunc(time.Microsecond, func() { s.stack.Put(e) }) // in a bubble: when all others wait
}

// sharingStore gives the same entry to two, now and then.
type sharingStore struct {
	stack
	n int
}

func (s *sharingStore) Claim() *entry {
	e := s.stack.Claim()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n++; e != nil && s.n%7 == 0 {
		s.idle = append(s.idle, e)
	}
	return e
}

// blindStore shows a sweep but half of what is there.
type blindStore struct{ stack }

func (s *blindStore) Sweep(visit func(*entry)) {
	for range s.Idle() / 2 {
		if e := s.Claim(); e != nil {
			visit(e)
		}
	}
}

// newestStore has a sweep look at as many as were idle, the newest first: at those
// that become idle meanwhile, in place of others.
type newestStore struct{ stack }

func (s *newestStore) Sweep(visit func(*entry)) {
	seen := make(map[*entry]bool)
	for range s.Idle() {
		e := s.unseen(seen)
		if e == nil {
			return
		}
		seen[e] = true
		visit(e)
	}
}

func (s *newestStore) unseen(seen map[*entry]bool) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, e := range slices.Backward(s.idle) {
		if !seen[e] {
			s.idle = slices.Delete(s.idle, i, i+1)
			return e
		}
	}
	return nil
}

// deafPool does not clear.
type deafPool struct{ pool }

func (deafPool) Clear() {}

// deadPool serves a context that has ended.
type deadPool struct{ pool }

func (p deadPool) Acquire(ctx context.Context) (lease, error) {
	if ctx.Err() != nil {
		ctx = context.WithoutCancel(ctx)
	}
	return p.pool.Acquire(ctx)
}

// trustingPool believes every lease.
type trustingPool struct{ pool }

func (p trustingPool) Return(l lease, v backend.Verdict) error {
	if err := p.pool.Return(l, v); !errors.Is(err, backend.ErrStale) {
		return err
	}
	return nil
}

// rudePool does not let callers end.
type rudePool struct{ pool }

func (p rudePool) Close(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	if err := p.pool.Close(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// leakyPool leaves a goroutine behind.
type leakyPool struct{ pool }

func (p leakyPool) Close(ctx context.Context) error {
	go func() { <-make(chan struct{}) }()
	return p.pool.Close(ctx)
}

// greedyPool sweeps with everything in its hands.
type greedyPool struct{ pool }

func (p greedyPool) Sweep(keep func(*resource) bool) {
	var all []lease
	for p.Stat().Idle > 0 {
		l, err := p.Acquire(context.Background())
		if err != nil {
			return
		}
		all = append(all, l)
	}
	for _, l := range all {
		v := backend.Keep
		if !keep(l.Value) {
			v = backend.Discard
		}
		if err := p.Return(l, v); err != nil {
			panic(err)
		}
	}
}

// stiffPool does not change its maximum.
type stiffPool struct{ pool }

func (stiffPool) Resize(int) error { return nil }

// hastyPool makes room by closing what is idle.
type hastyPool struct{ pool }

func (p hastyPool) Resize(n int) error {
	p.Sweep(func(*resource) bool { return false })
	return p.pool.(backend.Resizer).Resize(n)
}

// forgetfulPool has a Warm that is content with what Clear has given up.
type forgetfulPool struct {
	pool
	mu      sync.Mutex
	cleared []func()
}

func (p *forgetfulPool) Warm(ctx context.Context, n int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p.mu.Lock()
	p.cleared = append(p.cleared, cancel)
	p.mu.Unlock()
	if err := p.pool.Warm(ctx, n); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (p *forgetfulPool) Clear() {
	p.pool.Clear()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, cancel := range p.cleared {
		cancel()
	}
}

// valuelessPool has a Warm that dials for nobody in particular.
type valuelessPool struct{ pool }

func (p valuelessPool) Warm(ctx context.Context, n int) error {
	plain, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	return p.pool.Warm(plain, n)
}

// negativePool repeats what it was told.
type negativePool struct {
	pool
	most int
}

func (p negativePool) Stat() backend.Stat {
	s := p.pool.Stat()
	s.Max = p.most
	return s
}

// pilingPool begins a dial for each caller, whoever waits for those before.
type pilingPool struct{ pool }

func (p pilingPool) Acquire(ctx context.Context) (lease, error) {
	s := p.Stat()
	go func() { _ = p.pool.Warm(ctx, s.Idle+s.Dialing+1) }()
	return p.pool.Acquire(ctx)
}

func (pilingPool) LateBinding() {}

// coldPool does not warm.
type coldPool struct{ pool }

func (coldPool) Warm(context.Context, int) error { return nil }

// latePool declares what it does not do.
type latePool struct{ pool }

func (latePool) LateBinding() {}

// waitForClose makes Return wait for what it has closed.
func waitForClose(f *factory, _ *backend.Limits) func(pool) pool {
	real := *f
	closed := make(chan struct{}, 1000)
	f.Close = func(r *resource) {
		defer func() { closed <- struct{}{} }()
		real.Close(r)
	}
	return func(b pool) pool { return waitingPool{b, closed} }
}

type waitingPool struct {
	pool
	closed chan struct{}
}

func (p waitingPool) Return(l lease, v backend.Verdict) error {
	err := p.pool.Return(l, v)
	if err == nil && v == backend.Discard {
		<-p.closed
	}
	return err
}

// oneLock has New and Return take turns.
func oneLock(f *factory, _ *backend.Limits) func(pool) pool {
	real := *f
	mu := new(sync.Mutex)
	f.New = func(ctx context.Context) (*resource, error) {
		mu.Lock()
		defer mu.Unlock()
		return real.New(ctx)
	}
	return func(b pool) pool { return lockedPool{b, mu} }
}

type lockedPool struct {
	pool
	mu *sync.Mutex
}

func (p lockedPool) Return(l lease, v backend.Verdict) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pool.Return(l, v)
}

// lastFirst has a queue of its own, and serves it from the wrong end.
func lastFirst(_ *factory, l *backend.Limits) func(pool) pool {
	free := l.Max
	return func(b pool) pool { return &queuePool{pool: b, free: free, lifo: true} }
}

// overtaking has a queue of its own, and lets the first in it try again.
func overtaking(_ *factory, l *backend.Limits) func(pool) pool {
	free := l.Max
	return func(b pool) pool { return &queuePool{pool: b, free: free} }
}

type queuePool struct {
	pool
	lifo  bool
	mu    sync.Mutex
	free  int
	queue []chan struct{}
}

func (p *queuePool) Acquire(ctx context.Context) (lease, error) {
	for !p.pass() {
		p.mu.Lock()
		turn := make(chan struct{})
		p.queue = append(p.queue, turn)
		p.mu.Unlock()
		select {
		case <-turn:
		case <-ctx.Done():
			return lease{}, ended(ctx)
		}
		if p.lifo {
			break // it is passed already
		}
	}
	l, err := p.pool.Acquire(ctx)
	if err != nil {
		p.next()
	}
	return l, err
}

func (p *queuePool) pass() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.free == 0 {
		return false
	}
	p.free--
	return true
}

func (p *queuePool) Return(l lease, v backend.Verdict) error {
	err := p.pool.Return(l, v)
	if err == nil {
		p.next()
	}
	return err
}

func (p *queuePool) next() {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.queue)
	if !p.lifo || n == 0 {
		p.free++
	}
	switch {
	case n == 0:
	case p.lifo:
		close(p.queue[n-1])
		p.queue = p.queue[:n-1]
	default:
		close(p.queue[0])
		p.queue = p.queue[1:]
	}
}
