package conn

import "net"

// Err returns the first fatal error of the connection, or nil if there is none.
// After a fatal error it always returns that error. The end of the peer's stream
// is a fatal error: io.EOF. A timeout is not fatal, except the timeout of a
// write over TLS. After Close the error is net.ErrClosed, unless there was one
// before.
func (c *Conn) Err() error {
	k := c.core
	if k == nil {
		return handleError("read", k)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !c.latest(k.state.Load()) {
		return handleError("read", k)
	}
	if k.err.Load() == closedHere {
		k.err.Store(handleError("close", k))
	}
	return k.err.Load().public()
}

// SetMidMessage records whether the connection is inside a message (true) or
// between two messages (false). Code that reads or writes messages calls it,
// because Reusable fails inside a message.
func (c *Conn) SetMidMessage(mid bool) {
	k := c.core
	if k == nil {
		return
	}
	if mid {
		c.markUnless(k, markMid, markClosed)
		return
	}
	for {
		state := k.state.Load()
		if !c.latest(state) || state&markMid == 0 || k.state.CompareAndSwap(state, state&^markMid) {
			return
		}
	}
}

// Reusable reports whether another caller can use the connection as if it were
// new. It returns nil if no operation is in progress, none has failed or timed
// out, no byte is buffered, no deadline is set and no message is incomplete.
// Otherwise the error says which of these is not so. Its kind is KindTimeout if
// that is because an operation has timed out. It does not check what the
// peer has done; use Check for that. It makes no system call, and allocates only
// for an error.
func (c *Conn) Reusable() error {
	k := c.core
	if k == nil || !c.latest(k.state.Load()) {
		return handleError("reuse", k)
	}
	if !k.lockIdle() {
		return k.error("reuse", ErrBusy)
	}
	err := c.unfitness(k, 0)
	k.rmu.Unlock()
	if err != nil {
		return k.error("reuse", err)
	}
	return nil
}

// unfitness returns why the connection is not reusable, or nil. It ignores the
// marks in own. The caller holds rmu.
func (c *Conn) unfitness(k *core, own uint64) error {
	state := k.state.Load() &^ (own | markAsleep)
	switch {
	case state == c.gen && k.empty():
		return nil
	case !c.open(k):
		return net.ErrClosed
	case k.err.Load() != nil:
		return k.err.Load().public()
	case state&(markWriting|markDoing|markHooking|markLooping) != 0:
		return ErrBusy
	case !k.empty():
		return ErrUnread
	case state&markMid != 0:
		return timedOut(state, ErrMidMessage)
	case state&markUnfit != 0:
		return timedOut(state, ErrUnfit)
	}
	return ErrDeadlineSet
}
