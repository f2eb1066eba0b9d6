package balance

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/contain"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

// member is a node with its value.
type member[T any] struct {
	Node
	value   atomic.Pointer[T]
	drained chan struct{} // closed when the node is removed and has no calls
	once    sync.Once     // closes drained

	mu      sync.Mutex // guards opening, failed and shut
	opening chan struct{}
	failed  error
	shut    bool // the value is disposed of: no other may be opened
}

// open returns the value, and makes it if there is none. Callers that come
// meanwhile wait for the one that makes it.
func (m *member[T]) open(open func(resolve.Endpoint) (T, error)) (value T, err error) {
	for {
		m.mu.Lock()
		if v := m.value.Load(); v != nil {
			m.mu.Unlock()
			return *v, nil
		}
		if m.shut {
			m.mu.Unlock()
			return value, ErrClosed
		}
		if wait := m.opening; wait != nil {
			m.mu.Unlock()
			<-wait
			if err := m.failure(); err != nil {
				return value, err
			}
			continue
		}
		done := make(chan struct{})
		m.opening, m.failed = done, nil
		m.mu.Unlock()
		defer func() {
			m.mu.Lock()
			m.opening, m.failed = nil, err
			m.mu.Unlock()
			close(done)
		}()
		if panicked := contain.Call("Config.Open of a balancer", func() { value, err = open(*m.endpoint.Load()) }); panicked != nil {
			err = panicked
		}
		if err == nil {
			m.value.Store(&value)
		}
		return value, err
	}
}

func (m *member[T]) failure() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failed
}

// begin counts a call that begins. It returns false if the member has been removed.
func (m *member[T]) begin() bool {
	m.begun.Add(1)
	if !m.gone.Load() {
		return true
	}
	m.other.Add(1)
	m.ended()
	return false
}

// ended wakes who waits for the end of the last call, if this was it.
func (m *member[T]) ended() {
	if m.Node.drained() {
		m.once.Do(func() { close(m.drained) })
	}
}

// remove takes a member that no view shows any more out of use: calls in flight
// end, then its value is closed.
func (b *Balancer[T]) remove(m *member[T]) {
	if m.out() {
		b.loop.out--
		if m.State() == Ejected {
			b.loop.ejected--
		}
	}
	if m.clearFlag(flagWarming) {
		b.loop.warming--
	}
	b.change(&m.Node, Removed, "removed")
	b.retire(m)
}

// retire drains a member in a goroutine of its own.
func (b *Balancer[T]) retire(m *member[T]) {
	m.gone.Store(true)
	if m.inFlight() == 0 {
		m.once.Do(func() { close(m.drained) })
	}
	b.drains.add(func(ctx context.Context) error { return m.drain(ctx, b.config.DrainTimeout, b.config.Close) })
}

// drain waits for the calls in flight, at most until ctx ends or the timeout
// has passed, and closes the value.
func (m *member[T]) drain(ctx context.Context, timeout time.Duration, closeValue func(context.Context, T) error) error {
	ctx, cancel := context.WithTimeout(ctx, max(timeout, 0))
	defer cancel()
	select {
	case <-m.drained:
	case <-ctx.Done():
	}
	m.mu.Lock()
	m.shut = true
	wait := m.opening
	m.mu.Unlock()
	if wait != nil {
		<-wait
	}
	v := m.value.Load()
	if v == nil || closeValue == nil {
		return nil
	}
	var err error
	if panicked := contain.Call("Config.Close of a balancer", func() { err = closeValue(ctx, *v) }); panicked != nil {
		return panicked
	}
	return err
}

// drains are the goroutines that wait for the calls of removed members.
type drains struct {
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
	left    atomic.Int64
}

func (d *drains) init() { d.ctx, d.cancel = context.WithCancel(context.Background()) }

func (d *drains) add(drain func(context.Context) error) {
	d.left.Add(1)
	d.running.Go(func() {
		defer d.left.Add(-1)
		_ = drain(d.ctx) // nobody waits for a removed endpoint's error
	})
}

// wait returns when all have ended. When ctx ends first, it ends their patience
// and returns the error of ctx.
func (d *drains) wait(ctx context.Context) error {
	stop := context.AfterFunc(ctx, d.cancel)
	d.running.Wait()
	defer d.cancel()
	if stop() {
		return nil
	}
	return ctx.Err()
}
