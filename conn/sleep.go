package conn

import (
	"net"

	"github.com/seed-99d6a01a/gtcp/internal/sleep"
)

// A connection that sleeps has no net.Conn, only its descriptor. Package server has
// idle connections sleep, since a net.Conn takes 900 bytes, most of them outside the
// collected memory. All that a Conn can do works as before: an operation that needs
// the net.Conn makes it anew first.
//
// A connection falls asleep and wakes with all three locks held, and no operation in
// progress. markAsleep is set meanwhile. With it a handle is not live, so operations
// find out on the same way as they do that the connection is closed, at no cost for
// others.

func init() {
	sleep.Fall = func(conn any, w sleep.Watcher) sleep.Outcome { return conn.(*Conn).fallAsleep(w) }
	sleep.Wake = func(conn any) error {
		k := conn.(*Conn).core
		if k.state.Load()&markAsleep == 0 {
			return nil
		}
		return k.wake()
	}
	sleep.NetConn = func(conn any) net.Conn {
		c := conn.(*Conn)
		if c.core == nil || !c.live(c.core) {
			return nil
		}
		if t := c.core.tr(); t != nil {
			return t.nc
		}
		return nil
	}
}

// fallAsleep closes the net.Conn of an idle connection and keeps the descriptor.
func (c *Conn) fallAsleep(w sleep.Watcher) sleep.Outcome {
	k := c.core
	if !canSleep {
		return sleep.Never
	}
	if !k.rmu.TryLock() {
		return sleep.Busy
	}
	defer k.rmu.Unlock()
	if !k.wmu.TryLock() {
		return sleep.Busy
	}
	defer k.wmu.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	return c.fallAsleepLocked(w)
}

// fallAsleepLocked does the work of fallAsleep. The caller holds all three locks.
func (c *Conn) fallAsleepLocked(w sleep.Watcher) sleep.Outcome {
	k := c.core
	t := k.tr()
	switch {
	case t == nil:
		return sleep.Busy
	case k.held || t.onReadable == nil:
		return sleep.Never
	case !k.empty() || k.err.Load() != nil || t.checker != nil && t.checker.lost != nil:
		return sleep.Busy
	}
	s := &sleeper{watcher: w}
	if !s.keepAddresses(t) {
		return sleep.Never
	}
	// A read that timed out makes it unfit for others, not for its owner.
	state := k.state.Load()
	if state&^(markUnfit|markTimedOut) != c.gen || !k.state.CompareAndSwap(state, state|markAsleep) {
		return sleep.Busy
	}
	if !s.begin(t) {
		k.unmark(markAsleep)
		return sleep.Busy
	}
	k.buf, k.peeked, k.limits = nil, false, nil
	k.asleep.Store(s)
	k.transport.Store(nil)
	_ = t.nc.Close()
	return sleep.Asleep
}

// wake gives a sleeping connection a net.Conn. If it fails, the connection sleeps on.
func (k *core) wake() error {
	k.rmu.Lock()
	defer k.rmu.Unlock()
	k.wmu.Lock()
	defer k.wmu.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()

	s := k.asleep.Load()
	if s == nil || k.closed() {
		return nil
	}
	nc, err := s.end()
	if err != nil {
		return err
	}
	t := k.newTransport(nc)
	if nc.RemoteAddr() == nil { // the system forgets it when the peer resets the connection
		t.before = s
	}
	k.transport.Store(t)
	k.asleep.Store(nil)
	k.unmark(markAsleep)
	if t.raw != nil {
		_ = t.raw.Control(func(fd uintptr) { s.watcher.Woken(int(fd)) })
	}
	return nil
}

// rouse makes the handle live, if its connection only sleeps. Else it returns the
// error of the operation.
//
//go:noinline
func (c *Conn) rouse(op string, k *core) error {
	if k == nil {
		return handleError(op, k)
	}
	for {
		state := k.state.Load()
		switch {
		case !c.latest(state) || state&markClosed != 0:
			return handleError(op, k)
		case state&markAsleep == 0:
			return nil
		}
		if err := k.wake(); err != nil {
			safe := op == "write" || op == "do" || op == "ask"
			return &Error{Op: op, Addr: k.peerAddr(), Err: err, safe: safe}
		}
	}
}
