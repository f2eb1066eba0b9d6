package server

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
)

// keepResponse is the largest response buffer kept for the next exchange.
const keepResponse = 64 << 10

// exchange is what answering requests takes and an idle connection does without.
// Reader and Writer stay attached to in and out when these turn to another
// connection: at the end of an exchange there is nothing in them to reset.
type exchange struct {
	in   source
	out  timedWriter
	r    *framing.Reader
	w    *framing.Writer
	resp []byte // Append's dst
	n    uint64 // requests not yet in the server's figures
}

// source is the connection served now, to a Reader that outlives it.
type source struct{ *conn.Conn }

// timedWriter writes to a session's connection under its write timeout.
type timedWriter struct {
	sess    *session
	timeout time.Duration // 0 none
}

// Write is part of io.Writer.
func (t *timedWriter) Write(b []byte) (int, error) {
	t.sess.writeDue.Store(t.sess.srv.clock.after(t.timeout))
	n, err := t.sess.conn.Write(b)
	return n, t.done(err)
}

// WriteBuffers is what framing.Writer sends a large frame with.
func (t *timedWriter) WriteBuffers(b [][]byte) (int64, error) {
	t.sess.writeDue.Store(t.sess.srv.clock.after(t.timeout))
	n, err := t.sess.conn.WriteBuffers(b)
	return n, t.done(err)
}

// done ends a write; on one that took too long the watch has closed the
// connection.
func (t *timedWriter) done(err error) error {
	if t.sess.writeDue.Swap(notDue) == overdue {
		return os.ErrDeadlineExceeded
	}
	return err
}

// borrow gives f an exchange.
func (f *frameConn) borrow() *exchange {
	x, _ := f.h.scratch.Get().(*exchange)
	if x == nil {
		x = &exchange{in: source{f.conn}} // the Reader asks it for its buffer size
		x.r = framing.NewReader(&x.in, f.h.Format)
		x.r.Exclusive = true
		x.w = framing.NewWriter(&x.out, f.h.Format)
	}
	x.in.Conn = f.conn
	x.out = timedWriter{f.sess, orDefault(f.h.WriteTimeout, DefaultWriteTimeout)}
	f.x = x
	return x
}

// giveBack takes it back, with nothing in it unread or unwritten.
func (f *frameConn) giveBack() {
	x := f.x
	f.x = nil
	f.count(x)
	x.in.Conn, x.out.sess = nil, nil
	if cap(x.resp) > keepResponse {
		x.resp = nil
	}
	f.h.scratch.Put(x)
}

func (f *frameConn) count(x *exchange) {
	if x.n > 0 {
		f.sess.srv.stats.requests.Add(x.n)
	}
	x.n = 0
}

// exchange answers requests from the first byte that await saw until the
// connection is idle again, and then returns true.
func (f *frameConn) exchange(ctx context.Context) bool {
	f.sess.setState(StateActive)
	x := f.borrow()
	for {
		whole := x.r.Buffered()
		if !whole {
			if f.flush() != nil || x.r.Release() != nil {
				return false
			}
			if f.conn.Buffered() == 0 {
				f.giveBack()
				return true
			}
		}
		if !f.one(ctx, whole) {
			return false
		}
	}
}

// one reads and answers one request; whole says that all of it is buffered.
func (f *frameConn) one(ctx context.Context, whole bool) bool {
	x := f.x
	var req []byte
	var err error
	if whole {
		req, err = x.r.Next()
	} else {
		req, err = f.rest()
	}
	if err != nil {
		return f.badRequest(ctx, err)
	}
	x.n++
	var resp []byte
	if f.h.Append != nil {
		resp, err = f.h.Append(ctx, x.resp[:0], req)
		if cap(resp) > cap(x.resp) {
			x.resp = resp
		}
	} else {
		resp, err = f.h.Handle(ctx, req)
	}
	return f.answer(ctx, resp, err)
}

// rest reads a request that has only begun. The time it may take begins here.
func (f *frameConn) rest() ([]byte, error) {
	f.sess.readDue.Store(f.sess.srv.clock.after(orDefault(f.h.ReadTimeout, DefaultReadTimeout)))
	for {
		req, err := f.x.r.Next()
		if err == nil {
			f.sess.readDue.Store(notDue)
			return req, nil
		}
		if !timedOut(err) || !f.woken() {
			return nil, err
		}
	}
}

// answer collects the response to the request just handled.
func (f *frameConn) answer(ctx context.Context, resp []byte, err error) bool {
	if err != nil {
		if errors.Is(err, ErrNoResponse) {
			return true
		}
		if resp = f.errorResponse(ctx, err); resp == nil {
			f.log().Warn("server: handler failed, connection closed", "remote", remote(f.conn), "err", err)
			f.linger = true
			return false
		}
	}
	err = f.x.w.WriteFrame(resp)
	if err == nil {
		return true
	}
	if ioErr := f.x.w.Flush(); ioErr != nil {
		f.writeFailed(ioErr)
		return false
	}
	f.log().Error("server: response refused, connection closed", "remote", remote(f.conn), "err", err)
	f.linger = true
	return false
}

func (f *frameConn) errorResponse(ctx context.Context, err error) []byte {
	if f.h.ErrorResponse == nil {
		return nil
	}
	return f.h.ErrorResponse(ctx, err)
}

// badRequest decides what becomes of a connection whose next request could not be
// read: it is over, except where an oversize request was skipped and is answered.
func (f *frameConn) badRequest(ctx context.Context, err error) bool {
	var size *framing.SizeError
	switch {
	case errors.As(err, &size):
		f.sess.srv.stats.oversize.Add(1)
		if f.h.Format.SkipOversize && f.h.ErrorResponse != nil {
			return f.answer(ctx, nil, err)
		}
		f.log().Warn("server: request too large, connection closed", "remote", remote(f.conn),
			"size", size.Size, "limit", size.Limit)
		f.linger = true
	case errors.Is(err, framing.ErrMalformed):
		f.log().Warn("server: malformed request, connection closed", "remote", remote(f.conn), "err", err)
		f.linger = true
	case timedOut(err):
		f.sess.srv.stats.readTimeouts.Add(1)
		f.log().Info("server: request did not arrive in time, connection closed", "remote", remote(f.conn), "err", err)
	case !errors.Is(err, io.EOF):
		f.log().Debug("server: connection failed within a request", "remote", remote(f.conn), "err", err)
	}
	return false
}

// flush writes the collected responses.
func (f *frameConn) flush() error {
	f.count(f.x)
	err := f.x.w.Flush()
	if err != nil {
		f.writeFailed(err)
	}
	return err
}

func (f *frameConn) writeFailed(err error) {
	if !timedOut(err) {
		f.log().Debug("server: write failed, connection closed", "remote", remote(f.conn), "err", err)
		return
	}
	f.sess.srv.stats.writeTimeouts.Add(1)
	f.log().Info("server: peer does not read, connection closed", "remote", remote(f.conn), "err", err)
}
