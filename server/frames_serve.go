package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
)

// keepReply is the largest reply buffer kept for the next exchange.
const keepReply = 64 << 10

// exchange is what serving requests needs and an idle connection does without.
// The Reader and the Writer stay attached to it when it turns to another
// connection: at the end of an exchange there is nothing in them to reset.
type exchange struct {
	sess  *session
	r     *framing.Reader // of input{this}
	w     *framing.Writer // on output{this}
	reply []byte          // Append's dst
	n     uint64          // requests not yet in the session's figure

	filled   time.Time   // when bytes were last read, kept where there is a Deadline
	begun    time.Time   // when the rest of a request began to be waited for, kept where there are hooks
	observed []*observed // requests whose replies are not written, where hooks are told

	readTimeout, writeTimeout time.Duration // 0 none

	fresh    bool // filled is now: no request has been handled since
	partial  bool // the time for the rest of a request runs: input may wait
	empty    bool // input paused between two requests
	skipping bool // an oversize request is being skipped
	looping  bool // input must not wait: see loop
	large    bool // input paused within a request that does not fit the buffer

	direct *conn.Step // writes go through it, nil: through the connection
}

// begin gives f an exchange.
func (f *frameConn) begin() *exchange {
	if f.x != nil {
		return f.x
	}
	x, _ := f.h.scratch.Get().(*exchange)
	if x == nil {
		x = &exchange{
			readTimeout:  orDefault(f.h.ReadTimeout, defaultReadTimeout),
			writeTimeout: orDefault(f.h.WriteTimeout, defaultWriteTimeout),
		}
		x.sess = f.sess // the Reader asks for the buffer size
		x.r = framing.NewReader(input{x}, f.h.Format)
		x.r.Exclusive = true
		x.w = framing.NewWriter(output{x}, f.h.Format)
	}
	x.sess, x.begun = f.sess, time.Time{}
	f.x = x
	if f.h.Concurrency > 1 {
		f.many = newConcurrent(f)
	}
	f.setStep(f.step)
	return x
}

// release takes it back, with nothing in it unread or unwritten.
func (f *frameConn) release() {
	x := f.x
	if f.many != nil {
		x.partial, x.empty, x.large = false, false, false
		return // it may still be written to
	}
	f.x = nil
	x.count()
	x.sess, x.direct, x.partial, x.empty, x.large = nil, nil, false, false, false
	f.h.scratch.Put(x)
}

// count adds the requests handled to the session's figure. The server's would be
// written by all processors at once.
func (x *exchange) count() {
	if x.n > 0 {
		x.sess.requests.Add(x.n)
		x.n = 0
	}
}

// beginRequest is called when the first bytes of a request have arrived. It is kept
// off the stack of serve.
//
//go:noinline
func (f *frameConn) beginRequest() {
	if now := f.sess.parking.Load(); now != unparked && now != neverParks {
		f.sess.parking.Store(unparked)
	}
	f.rest(false) // first: until then the writer may set readDue
	f.sess.readDue.Store(notDue)
	f.sess.setState(StateActive)
	f.sess.srv.wakeForRequest()
	f.begin().noteRead(f.h)
}

// serve serves requests until the connection is idle again or, within loop, until
// the rest of a request must be waited for.
func (f *frameConn) serve() standing {
	x := f.x
	for n := 1; ; n++ {
		if f.draining() && !x.partial && f.pastPoint() {
			return over
		}
		req, err := x.r.Next()
		switch {
		case err == nil:
			if x.partial {
				x.partial = false
				f.sess.readDue.Store(notDue)
				x.noteRead(f.h)
			}
			if !f.plain || f.sess.dropRequests.Load() {
				if !f.reply(f.handle(req)) {
					return over
				}
			} else { // the same without a call of ours: 0.93 of the processor time of pipelined requests
				x.n++
				var reply []byte
				if reply, err = f.h.Handle(f.ctx, req); err != nil {
					if !f.handlerFailed(err) {
						return over
					}
				} else if err = x.w.WriteFrame(reply); err != nil && !f.replyFailed(err) {
					return over
				}
			}
			if n > 1 || x.r.Buffered() {
				continue
			}
			// A lone request, the usual case: do not ask for another only to
			// be told that there is none.
			if x.r.Release() != nil {
				return over
			}
			x.empty = f.conn.Buffered() == 0
		case err == errPause:
		case timedOut(err) && f.woken():
			if f.many != nil && f.many.over() {
				return over
			}
			if f.draining() {
				f.sess.drainPoint(0)
			}
			continue // where the request was cut
		case f.badRequest(err):
			continue
		default:
			return over
		}
		if !f.flush() {
			return over
		}
		if x.empty {
			f.release()
			return idle
		}
		if !x.partial {
			x.partial = true
			x.noteBegun()
			f.sess.readDue.Store(f.sess.srv.clock.after(x.readTimeout))
		}
		if x.looping {
			return cut
		}
	}
}

