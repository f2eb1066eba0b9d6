package conn

import "net"

// Err returns the first fatal error of the connection, nil while there is none.
// From then on it returns the same error. The end of the peer's stream is fatal,
// as io.EOF. A timeout is not, except that of a write over TLS. After Close the
// error is net.ErrClosed, unless there was one before.
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

// SetMidMessage tells the connection whether it is inside a message (true) or
// between two (false). Code that reads or writes messages calls it, so that
// Reusable knows.
func (c *Conn) SetMidMessage(mid bool) {
	k := c.core
	if k == nil {
		return
	}
	if mid {
		c.mark(k, markMid)
		return
	}
	for {
		state := k.state.Load()
		if !c.latest(state) || state&markMid == 0 || k.state.CompareAndSwap(state, state&^markMid) {
			return
		}
	}
}

// Reusable returns nil if the connection has no pending state, so that another
// caller can use it as if it were new: no operation is in progress, none has
// failed or timed out, no byte is buffered, no deadline is set, no message is
// half done. Otherwise the error says which. It does not look at what the peer
// has done; Check does. It makes no system call, and allocates only for an error.
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
	state := k.state.Load() &^ own
	switch {
	case state == c.gen && k.empty():
		return nil
	case !c.live(k):
		return net.ErrClosed
	case k.err.Load() != nil:
		return k.err.Load().public()
	case state&(markWriting|markDoing|markHooking) != 0:
		return ErrBusy
	case !k.empty():
		return ErrUnread
	case state&markMid != 0:
		return ErrMidMessage
	case state&markUnfit != 0:
		return ErrUnfit
	}
	return ErrDeadlineSet
}
