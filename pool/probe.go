package pool

import (
	"context"
	"errors"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// probe asks whether an idle connection is alive and silent. The lease is
// given up if the user's probe panics.
func (p *Pool) probe(ctx context.Context, m *Member, lease backend.Lease[*Member]) Reason {
	c := &m.handle.Load().Conn
	if p.cfg.Probe == nil {
		return diagnose(c.Check())
	}
	done := false
	defer func() {
		if !done {
			m.evictAs(Dead)
			_ = p.backend.Return(lease, backend.Discard)
		}
	}()
	err := p.cfg.Probe(ctx, c)
	if err == nil {
		err = c.Reusable()
	}
	done = true
	return diagnose(err)
}

// diagnose turns the error of a probe into a reason.
func diagnose(err error) Reason {
	switch {
	case err == nil:
		return kept
	case errors.Is(err, conn.ErrUnread):
		return Dirty
	}
	return Dead
}