// handle serves one request, or hands it to the workers. What it returns is for
// reply.
func (f *frameConn) handle(req []byte) ([]byte, error) {
	if f.sess.dropRequests.Load() {
		return nil, errGone
	}
	if f.many != nil {
		err := f.many.take(req)
		if err != ErrNoReply && err != errGone {
			err = f.badEnvelope(err)
		}
		return nil, err
	}
	if l := f.h.Limiter; l != nil && f.x.w.Buffered() > 0 && l.isFull() && !f.flush() {
		return nil, errGone // replies do not wait for another request's turn
	}
	f.x.n++
	if f.h.Envelope {
		return f.handleEnveloped(req)
	}
	if len(f.sess.srv.Hooks) > 0 {
		return f.handleObserved(req)
	}
	if f.h.Deadline != nil {
		return f.h.respondInTime(f.ctx, nil, f.x.filled, &f.x.reply, req)
	}
	return f.h.respond(f.ctx, nil, &f.x.reply, req)
}

// noteRead notes when bytes have been read, for Deadline.
func (x *exchange) noteRead(h *FrameHandler) {
	if h.Deadline != nil || h.Envelope {
		x.filled, x.fresh = time.Now(), true
	}
}

// handleObserved is handle for a server with hooks.
//
//go:noinline
func (f *frameConn) handleObserved(req []byte) ([]byte, error) {
	o := f.x.observe(f.ctx, len(req))
	if o != nil {
		f.x.observed = append(f.x.observed, o)
	}
	return f.h.respondInTime(f.ctx, o, f.x.filled, &f.x.reply, req)
}

// report tells the hooks of the requests whose replies were written, or never will
// be.
func (f *frameConn) report(written bool) {
	if x := f.x; len(x.observed) > 0 {
		f.sess.report(x.observed, written)
		x.observed = x.observed[:0]
	}
}

// respond calls the handler. What Append builds in is memory of our own, *buf: what
// it returns may be the caller's or the request, and is not kept.
func (h *FrameHandler) respond(ctx context.Context, o *observed, buf *[]byte, req []byte) ([]byte, error) {
	var reply []byte
	var err error
	if o != nil {
		ctx = o.ctx
		if h.Limiter == nil {
			o.begin()
		}
	}
	switch { // calls as direct as can be: their stack is every idle connection's
	case h.invoke != nil:
		reply, err = h.invoke(ctx, (*buf)[:0], req)
	case h.Append == nil:
		reply, err = h.Handle(ctx, req)
	default:
		reply, err = h.Append(ctx, (*buf)[:0], req)
	}
	if n := cap(reply); h.Append != nil && n > cap(*buf) && n <= keepReply {
		*buf = make([]byte, 0, n)
	}
	cause := err
	if err != nil {
		reply, err = h.errorReply(ctx, req, err)
	}
	if o != nil {
		o.end(reply, cause, err != nil)
	}
	return reply, err
}

// respondInTime is respond for a request that arrived then and may have a Deadline.
//
//go:noinline
func (h *FrameHandler) respondInTime(ctx context.Context, o *observed, arrived time.Time, buf *[]byte, req []byte) ([]byte, error) {
	if h.Deadline == nil {
		return h.respond(ctx, o, buf, req)
	}
	d := h.Deadline(req)
	if d == 0 {
		return h.respond(ctx, o, buf, req)
	}
	if o != nil {
		ctx = o.ctx
	}
	if left := d - time.Since(arrived); left > 0 {
		ctx, cancel := context.WithTimeout(ctx, left)
		defer cancel()
		if o != nil {
			o.ctx = ctx
		}
		return h.respond(ctx, o, buf, req)
	}
	reply, err := h.errorReply(ctx, req, context.DeadlineExceeded)
	if o != nil {
		o.end(reply, context.DeadlineExceeded, err != nil)
	}
	return reply, err
}

// compose makes invoke of the handler and what is around it, if there is something.
func (h *FrameHandler) compose() {
	h.handler = h.call
	if h.Intercept != nil {
		h.handler = h.Intercept(h.handler)
		h.invoke = h.handler
	}
	if h.Limiter != nil {
		h.invoke = h.limited
	}
}

