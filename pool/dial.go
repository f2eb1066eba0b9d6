package pool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// newMember is the backend's Factory.New.
func (p *Pool) newMember(ctx context.Context) (*Member, error) {
	m := &Member{pool: p}
	if err := p.connect(ctx, m); err != nil {
		return nil, err
	}
	p.roster.add(m, m.life.expires)
	p.sweeper.arm(m.life.expires)
	if p.cfg.MaxIdleTime > 0 {
		p.sweeper.look() // it may become idle unseen
	}
	return m, nil
}

// redial closes m's connection, for the reason given, and makes another in its
// place, whose handle it returns. The caller holds the lease.
func (p *Pool) redial(ctx context.Context, m *Member, why Reason) (*Conn, error) {
	_ = m.handle.Load().Conn.Close()
	ctx, cancel := context.WithTimeout(ctx, p.cfg.DialTimeout)
	defer cancel()
	if err := p.connect(ctx, m); err != nil {
		return nil, err
	}
	p.evicted[why].Add(1)
	p.roster.replaced(m, m.life.expires)
	p.sweeper.arm(m.life.expires)
	h := m.handle.Load()
	if p.closed.Load() { // a Close that lost patience may have closed the old one
		_ = h.Conn.Close()
		return nil, ErrClosed
	}
	return h, nil
}

// connect dials for m under the gate's rules.
func (p *Pool) connect(ctx context.Context, m *Member) (err error) {
	pass, err := p.gate.enter(ctx)
	if err != nil {
		return err
	}
	l := m.newLife()
	err = errPanicked
	defer func() {
		p.gate.leave(pass, err)
		p.dialed(ctx, l.born, err)
	}()
	c, session, err := p.dialOne(ctx)
	if err != nil {
		return err
	}
	l.session, l.ready = session, p.now()
	return m.adopt(c, l)
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
