package faultproxy

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
)

// Counts are the proxy's totals since New. Faults are counted when they are
// injected, not when they are planned.
type Counts struct {
	Conns                                 uint64 // accepted
	Refused, DialErrors                   uint64 // reset at once: by plan; because the target did not answer
	Splits, Delays                        uint64 // writes made smaller; writes held back
	Truncates, HalfCloses, Resets, Stalls uint64
	BytesUp, BytesDown                    uint64 // forwarded
}

// Faults is the sum of the injected faults, splits and delays left out.
func (c Counts) Faults() uint64 {
	return c.Refused + c.Truncates + c.HalfCloses + c.Resets + c.Stalls
}

// Proxy listens on 127.0.0.1 and forwards to its target. It is safe for
// concurrent use.
type Proxy struct {
	addr    string
	release func() error    // gives the port back
	ctx     context.Context // ends with Close: dials stop
	cancel  context.CancelFunc
	wg      sync.WaitGroup // every goroutine of the proxy
	counts  counters

	mu       sync.Mutex // guards all below; never held across I/O but Listen
	target   string
	plan     func(n int) Plan
	listener net.Listener // nil while refusing
	closed   bool
	accepted int
	links    map[*link]struct{}
	open     chan struct{} // closed while bytes may move; see Freeze
}

type counters struct {
	conns, refused, dialErrors, splits, delays      atomic.Uint64
	truncates, halfCloses, resets, stalls, up, down atomic.Uint64
}

// New starts a proxy in front of target, a TCP address. plan gives the n-th
// accepted connection its Plan, counting from 0; it is called from one
// goroutine at a time. A nil plan forwards faithfully.
func New(target string, plan func(n int) Plan) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	release, err := hold(l)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	p := &Proxy{addr: l.Addr().String(), release: release, target: target, links: map[*link]struct{}{}, open: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	close(p.open)
	p.SetPlan(plan)
	p.serve(l)
	return p, nil
}

// Addr is the address to dial instead of the target's. It never changes.
func (p *Proxy) Addr() string { return p.addr }

// SetPlan replaces the plan function for connections accepted from now on.
func (p *Proxy) SetPlan(plan func(n int) Plan) {
	if plan == nil {
		plan = func(int) Plan { return Plan{} }
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan = plan
}

// SetTarget sends connections accepted from now on to another address, such as
// that of a server that was restarted.
func (p *Proxy) SetTarget(addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = addr
}

// Refuse closes the listening socket if on, so that dials fail with
// ECONNREFUSED; connections stay. If not on, it listens again at the same
// address. No other process gets the port meanwhile, unless it asks for just that one.
func (p *Proxy) Refuse(on bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed || on == (p.listener == nil):
		return nil
	case on:
		l := p.listener
		p.listener = nil
		return l.Close()
	}
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		return err
	}
	p.serve(l)
	return nil
}

// Freeze stops all bytes of all connections if on: the proxy reads no more, so
// that senders block once the kernel's buffers are full. If not on, it lets
// them go on; none is lost. Each freeze counts as one stall.
func (p *Proxy) Freeze(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.open:
		if on {
			p.open = make(chan struct{})
			p.counts.stalls.Add(1)
		}
	default:
		if !on {
			close(p.open)
		}
	}
}

// ResetAll sends a RST to both sides of every connection there is and says how
// many that were.
func (p *Proxy) ResetAll() int {
	p.mu.Lock()
	links := make([]*link, 0, len(p.links))
	for l := range p.links {
		links = append(links, l)
	}
	p.mu.Unlock()
	n := 0
	for _, l := range links {
		if l.close(true) {
			p.counts.resets.Add(1)
			n++
		}
	}
	return n
}

// Open is how many connections there are.
func (p *Proxy) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

// Counts returns the totals so far.
func (p *Proxy) Counts() Counts {
	c := &p.counts
	return Counts{
		Conns: c.conns.Load(), Refused: c.refused.Load(), DialErrors: c.dialErrors.Load(),
		Splits: c.splits.Load(), Delays: c.delays.Load(),
		Truncates: c.truncates.Load(), HalfCloses: c.halfCloses.Load(),
		Resets: c.resets.Load(), Stalls: c.stalls.Load(),
		BytesUp: c.up.Load(), BytesDown: c.down.Load(),
	}
}

// Close stops listening, closes every connection and waits for the proxy's
// goroutines. Later calls do nothing.
func (p *Proxy) Close() error {
	p.mu.Lock()
	var err error
	if p.listener != nil {
		err = p.listener.Close()
		p.listener = nil
	}
	if !p.closed {
		err = errors.Join(err, p.release())
	}
	p.closed = true
	links := p.links
	p.links = nil
	p.mu.Unlock()
	p.cancel()
	for l := range links {
		l.close(false)
	}
	p.wg.Wait()
	return err
}

// serve takes over l; the caller holds mu or is alone.
func (p *Proxy) serve(l net.Listener) {
	p.listener = l
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed by Refuse or Close
			}
			p.accept(c.(*net.TCPConn))
		}
	})
}

func (p *Proxy) accept(client *net.TCPConn) {
	p.counts.conns.Add(1)
	p.mu.Lock()
	n, target, plan := p.accepted, p.target, p.plan
	p.accepted++
	p.mu.Unlock()
	link := &link{proxy: p, client: client, plan: plan(n), seed: uint64(n), done: make(chan struct{})}
	if link.plan.Refuse {
		p.counts.refused.Add(1)
		link.close(true)
		return
	}
	if p.track(link) {
		p.wg.Go(func() { link.run(target) })
	}
}

// track registers a link so that Close and ResetAll reach it; a proxy that is
// closed already closes it instead.
func (p *Proxy) track(l *link) bool {
	p.mu.Lock()
	closed := p.closed
	if !closed {
		p.links[l] = struct{}{}
	}
	p.mu.Unlock()
	if closed {
		l.close(false)
	}
	return !closed
}

func (p *Proxy) untrack(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

func (p *Proxy) gate() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open
}