// call calls the handler.
func (h *FrameHandler) call(ctx context.Context, dst, req []byte) ([]byte, error) {
	if h.Append == nil {
		return h.Handle(ctx, req)
	}
	return h.Append(ctx, dst, req)
}

// reply collects the reply to a request.
func (f *frameConn) reply(reply []byte, err error) bool {
	if err != nil {
		return f.noReply(err)
	}
	err = f.x.w.WriteFrame(reply)
	return err == nil || f.replyFailed(err)
}

// handlerFailed is reply for a request whose handler returned err.
//
//go:noinline
func (f *frameConn) handlerFailed(err error) bool {
	return f.reply(f.h.errorReply(f.ctx, nil, err)) // a handler with ErrorReplyTo is not plain
}

// noReply is reply for a request whose handler returned an error.
//
//go:noinline
func (f *frameConn) noReply(err error) bool {
	switch err {
	case ErrNoReply:
		return true
	case errGone:
		return false
	default:
		f.log().Warn("server: handler failed, connection closed", "remote", remote(f.conn), "err", err)
		f.linger = true
		return false
	}
}

// replyFailed is reply where the reply could not be collected.
//
//go:noinline
func (f *frameConn) replyFailed(err error) bool {
	if ioErr := f.x.w.Flush(); ioErr != nil {
		f.writeFailed(ioErr)
		return false
	}
	f.log().Error("server: reply refused, connection closed", "remote", remote(f.conn), "err", err)
	f.linger = true
	return false
}

// refuse replies to an oversize request that is skipped, in its turn.
func (f *frameConn) refuse(err error) bool {
	reply, replyErr := f.h.errorReply(f.ctx, nil, err)
	o := f.x.observe(f.ctx, 0)
	if o != nil {
		o.end(reply, err, replyErr != nil)
	}
	if f.many != nil {
		return f.many.refuse(o, reply, replyErr)
	}
	if o != nil {
		f.x.observed = append(f.x.observed, o)
	}
	return f.reply(reply, replyErr)
}

// badRequest decides what becomes of a connection whose next request could not be
// read: it is over, except where an oversize request is skipped and gets a reply.
func (f *frameConn) badRequest(err error) bool {
	var size *framing.SizeError
	switch {
	case errors.As(err, &size):
		f.sess.srv.stats.oversize.Add(1)
		if f.h.Format.SkipOversize && f.h.repliesToErrors() && !f.h.Envelope {
			f.x.skipping = f.x.r.Err() == nil
			f.linger = !f.x.skipping // where its end lies cannot be said
			return f.refuse(err) && f.x.skipping
		}
		f.sum(slog.LevelWarn, "server: request too large, connection closed", f.hinted("remote", remote(f.conn),
			"size", size.Size, "limit", size.Limit)...)
		f.linger = true
	case errors.Is(err, framing.ErrMalformed):
		f.sum(slog.LevelWarn, "server: malformed request, connection closed", f.hinted("remote", remote(f.conn), "err", err)...)
		f.linger = true
	case timedOut(err) && f.overdue():
		f.sess.srv.stats.readTimeouts.Add(1)
		f.sum(slog.LevelInfo, "server: request did not arrive in time, connection closed", f.hinted("remote", remote(f.conn), "err", err)...)
	case !errors.Is(err, io.EOF):
		f.readFailed(err)
		if f.x.r.Hint() != "" {
			f.sum(slog.LevelInfo, "server: connection ended within a request", f.hinted("remote", remote(f.conn), "err", err)...)
			break
		}
		f.log().Debug("server: connection failed within a request", "remote", remote(f.conn), "err", err)
	}
	return false
}

// flush writes the collected replies; false if that failed.
func (f *frameConn) flush() bool {
	if f.many != nil {
		return !f.many.over() // the writer flushes them
	}
	f.x.count()
	err := f.x.w.Flush()
	if err != nil {
		f.writeFailed(err)
		return false
	}
	f.report(true)
	return true
}

func (f *frameConn) writeFailed(err error) {
	if !timedOut(err) {
		f.log().Debug("server: write failed, connection closed", "remote", remote(f.conn), "err", err)
		return
	}
	f.stuck = true
	f.sess.srv.stats.writeTimeouts.Add(1)
	f.sum(slog.LevelInfo, "server: peer does not read, connection closed", "remote", remote(f.conn), "err", err)
}
