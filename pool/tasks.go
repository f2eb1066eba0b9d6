package pool

import (
	"context"
	"sync"
)

// tasks counts what goes on in the background or must end before Close does:
// the functions of timers, and Replace.
type tasks struct {
	mu      sync.Mutex // guards stopped, and adding to wg
	wg      sync.WaitGroup
	stopped bool
}

// begin reports whether a task may run; if so end must follow.
func (t *tasks) begin() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.stopped {
		t.wg.Add(1)
	}
	return !t.stopped
}

func (t *tasks) end() { t.wg.Done() }

// stop lets no further task begin, and waits for those in progress.
func (t *tasks) stop() {
	t.mu.Lock()
	t.stopped = true
	t.mu.Unlock()
	t.wg.Wait()
}

// ending is a context that ends when the pool does. Few pools need it, so it is made
// when it is first asked for.
type ending struct {
	mu     sync.Mutex // guards what follows
	begun  bool
	ctx    context.Context
	cancel context.CancelFunc
}

func (e *ending) context() context.Context {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ctx == nil {
		e.ctx, e.cancel = context.WithCancel(context.Background())
		if e.begun {
			e.cancel()
		}
	}
	return e.ctx
}

// begin ends the context.
func (e *ending) begin() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.begun = true
	if e.cancel != nil {
		e.cancel()
	}
}
