package pool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// newMember is the backend's Factory.New. While dialing is suspended it waits,
// as long as a connection may come free for the caller meanwhile.
func (p *Pool) newMember(ctx context.Context) (*Member, error) {
	m := &Member{pool: p, generation: p.generation.Load()}
	made := false
	defer func() { // a hook that panics has the connection before the backend
		if h := m.handle.Load(); !made && h != nil {
			_ = h.Conn.Close()
		}
	}()
	for {
		err := p.connect(ctx, context.Background(), m, nil, nil)
		if err == nil {
			break
		}
		var backoff *conn.BackoffError
		if !errors.As(err, &backoff) || !p.awaitDialing(ctx, backoff.Wait) {
			return nil, err
		}
	}
	made = true
	m.rest(m.life.ready)
	p.roster.add(m, m.life.expires)
	p.reaper.arm(m.life.expires)
	if p.cfg.MaxIdleTime > 0 {
		p.reaper.look() // it may become idle unseen
	}
	return m, nil
}

// awaitDialing waits for d. It reports false if ctx ends first, or if there is
// nothing a caller could wait for: no connection in use, or a backend whose
// callers wait for their own dials only.
func (p *Pool) awaitDialing(ctx context.Context, d time.Duration) bool {
	if !p.lateBinding {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	for {
		ended := p.suspended.Next()
		if p.backend.Stat().Used == 0 {
			return false
		}
		select {
		case <-t.C:
			return true
		case <-ctx.Done():
			return false
		case <-ended:
		}
	}
}

// redial closes m's connection, for the reason given, and makes another in its
// place: in a new handle, or in the handle into. If that fails, or the user's
// code panics, the checkout has ended.
func (p *Pool) redial(ctx context.Context, m *Member, lease backend.Lease[*Member], why Reason, cause error, into *Conn) (err error) {
	done := false
	defer func() {
		if !done || err != nil {
			if into != nil { // first: the backend counts its uses when it closes it
				into.state.Or(connEnded | connSettled)
			}
			m.evictAs(why, cause)
			_ = p.backend.Return(lease, backend.Discard) // stale if a Close does not wait
		}
	}()
	if !p.tasks.begin() { // Close waits for what begins
		return ErrClosed
	}
	end := sync.OnceFunc(p.tasks.end)
	defer end()
	h, old, life := m.live()
	uses := h.usesEnded() - life.uses
	if into != nil {
		uses++ // the checkout that goes on
	}
	_ = old.Close()
	dialing, cancel := context.WithTimeout(ctx, p.cfg.DialTimeout)
	defer cancel()
	defer context.AfterFunc(p.ending.context(), cancel)()
	err = p.connect(dialing, ctx, m, into, end)
	if p.closed.Load() { // a Close that does not wait may have closed the old one
		_, c, _ := m.live()
		_ = c.Close()
		err = ErrClosed
	}
	done = true
	if err != nil {
		return err
	}
	p.countEvicted(why)
	p.roster.replaced(m, m.life.expires, &old)
	p.reaper.arm(m.life.expires)
	p.hasEnded(life, &old, uses, eviction{why, cause})
	return nil
}

// connect dials for m under the gate's rules, and installs the connection. ctx
// bounds the dial; if it was cancelled, or caller has ended too, the dial was
// given up and has not failed. cut, if not nil, is called once ctx has ended
// AfterConnect and the connection is closed, however long that goes on.
func (p *Pool) connect(ctx, caller context.Context, m *Member, into *Conn, cut func()) (err error) {
	pass, err := p.gate.Enter(ctx)
	if err != nil {
		return err
	}
	l := m.newLife()
	event := conn.DialEvent{Addr: p.target.Address, Start: p.clock.time(l.born)}
	err = errPanicked
	defer func() {
		outcome := err
		if err != nil && (hasPassed(caller) || errors.Is(ctx.Err(), context.Canceled)) {
			outcome = context.Canceled
		}
		p.gate.Leave(pass, outcome)
		event.Err = err
		p.dialed(ctx, l, event)
	}()
	for _, h := range p.hooks.beforeDial {
		ctx = h.BeforeDial(ctx, event.Addr)
	}
	c, session, err := p.dialOne(ctx, cut)
	if err != nil {
		return err
	}
	l.session, l.ready = session, p.clock.now()
	event.ID, event.Peer = l.id, c.RemoteAddr()
	return m.install(c, l, into)
}

// hasPassed reports whether ctx has ended, or its deadline has passed, which a
// dial may see first.
func hasPassed(ctx context.Context) bool {
	deadline, limited := ctx.Deadline()
	return ctx.Err() != nil || limited && !time.Now().Before(deadline)
}

// errPanicked is what the gate is told if the user's code panics.
var errPanicked = errors.New("pool: panic while dialing")

// dialOne makes a connection ready for use.
func (p *Pool) dialOne(ctx context.Context, cut func()) (c *conn.Conn, session any, err error) {
	if c, err = p.target.Connect(ctx); err != nil {
		return nil, nil, err
	}
	if p.cfg.AfterConnect == nil {
		return c, nil, nil
	}
	if session, err = p.prepare(ctx, c, cut); err != nil {
		return nil, nil, err
	}
	return c, session, nil
}

// prepare runs Config.AfterConnect. c is closed if that fails or panics, and if
// ctx ends, whatever AfterConnect is doing then.
func (p *Pool) prepare(ctx context.Context, c *conn.Conn, cut func()) (session any, err error) {
	ready := false
	defer func() {
		if !ready {
			_ = c.Close()
		}
	}()
	err = bounded(ctx, c, func() (err error) {
		session, err = p.cfg.AfterConnect(ctx, c)
		return err
	}, cut)
	if err != nil {
		return nil, err
	}
	if err := c.Reusable(); err != nil {
		return nil, fmt.Errorf("pool: Config.AfterConnect left the connection unfit: %w", err)
	}
	ready = true
	return session, nil
}

// dialed counts a dial and tells the hooks.
func (p *Pool) dialed(ctx context.Context, l *life, event conn.DialEvent) {
	event.Duration = time.Duration(p.clock.now() - l.born)
	p.dials.Add(1)
	p.dialTime.Add(int64(event.Duration))
	if event.Err != nil {
		p.dialErrors.Add(1)
		event.ID, event.Peer = 0, net.Addr(nil)
	}
	for _, h := range p.hooks.dial {
		h.AfterDial(ctx, event)
	}
}
