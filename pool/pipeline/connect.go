package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/dialgate"
)

// dial is the making of one connection, shared by all callers who need it.
type dial struct {
	ctx     context.Context // with the values of who asked first; nil once it is over
	waiters atomic.Int32
	pass    dialgate.Pass
	begun   time.Time
	done    chan struct{}
	err     error         // valid once done is closed
	heirs   []*sharedConn // those that the connection replaces; guarded by Pipeline.mu
}

// pick returns the least loaded connection, dialing where there is none, and
// starting a dial for later callers where each is busy and more are allowed. One
// that owes replies and has been silent for a while counts as none where
// another can be dialed.
func (p *Pipeline) pick(ctx context.Context, done <-chan struct{}, due *due) (*sharedConn, error) {
	for {
		best, load, sound, all := p.leastLoaded()
		if sound > 0 && (load == 0 || sound >= p.cfg.MaxConns) || all > p.cfg.MaxConns {
			return best, nil
		}
		d, err := p.connect(ctx)
		if sound > 0 {
			return best, nil
		}
		if err == nil {
			err = p.await(d, done, due)
		}
		if err == nil {
			continue
		}
		if e := err.(*Error); best != nil && e.Err != errGaveUp && e.Err != ErrCallTimeout && e.Err != ErrClosed {
			return best, nil // a silent one is better than none
		}
		return nil, err
	}
}

// await waits for the end of a dial.
func (p *Pipeline) await(d *dial, done <-chan struct{}, due *due) error {
	d.waiters.Add(1)
	defer d.waiters.Add(-1)
	over, stop := due.timer(p.cfg.CallTimeout)
	defer stop()
	select {
	case <-d.done:
		return d.err
	case <-done:
		return &Error{Op: "dial", Addr: p.target.Address, Err: errGaveUp}
	case <-over:
		return &Error{Op: "dial", Addr: p.target.Address, Err: ErrCallTimeout}
	case <-p.permits.closing:
		return p.refusal(ErrClosed)
	}
}

// leastLoaded returns the live connection with the fewest calls, one that is
// not under suspicion if there is one, its load, and the numbers of live
// connections that are not under suspicion and of all. best is nil if there is
// none.
func (p *Pipeline) leastLoaded() (best *sharedConn, load int32, sound, all int) {
	live := *p.live.Load()
	for _, s := range live {
		suspect := s.suspect.Load()
		if !suspect {
			if sound++; sound == 1 {
				best = nil
			}
		} else if sound > 0 {
			continue
		}
		if v := s.load.Load(); best == nil || v < load {
			best, load = s, v
		}
	}
	return best, load, sound, len(live)
}

// connect returns the dial in progress, after starting one if there is none.
// It fails during the pause after a failure.
func (p *Pipeline) connect(ctx context.Context) (*dial, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, p.refusal(ErrClosed)
	}
	if p.dialing != nil {
		return p.dialing, nil
	}
	if _, _, sound, all := p.leastLoaded(); sound >= p.cfg.MaxConns || all > p.cfg.MaxConns {
		return closedDial, nil // one has come meanwhile
	}
	return p.beginDialLocked(ctx)
}

// beginDialLocked starts a dial, unless it is too soon after a failure.
func (p *Pipeline) beginDialLocked(ctx context.Context) (*dial, error) {
	pass, err := p.gate.Enter(context.Background()) // does not wait, having no limit
	if err != nil {
		return nil, &Error{Op: "dial", Addr: p.target.Address, Err: err}
	}
	d := &dial{ctx: context.WithoutCancel(ctx), pass: pass, begun: time.Now(), done: make(chan struct{})}
	p.dialing = d
	p.done.Go(func() { p.runDial(d) })
	return d, nil
}

// succeed returns the dial of a connection that is to take another's place, or
// nil if there can be none at the moment. When the dial has ended, s looks. Where there
// are more connections than MaxConns, one that is not silent is a successor too. If all
// are silent, there is one more for a moment: else s could stay for ever.
func (p *Pipeline) succeed(s *sharedConn) *dial {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return nil
	case p.dialing != nil:
		p.dialing.heirs = append(p.dialing.heirs, s)
		return p.dialing
	case p.dropLocked(s, 1):
		return closedDial
	}
	d, err := p.beginDialLocked(context.Background())
	if err != nil {
		return nil
	}
	d.heirs = append(d.heirs, s)
	return d
}

