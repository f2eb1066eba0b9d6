package pooltest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// call is an Acquire in progress.
type call struct {
	id     int
	ctx    context.Context
	cancel context.CancelFunc
	begun  time.Time

	done atomic.Bool
	// Set before done is.
	lease backend.Lease[*Resource]
	err   error
	took  time.Duration
}

// start calls Acquire on another goroutine and lets it get as far as it can.
func (w *world) start() *call {
	c := w.launch()
	synctest.Wait()
	return c
}

// launch is start without the wait.
func (w *world) launch() *call {
	w.mu.Lock()
	c := &call{id: len(w.calls) + 1, begun: time.Now()}
	w.calls = append(w.calls, c)
	w.mu.Unlock()
	c.ctx, c.cancel = context.WithTimeout(context.WithValue(w.ctx, callerKey, c.id), time.Hour)
	go func() {
		l, err := w.acquire(c.ctx)
		c.lease, c.err, c.took = l, err, time.Since(c.begun)
		c.done.Store(true)
	}()
	return c
}

// pending reports whether c is blocked still; all must be quiet.
func (c *call) pending() bool { return !c.done.Load() }

// served reports whether c has got a lease.
func (c *call) served() bool { return c.done.Load() && c.err == nil }

func (c *call) String() string {
	switch {
	case !c.done.Load():
		return fmt.Sprintf("caller %d, waiting", c.id)
	case c.err != nil:
		return fmt.Sprintf("caller %d, failed: %v", c.id, c.err)
	}
	return fmt.Sprintf("caller %d, with resource %d", c.id, c.lease.Value.ID)
}
