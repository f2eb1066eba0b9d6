package pool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// newMember is the backend's Factory.New.
func (p *Pool) newMember(ctx context.Context) (*Member, error) {
	m := &Member{pool: p, generation: p.generation.Load()}
	made := false
	defer func() { // a hook that panics has the connection before the backend
		if h := m.handle.Load(); !made && h != nil {
			_ = h.Conn.Close()
		}
	}()
	if err := p.connect(ctx, context.Background(), m); err != nil {
		return nil, err
	}
	made = true
	p.roster.add(m, m.life.expires)
	p.sweeper.arm(m.life.expires)
	if p.cfg.MaxIdleTime > 0 {
		p.sweeper.look() // it may become idle unseen
	}
	return m, nil
}

// redial closes m's connection, for the reason given, and makes another in its
// place, whose handle it returns. If that fails, or the user's code panics, the
// lease has ended.
func (p *Pool) redial(ctx context.Context, m *Member, lease backend.Lease[*Member], why Reason) (h *Conn, err error) {
	defer func() {
		if h == nil {
			m.evictAs(why)
			_ = p.backend.Return(lease, backend.Discard) // stale if Close has lost patience
		}
	}()
	old := m.handle.Load()
	_ = old.Conn.Close()
	dialing, cancel := context.WithTimeout(ctx, p.cfg.DialTimeout)
	defer cancel()
	defer context.AfterFunc(p.ending, cancel)()
	err = p.connect(dialing, ctx, m)
	if p.closed.Load() { // a Close that lost patience may have closed the old one
		_ = m.handle.Load().Conn.Close()
		return nil, ErrClosed
	}
	if err != nil {
		return nil, err
	}
	p.evicted[why].Add(1)
	p.roster.replaced(m, m.life.expires)
	p.sweeper.arm(m.life.expires)
	p.hasEnded(old, why)
	return m.handle.Load(), nil
}

// connect dials for m under the gate's rules. ctx bounds the dial; if it was
// cancelled, or caller has ended too, the dial was given up and has not failed.
func (p *Pool) connect(ctx, caller context.Context, m *Member) (err error) {
	pass, err := p.gate.enter(ctx)
	if err != nil {
		return err
	}
	l := m.newLife()
	err = errPanicked
	defer func() {
		outcome := err
		if err != nil && (hasPassed(caller) || errors.Is(ctx.Err(), context.Canceled)) {
			outcome = context.Canceled
		}
		p.gate.leave(pass, outcome)
		p.dialed(ctx, l.born, err)
	}()
	c, session, err := p.dialOne(ctx)
	if err != nil {
		return err
	}
	l.session, l.ready = session, p.now()
	return m.adopt(c, l)
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
func (p *Pool) dialOne(ctx context.Context) (*conn.Conn, any, error) {
	nc, err := p.cfg.Dial(ctx)
	if err != nil {
		return nil, nil, err
	}
	if nc == nil {
		return nil, nil, errors.New("pool: Config.Dial returned neither a connection nor an error")
	}
	c := wrap(nc)
	session, err := p.prepare(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	return c, session, nil
}

// wrap returns nc as a conn.Conn of which the pool has the only handle.
func wrap(nc net.Conn) *conn.Conn {
	if c, ok := nc.(*conn.Conn); ok {
		return c
	}
	return conn.New(nc)
}

// prepare runs Config.AfterConnect. c is closed if that fails or panics.
func (p *Pool) prepare(ctx context.Context, c *conn.Conn) (session any, err error) {
	if p.cfg.AfterConnect == nil {
		return nil, nil
	}
	ready := false
	defer func() {
		if !ready {
			_ = c.Close()
		}
	}()
	if session, err = p.cfg.AfterConnect(ctx, c); err != nil {
		return nil, err
	}
	if err := c.Reusable(); err != nil {
		return nil, fmt.Errorf("pool: Config.AfterConnect left the connection unfit: %w", err)
	}
	ready = true
	return session, nil
}

// dialed counts a dial and tells the hook.
func (p *Pool) dialed(ctx context.Context, born int64, err error) {
	took := time.Duration(p.now() - born)
	p.dials.Add(1)
	p.dialTime.Add(int64(took))
	if err != nil {
		p.dialErrors.Add(1)
	}
	if h := p.hooks.dial; h != nil {
		h.AfterDial(ctx, DialEvent{Addr: p.cfg.Address, Start: p.time(born), Duration: took, Err: err})
	}
}
