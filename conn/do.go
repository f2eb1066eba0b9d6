package conn

import (
	"context"
	"time"
)

// doState is what Do keeps on a connection. It is guarded by core.mu, but for
// the two fields that never change.
type doState struct {
	interrupt func()        // for context.AfterFunc
	fired     chan struct{} // gets one token from each interrupt

	active      bool
	interrupted bool      // the context has ended
	deadline    time.Time // the context's
}

// Do runs f, whose reads and writes on this connection end when ctx does.
// The context's deadline is set once, on top of the caller's own deadlines,
// which are in effect again when Do returns. Do starts no goroutine and
// returns on the caller's; f runs on it too, and must not call Do itself.
//
// Where f fails because ctx ended, the error is an *Error for which errors.Is
// finds ctx.Err(), context.Cause(ctx) and the I/O error alike. If ctx has
// ended before, f is not called. Any other error of f is returned as it is,
// but for one that calls itself safe to retry after f has written other
// bytes, or may have: that is returned inside an *Error that says no.
//
// Only one Do can be in progress on a connection; a second fails with ErrBusy.
// With a context that can never end, Do just calls f.
func (c *Conn) Do(ctx context.Context, f func() error) error {
	k := c.core
	if k == nil || !c.live(k) {
		return handleError("do", k)
	}
	if err := ctx.Err(); err != nil {
		return &Error{Op: "do", Addr: k.peerAddr(), Err: newInterruptError(ctx, err, nil), safe: true}
	}
	before := k.sent()
	deadline, limited := ctx.Deadline()
	if !limited && ctx.Done() == nil {
		return k.doError(ctx, before, f())
	}
	if err := c.beginDo(deadline); err != nil {
		return err
	}
	return k.doError(ctx, before, k.runDo(ctx, f))
}

func (c *Conn) beginDo(deadline time.Time) error {
	k := c.core
	k.mu.Lock()
	defer k.mu.Unlock()
	if !c.mark(k, markDoing) {
		return handleError("do", k)
	}
	l := k.makeLimits()
	if l.do == nil {
		l.do = &doState{interrupt: k.interrupt, fired: make(chan struct{}, 1)}
	}
	d := l.do
	if d.active {
		return &Error{Op: "do", Addr: k.peerAddr(), Err: ErrBusy, safe: true}
	}
	d.active, d.interrupted, d.deadline = true, false, deadline
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
func (k *core) runDo(ctx context.Context, f func() error) error {
	var stop func() bool
	if ctx.Done() != nil { // else its deadline alone ends it, which is set
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

// sent is what has left the process over the connection's life: bytes that
// were counted, and writes of which nobody can know how much.
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
