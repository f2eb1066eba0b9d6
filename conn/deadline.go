package conn

import (
	"time"
)

// longAgo is a deadline that has passed on any clock, that of a synctest
// bubble included.
var longAgo = time.Unix(1, 0)

// SetDeadline sets the read and the write deadline, as net.Conn says; the
// zero time means none. During Do the earlier of it and the context's counts.
func (c *Conn) SetDeadline(t time.Time) error { return c.setDeadline(t, true, true) }

// SetReadDeadline sets the deadline of reads in progress and to come.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(t, true, false) }

// SetWriteDeadline sets the deadline of writes in progress and to come.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(t, false, true) }

func (c *Conn) setDeadline(t time.Time, read, write bool) error {
	k := c.core
	if k == nil {
		return handleError("deadline", k)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !c.live(k) {
		return handleError("deadline", k)
	}
	if read {
		k.rd = t
	}
	if write {
		k.wd = t
	}
	if err := k.applyDeadlines(read, write); err != nil {
		return k.error("deadline", err)
	}
	return nil
}

// applyDeadlines gives the transport the deadlines in effect: the earliest of
// the caller's, the context's and the internal one. The caller holds mu.
func (k *core) applyDeadlines(read, write bool) error {
	rd, wd := earliest(k.rd, k.waiting), k.wd
	if d := k.do; d != nil && d.active {
		rd, wd = earliest(rd, d.deadline), earliest(wd, d.deadline)
		if d.interrupted {
			rd, wd = longAgo, longAgo
		}
	}
	switch {
	case read && write && rd.Equal(wd):
		return k.nc.SetDeadline(rd)
	case read && write:
		if err := k.nc.SetReadDeadline(rd); err != nil {
			return err
		}
		return k.nc.SetWriteDeadline(wd)
	case read:
		return k.nc.SetReadDeadline(rd)
	default:
		return k.nc.SetWriteDeadline(wd)
	}
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// setWait sets the internal read deadline; the zero time ends it.
func (k *core) setWait(t time.Time) {
	k.mu.Lock()
	k.waiting = t
	_ = k.applyDeadlines(true, false) // it fails on a closed connection, and so will the read
	k.mu.Unlock()
}

// callerTimedOut reports, after a timeout under setWait, whether one of the
// caller's own time limits has passed too.
func (k *core) callerTimedOut() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	limit := k.rd
	if d := k.do; d != nil && d.active {
		if d.interrupted {
			return true
		}
		limit = earliest(limit, d.deadline)
	}
	return !limit.IsZero() && !time.Now().Before(limit)
}
