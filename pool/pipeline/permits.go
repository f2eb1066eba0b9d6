package pipeline

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// permits counts the callers inside the pipeline and the permits that they and
// the calls they have abandoned hold. It lets callers in while there are
// permits, the others in the order they came.
type permits struct {
	limit      int64
	maxWaiters int // as in Config
	calls      *callPool
	timeout    time.Duration // Config.CallTimeout
	closing    chan struct{} // closed when no caller is let in any more
	idle       chan struct{} // capacity 1: told when the last caller has left; made by close

	state    atomic.Int64 // callers in the upper half, permits in the lower
	waiting  atomic.Int64 // queue.len()
	waitTime atomic.Int64 // of all who have waited

	mu    sync.Mutex // guards what follows, and adding to waiting
	queue queue      // of callers who wait for a permit
	shut  bool       // closing is closed
}

const (
	oneCaller = 1 << 32
	onePermit = 1
)

func (g *permits) taken() int64   { return g.state.Load() & (oneCaller - 1) }
func (g *permits) callers() int64 { return g.state.Load() >> 32 }

// enter lets a caller in, with a permit. After an error the caller has
// neither entered nor a permit. done is its context's, and due is set if it has
// to wait.
func (g *permits) enter(done <-chan struct{}, due *due) error {
	// Counted first, so that drain waits for whoever sees the gate open.
	taken := g.state.Add(oneCaller+onePermit) & (oneCaller - 1)
	select {
	case <-g.closing:
		g.leave(true)
		return ErrClosed
	default:
	}
	if taken <= g.limit && g.waiting.Load() == 0 {
		return nil
	}
	g.release() // there was none
	start := time.Now()
	over, stop := due.timer(g.timeout)
	err := g.wait(done, over)
	stop()
	g.waitTime.Add(int64(time.Since(start)))
	if err != nil {
		g.leave(false)
	}
	return err
}

// wait waits for a permit.
func (g *permits) wait(done <-chan struct{}, over <-chan time.Time) error {
	c := g.calls.get(nil)
	defer g.calls.put(c)
	g.mu.Lock()
	if g.maxWaiters != 0 && g.queue.len() >= g.maxWaiters {
		g.mu.Unlock()
		return ErrTooManyWaiters
	}
	g.queue.push(c)
	g.waiting.Add(1)
	g.mu.Unlock()
	g.grant() // a permit may have come free before anybody could see c

	var err error
	select {
	case <-c.done:
		return nil
	case <-done:
		err = errGaveUp
	case <-over:
		err = ErrCallTimeout
	case <-g.closing:
		err = ErrClosed
	}
	g.mu.Lock()
	left := c.queued
	if left {
		g.queue.remove(c)
		g.waiting.Add(-1)
	}
	g.mu.Unlock()
	if !left { // granted at the same moment
		<-c.done
		g.release()
	}
	return err
}

// grant gives free permits to those who wait.
func (g *permits) grant() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.queue.len() > 0 {
		v := g.state.Load()
		if v&(oneCaller-1) >= g.limit {
			return
		}
		if g.state.CompareAndSwap(v, v+onePermit) {
			g.waiting.Add(-1)
			g.queue.pop().finish()
		}
	}
}

// release gives a permit back.
func (g *permits) release() {
	g.state.Add(-onePermit)
	if g.waiting.Load() > 0 {
		g.grant()
	}
}

// leave counts a caller out, with its permit unless an abandoned call has it.
func (g *permits) leave(permit bool) {
	n := int64(-oneCaller)
	if permit {
		n -= onePermit
	}
	left := g.state.Add(n)
	if permit && g.waiting.Load() > 0 {
		g.grant()
	}
	if left>>32 == 0 {
		select {
		case <-g.closing:
			wake(g.idle)
		default:
		}
	}
}

// close lets nobody in any more.
func (g *permits) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.shut {
		g.shut = true
		g.idle = make(chan struct{}, 1)
		close(g.closing)
	}
}

// drain waits, once closed, until the last caller has left.
func (g *permits) drain(ctx context.Context) error {
	for g.callers() > 0 {
		select {
		case <-g.idle:
		case <-ctx.Done():
			return ended(ctx)
		}
	}
	wake(g.idle) // for another who drains
	return nil
}
