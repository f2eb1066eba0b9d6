package conn

import (
	"context"
	"time"
)

// doState is the state of Do. core.mu guards it, except the two fields that
// never change.
type doState struct {
	interrupt func()        // for context.AfterFunc; made by the first Do whose context can be cancelled
	fired     chan struct{} // gets one token from each interrupt; made with it

	active      bool
	interrupted bool      // the context has ended
	deadline    time.Time // the context's
}

// Do calls f, and limits the reads and writes of f on this connection by ctx:
// they fail when ctx ends. The caller's own deadlines stay in effect during Do,
// and the earliest deadline counts. When Do returns, only the caller's deadlines
// are left. Do calls f on the caller's goroutine and starts no other. f must not
// call Do.
//
// If f fails because ctx ended, the error is an *Error in which errors.Is finds
// ctx.Err(), context.Cause(ctx) and the I/O error. If ctx has ended already, f is
// not called. Any other error of f is returned unchanged. Exception: if f wrote
// bytes and then failed with an error whose SafeToRetry is true, Do wraps it in
// an *Error whose SafeToRetry is false.
//
// One Do can be in progress on a connection; a second one fails with ErrBusy. If
// ctx can never end, Do only calls f.
func (c *Conn) Do(ctx context.Context, f func() error) error {
	k := c.core
	if k == nil || !c.live(k) {
		if err := c.rouse("do", k); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return &Error{Op: "do", Addr: k.peerAddr(), Err: newInterruptError(ctx, err, nil), safe: true}
	}
	before := k.sent()
	deadline, limited := ctx.Deadline()
	cancellable := ctx.Done() != nil // else its deadline alone ends it, which is set
	if !limited && !cancellable {
		return k.doError(ctx, before, f())
	}
	if err := c.beginDo(deadline, cancellable); err != nil {
		return err
	}
	return k.doError(ctx, before, k.runDo(ctx, cancellable, f))
}

func (c *Conn) beginDo(deadline time.Time, cancellable bool) error {
	k := c.core
	k.mu.Lock()
	for !c.mark(k, markDoing) {
		k.mu.Unlock()
		if err := c.rouse("do", k); err != nil {
			return err
		}
		k.mu.Lock()
	}
	defer k.mu.Unlock()
	l := k.makeLimits()
	if l.do == nil {
		l.do = &doState{}
	}
	d := l.do
	if d.active {
		return &Error{Op: "do", Addr: k.peerAddr(), Err: ErrBusy, safe: true}
	}
	d.active, d.interrupted, d.deadline = true, false, deadline
	if cancellable && d.interrupt == nil {
		d.interrupt, d.fired = k.interrupt, make(chan struct{}, 1)
	}
	if deadline.IsZero() {
		return nil
	}
	if err := k.applyLimits(true, true); err != nil {
		d.active = false
		k.unmark(markDoing)
		return &Error{Op: "do", Addr: k.peerAddr(), Err: err, safe: true}
	}
	return nil
}

// runDo runs f with the interrupt armed, and leaves nothing behind even if f
// panics.
func (k *core) runDo(ctx context.Context, cancellable bool, f func() error) error {
	var stop func() bool
	if cancellable {
		stop = context.AfterFunc(ctx, k.limits.do.interrupt)
	}
	defer k.endDo(stop)
	return f()
}

func (k *core) endDo(stop func() bool) {
	d := k.limits.do
	if stop != nil && !stop() {
		<-d.fired
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	restore := d.interrupted || !d.deadline.IsZero()
	d.active = false
	if restore {
		_ = k.applyLimits(true, true) // it fails on a closed connection only
	}
	k.unmark(markDoing)
}

// interrupt makes the I/O in progress, and any that f still begins, time out.
func (k *core) interrupt() {
	k.mu.Lock()
	d := k.limits.do
	d.interrupted = true
	_ = k.applyLimits(true, true)
	k.mu.Unlock()
	d.fired <- struct{}{}
}

// sent is what has left the process since the connection was made: bytes that
// were counted, and writes of which the count is not known.
type sent struct {
	bytes uint64
	torn  uint32
}

func (k *core) sent() sent { return sent{k.written.Load(), k.torn.Load()} }

// doError makes the error of Do from the error of f.
func (k *core) doError(ctx context.Context, before sent, err error) error {
	if err == nil {
		return nil
	}
	after := k.sent()
	written := int64(after.bytes - before.bytes)
	safe := isSafeToRetry(err)
	if isTimeout(err) {
		ended := ctx.Err()
		// The socket's clock may be a moment ahead of the context's timer.
		if deadline, ok := ctx.Deadline(); ended == nil && ok && !time.Now().Before(deadline) {
			ended = context.DeadlineExceeded
		}
		if ended != nil {
			cause := newInterruptError(ctx, ended, err)
			return &Error{Op: "do", Addr: k.peerAddr(), Written: written, Err: cause, safe: safe && after == before}
		}
	}
	if safe && after != before {
		return &Error{Op: "do", Addr: k.peerAddr(), Written: written, Err: err}
	}
	return err
}
