package conn

import "time"

// aLongTimeAgo is a deadline that has passed on any clock, that of a synctest
// bubble included.
var aLongTimeAgo = time.Unix(1, 0)

// limits are the deadlines of a connection, guarded by core.mu.
type limits struct {
	read, write time.Time // the caller's
	wait        time.Time // an internal read deadline (ReadAvailable, Check)
	look        bool      // wait is in effect alone (Check)
	do          *doState  // the context's; made by the first Do
}

// underDo reports whether a Do is in progress.
func (l *limits) underDo() bool { return l != nil && l.do != nil && l.do.active }

// SetDeadline sets the read and the write deadline, as net.Conn says. The zero
// time means none. During Do the earlier of it and the context's is in effect.
func (c *Conn) SetDeadline(t time.Time) error { return c.setDeadline(t, true, true) }

// SetReadDeadline sets the deadline of all reads, those in progress included.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(t, true, false) }

// SetWriteDeadline sets the deadline of all writes, those in progress included.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(t, false, true) }

func (c *Conn) setDeadline(t time.Time, read, write bool) error {
	k := c.core
	if k == nil {
		return handleError("deadline", k)
	}
	k.mu.Lock()
	for !c.mark(k, markDeadline) {
		k.mu.Unlock()
		if err := c.rouse("deadline", k); err != nil {
			return err
		}
		k.mu.Lock()
	}
	defer k.mu.Unlock()
	var l *limits
	if k.limits != nil || !t.IsZero() {
		l = k.makeLimits()
		if read {
			l.read = t
		}
		if write {
			l.write = t
		}
	}
	var err error
	switch {
	case l != nil && (l.underDo() || !l.wait.IsZero()):
		err = k.applyLimits(read, write)
	case !write:
		err = k.tr().nc.SetReadDeadline(t)
	case !read:
		err = k.tr().nc.SetWriteDeadline(t)
	default:
		err = k.tr().nc.SetDeadline(t)
	}
	if l == nil || l.read.IsZero() && l.write.IsZero() {
		k.unmark(markDeadline)
	}
	if err != nil {
		return k.error("deadline", err)
	}
	return nil
}

// makeLimits returns the limits, and makes them if there are none. The caller
// holds mu.
func (k *core) makeLimits() *limits {
	if k.limits == nil {
		k.limits = new(limits)
	}
	return k.limits
}

// applyLimits sets the deadlines in effect on the transport: the earliest of the
// caller's, the context's and the internal one. The caller holds mu and has made
// the limits.
func (k *core) applyLimits(read, write bool) error {
	l := k.limits
	rd, wd := earliest(l.read, l.wait), l.write
	if l.underDo() {
		rd, wd = earliest(rd, l.do.deadline), earliest(wd, l.do.deadline)
		if l.do.interrupted {
			rd, wd = aLongTimeAgo, aLongTimeAgo
		}
	}
	if l.look {
		rd = l.wait
	}
	switch {
	case read && write && rd.Equal(wd):
		return k.tr().nc.SetDeadline(rd)
	case read && write:
		if err := k.tr().nc.SetReadDeadline(rd); err != nil {
			return err
		}
		return k.tr().nc.SetWriteDeadline(wd)
	case read:
		return k.tr().nc.SetReadDeadline(rd)
	default:
		return k.tr().nc.SetWriteDeadline(wd)
	}
}

// earliest returns the earlier of two deadlines, zero meaning none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// setWait sets the internal read deadline; the zero time ends it.
func (k *core) setWait(t time.Time) error { return k.setInternal(t, false) }

// setLook sets the internal read deadline in place of all others, until
// setWait.
func (k *core) setLook(t time.Time) error { return k.setInternal(t, true) }

func (k *core) setInternal(t time.Time, look bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	l := k.makeLimits()
	l.wait, l.look = t, look
	return k.applyLimits(true, false)
}

// canceled reports whether a Do is in progress whose context has ended before its
// deadline.
func (l *limits) canceled() bool {
	if !l.underDo() || !l.do.interrupted {
		return false
	}
	deadline := l.do.deadline
	return deadline.IsZero() || time.Now().Before(deadline)
}

// readTimedOut reports whether a limit on reading has passed that is not the
// internal one.
func (k *core) readTimedOut() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.limits != nil && k.limits.passed(k.limits.read)
}

// writeTimedOut reports the same for writing.
func (k *core) writeTimedOut() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.limits != nil && k.limits.passed(k.limits.write)
}

// passed reports whether the context's limit or the given one has passed.
func (l *limits) passed(own time.Time) bool {
	if l.underDo() {
		if l.do.interrupted {
			return true
		}
		own = earliest(own, l.do.deadline)
	}
	return !own.IsZero() && !time.Now().Before(own)
}