// full tells whether no connection can be dialed although all there are owe
// replies and are silent.
func (p *Pipeline) full() bool {
	_, _, sound, all := p.leastLoaded()
	return sound == 0 && all > p.cfg.MaxConns
}

// drop takes s out of those callers choose from, if there are more than MaxConns and
// enough others that are not under suspicion. It returns whether it has. Of several
// that ask at the same time, no more go than there are too many.
func (p *Pipeline) drop(s *sharedConn, enough int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dropLocked(s, enough)
}

func (p *Pipeline) dropLocked(s *sharedConn, enough int) bool {
	live := *p.live.Load()
	sound, found := 0, false
	for _, other := range live {
		switch {
		case other == s:
			found = true
		case !other.suspect.Load():
			sound++
		}
	}
	if !found || len(live) <= p.cfg.MaxConns || sound < enough {
		return false
	}
	p.removeLocked(s)
	return true
}

// closedDial is a dial that has succeeded.
var closedDial = func() *dial {
	d := &dial{done: make(chan struct{})}
	close(d.done)
	return d
}()

const (
	// hedgeAfter is how long a dial may take before another attempt is begun
	// beside it. A lost SYN is sent again after 1, 3, 7, 15 s: an attempt that
	// began in an outage finds the network long after it is back, a new one at
	// once.
	hedgeAfter = 400 * time.Millisecond

	// maxAttempts bounds the attempts in progress. The first may take its whole
	// timeout, for a slow peer; the others are given up for newer ones.
	maxAttempts = 3
)

// attempt is one of the attempts of a dial.
type attempt struct {
	cancel context.CancelFunc
	given  bool // given up: its outcome does not count
	id     uint64
	nc     *conn.Conn
	err    error
}

// attempts makes one connection by attempts that overlap where one is slow and
// somebody waits. The first outcome counts, good or bad.
func (p *Pipeline) attempts(d *dial) *attempt {
	ctx, cancel := context.WithCancel(d.ctx)
	p.mu.Lock()
	if p.cancel = cancel; p.ended {
		cancel()
	}
	p.mu.Unlock()
	outcomes := make(chan *attempt)
	var running []*attempt
	begin := func() {
		a := &attempt{err: errDialExit}
		var actx context.Context
		actx, a.cancel = context.WithCancel(ctx)
		running = append(running, a)
		p.done.Go(func() {
			defer func() {
				a.cancel()
				outcomes <- a
			}()
			a.dial(p, actx)
		})
	}
	tick := time.NewTicker(hedgeAfter)
	defer tick.Stop()
	begin()
	for {
		select {
		case a := <-outcomes:
			for i, other := range running {
				if other == a {
					running = append(running[:i], running[i+1:]...)
					break
				}
			}
			if a.given && a.nc == nil {
				begin()
				continue
			}
			cancel()
			if left := len(running); left > 0 {
				p.done.Go(func() { discard(outcomes, left) })
			}
			return a
		case <-tick.C:
			if d.waiters.Load() == 0 {
				continue
			}
			if len(running) < maxAttempts {
				begin()
			} else if a := running[1]; !a.given {
				a.given = true
				a.cancel()
			}
		}
	}
}

// discard waits for the attempts that came too late.
func discard(outcomes <-chan *attempt, n int) {
	for range n {
		if a := <-outcomes; a.nc != nil {
			_ = a.nc.Close()
		}
	}
}

// dial makes one connection, and tells the hook. What a user's function does
// instead of returning, be it a panic, is the error of the attempt.
func (a *attempt) dial(p *Pipeline, actx context.Context) {
	var nc *conn.Conn
	ctx := actx
	defer func() {
		if a.nc != nil {
			return
		}
		if v := recover(); v != nil {
			a.err = &PanicError{v, debug.Stack()}
		}
		if nc != nil {
			_ = nc.Close()
		}
	}()
	for _, h := range p.hooks.start {
		ctx = h.BeforeDial(ctx, p.target.Address)
	}
	start := time.Now()
	nc, err := p.connectOne(ctx)
	e := conn.DialEvent{Addr: p.target.Address, Start: start, Duration: time.Since(start), Err: err}
	if err == nil {
		a.id = p.ids.Add(1)
		e.ID, e.Peer = a.id, nc.RemoteAddr()
	}
	if err == nil || actx.Err() == nil { // not one that came too late
		p.countDial(e.Duration, err)
	}
	for _, h := range p.hooks.dial {
		h.AfterDial(ctx, e)
	}
	a.nc, a.err = nc, err
}

