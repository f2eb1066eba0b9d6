package pipeline

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// dial is one attempt to connect, shared by all callers who need it.
type dial struct {
	ctx  context.Context // with the values of who asked first; nil once it is over
	done chan struct{}
	err  error // valid once done is closed
}

// link returns the least loaded connection, dialing where there is none, and
// starting a dial for later callers where each is busy and more are allowed.
func (p *Pipeline) link(ctx context.Context) (*link, error) {
	for {
		best, load, n := p.leastLoaded()
		if best != nil && (load == 0 || n >= p.cfg.MaxConns) {
			return best, nil
		}
		d, err := p.connect(ctx)
		if best != nil {
			return best, nil
		}
		if err != nil {
			return nil, err
		}
		select {
		case <-d.done:
			if d.err != nil {
				return nil, d.err
			}
		case <-ctx.Done():
			return nil, &Error{Op: "dial", Addr: p.cfg.Address, Err: ended(ctx)}
		case <-p.gate.closing:
			return nil, p.refusal(ErrClosed)
		}
	}
}

// leastLoaded returns the live link with the fewest calls, nil if there is
// none, its load, and the number of live links.
func (p *Pipeline) leastLoaded() (best *link, load int32, n int) {
	live := *p.live.Load()
	for _, l := range live {
		if v := l.load.Load(); best == nil || v < load {
			best, load = l, v
		}
	}
	return best, load, len(live)
}

// connect returns the dial under way, after starting one if there is none. It
// fails during the pause after a failure.
func (p *Pipeline) connect(ctx context.Context) (*dial, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, p.refusal(ErrClosed)
	}
	if p.dialing != nil {
		return p.dialing, nil
	}
	if len(*p.live.Load()) >= p.cfg.MaxConns {
		return closedDial, nil // one has come meanwhile
	}
	if p.lastErr != nil && time.Now().Before(p.retryAt) {
		return nil, &Error{Op: "dial", Addr: p.cfg.Address, Err: p.lastErr}
	}
	d := &dial{ctx: context.WithoutCancel(ctx), done: make(chan struct{})}
	p.dialing = d
	p.done.Go(func() { p.runDial(d) })
	return d, nil
}

// closedDial is a dial that has succeeded.
var closedDial = func() *dial {
	d := &dial{done: make(chan struct{})}
	close(d.done)
	return d
}()

// dial makes one connection, and tells the hook.
func (p *Pipeline) dial(ctx context.Context) (nc *conn.Conn, took time.Duration, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	start := time.Now()
	nc, err = p.cfg.dial(ctx)
	took = time.Since(start)
	if p.hooks.dial != nil {
		p.hooks.dial.AfterDial(ctx, DialEvent{p.cfg.Address, start, took, err})
	}
	return nc, took, err
}

// runDial makes one connection and then is its link's goroutine.
func (p *Pipeline) runDial(d *dial) {
	nc, took, err := p.dial(d.ctx)
	d.ctx = nil // a link outlives what its first caller's context holds
	var l *link
	if err == nil {
		l = newLink(p, nc)
	}
	p.mu.Lock()
	p.dialing = nil
	p.dials++
	p.dialTime += took
	if err != nil {
		p.dialErrors++
		p.failed(err)
		d.err = &Error{Op: "dial", Addr: p.cfg.Address, Err: err}
	} else {
		live := *p.live.Load()
		live = append(live[:len(live):len(live)], l)
		p.live.Store(&live)
		p.links[l] = struct{}{}
	}
	p.mu.Unlock()
	close(d.done)
	if l == nil {
		return
	}
	if p.ctx.Err() != nil {
		l.fail(ErrClosed) // Close may have looked before l was live
	}
	l.run()
}

// failed notes that the peer could not be reached, or did not answer once it
// was: the next dial waits. Called under mu.
func (p *Pipeline) failed(cause error) {
	p.lastErr = cause
	p.failures++
	pause, most := p.cfg.DialBackoff.Min, p.cfg.DialBackoff.Max
	if pause < 0 {
		return
	}
	for i := 1; i < p.failures && pause < most; i++ {
		pause *= 2
	}
	pause = min(pause, most)
	p.retryAt = time.Now().Add(pause/2 + rand.N(pause/2+1))
}

// remove takes a link that has ended out of those callers choose from.
func (p *Pipeline) remove(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var rest []*link
	for _, other := range *p.live.Load() {
		if other != l {
			rest = append(rest, other)
		}
	}
	p.live.Store(&rest)
}

// answered notes the first reply on a connection: failures before it are over.
func (p *Pipeline) answered() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failures, p.lastErr = 0, nil
}

// linkEnded accounts for a link that has ended, before its calls are settled. A
// connection that was asked and never answered counts as a failed dial: a peer
// that accepts and closes must not be dialed in a tight loop. One that answered
// is replaced at once, though dials for a second have failed meanwhile.
func (p *Pipeline) linkEnded(l *link, cause error, count counters, unanswering bool) {
	why := reason(cause)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total.add(count)
	p.ends.count(why)
	delete(p.links, l)
	switch {
	case unanswering && why != Closed:
		p.failed(cause)
	case count.answered():
		p.failures, p.lastErr = 0, nil
	}
}