// connectOne connects within DialTimeout, AfterConnect included. When that time
// is over the connection is closed, so that no AfterConnect can hold it.
func (p *Pipeline) connectOne(ctx context.Context) (*conn.Conn, error) {
	if p.cfg.DialTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.cfg.DialTimeout)
		defer cancel()
	}
	nc, err := p.target.Connect(ctx)
	if err != nil || p.cfg.AfterConnect == nil {
		return nc, err
	}
	ready := false
	defer func() {
		if !ready {
			_ = nc.Close() // a panic passes here too
		}
	}()
	stop := context.AfterFunc(ctx, func() { _ = nc.Close() })
	err = p.cfg.AfterConnect(ctx, nc)
	if !stop() {
		return nil, fmt.Errorf("pipeline: AfterConnect: %w", ended(ctx))
	}
	if err != nil {
		return nil, fmt.Errorf("pipeline: AfterConnect: %w", err)
	}
	if err := nc.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	ready = true
	return nc, nil
}

func (p *Pipeline) countDial(took time.Duration, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dials++
	p.dialTime += took
	if err != nil {
		p.dialErrors++
	}
}

// runDial makes one connection, and starts its reader: on a goroutine of its own, for
// the stack of this one has grown.
func (p *Pipeline) runDial(d *dial) {
	a := p.attempts(d)
	d.ctx = nil // a connection outlives what its first caller's context holds
	p.gate.Leave(d.pass, a.err)
	var s *sharedConn
	if a.err == nil {
		s = newSharedConn(p, a.nc)
		s.id, s.begun, s.ready = a.id, d.begun, time.Now()
	}
	p.mu.Lock()
	p.dialing, p.cancel = nil, nil
	heirs, ended := d.heirs, p.ended
	if a.err != nil {
		p.lastErr = a.err
		d.err = &Error{Op: "dial", Addr: p.target.Address, Err: a.err}
	} else {
		live := *p.live.Load()
		live = append(live[:len(live):len(live)], s)
		p.live.Store(&live)
		p.conns = append(p.conns, s)
	}
	p.mu.Unlock()
	close(d.done)
	for _, heir := range heirs {
		heir.look()
	}
	if s == nil {
		return
	}
	if ended {
		s.fail(ErrClosed) // Close may have looked before s was live
	}
	p.done.Go(s.run)
}

// remove takes a connection that has ended out of those callers choose from.
func (p *Pipeline) remove(s *sharedConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.removeLocked(s)
}

func (p *Pipeline) removeLocked(s *sharedConn) {
	var rest []*sharedConn
	for _, other := range *p.live.Load() {
		if other != s {
			rest = append(rest, other)
		}
	}
	p.live.Store(&rest)
}

// replied notes the first reply on a connection: failures before it are over.
func (p *Pipeline) replied() {
	p.gate.Answered()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lastErr = nil
}

// connEnded accounts for a connection that has ended, before its calls are
// settled. One that was sent a request and never replied counts as a failed
// dial: a peer that accepts and closes must not be dialed in a tight loop.
func (p *Pipeline) connEnded(s *sharedConn, cause error, count counters, unreplied bool) {
	why := reasonOf(cause)
	unreplied = unreplied && why != Closed && !isRetirement(cause)
	if unreplied {
		p.gate.Unanswered(s.begun, cause)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total.add(count)
	p.ends[why]++
	if i := slices.Index(p.conns, s); i >= 0 {
		p.conns = slices.Delete(p.conns, i, i+1)
	}
	if unreplied {
		p.lastErr = cause
	}
}

// sayUnhandled tells whether a connection ended in a way that says that the
// peer has handled no request without a reply.
func (p *Pipeline) sayUnhandled(cause error) bool {
	return cause == ErrGoodbye || p.cfg.CloseIsGoodbye && errors.Is(cause, io.EOF)
}
