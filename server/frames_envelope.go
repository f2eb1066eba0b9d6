package server

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/seed-99d6a01a/gtcp/framing/envelope"
)

// opened is a request without its envelope.
type opened struct {
	ctx     context.Context          // of its handler
	own     *envelope.RequestContext // ctx, where the envelope has something to carry
	number  uint32
	fresh   bool // it arrived just now
	expired bool // its caller's time had passed when it was sent
	payload []byte
}

// late reports whether its caller's time has passed.
func (r *opened) late() bool {
	return r.expired || r.own != nil && !r.fresh && r.own.Err() == context.DeadlineExceeded
}

// errTooLate is the error of a request that is not handled because its caller's
// time has passed.
var errTooLate error = tooLateError{}

type tooLateError struct{}

func (tooLateError) Error() string {
	return "server: the caller's time passed before the request's turn"
}
func (tooLateError) Is(target error) bool { return target == context.DeadlineExceeded }
func (tooLateError) Timeout() bool        { return true }
func (tooLateError) Kind() string         { return "timeout" }

// errNoRequest is the error of an envelope that a client must not send.
var errNoRequest = errors.New("server: a push or a goodbye in place of a request")

// requestContexts are allocated in numbers, because nobody knows how long a handler
// keeps its context: none is used twice.
type requestContexts struct{ left []envelope.RequestContext }

const contextChunk = 32

var contexts = sync.Pool{New: func() any { return new(requestContexts) }}

func newRequestContext() *envelope.RequestContext {
	chunk := contexts.Get().(*requestContexts)
	if len(chunk.left) == 0 {
		chunk.left = make([]envelope.RequestContext, contextChunk)
	}
	c := &chunk.left[0]
	chunk.left = chunk.left[1:]
	contexts.Put(chunk)
	return c
}

// openRequest takes the envelope off a request that arrived then.
func openRequest(ctx context.Context, arrived time.Time, req []byte) (r opened, err error) {
	var e envelope.Envelope
	if r.payload, err = e.Parse(req); err != nil {
		return r, err
	}
	if e.Push || e.Goodbye {
		return r, errNoRequest
	}
	r.ctx, r.number = ctx, e.Number
	if e.Timeout != 0 || len(e.Method) > 0 || len(e.State) > 0 || !e.Trace.IsZero() {
		r.own = newRequestContext()
		r.own.Begin(ctx, &e, arrived)
		r.expired = e.Timeout < 0
		r.ctx = r.own
	}
	return r, nil
}

// handleEnveloped is handle where requests have envelopes.
//
//go:noinline
func (f *frameConn) handleEnveloped(req []byte) ([]byte, error) {
	r, err := openRequest(f.ctx, f.x.filled, req)
	if err != nil {
		return nil, f.badEnvelope(err)
	}
	r.fresh, f.x.fresh = f.x.fresh, false
	var o *observed
	if len(f.sess.srv.Hooks) > 0 {
		if o = f.x.observe(r.ctx, len(r.payload)); o != nil {
			f.x.observed = append(f.x.observed, o)
		}
	}
	return f.h.respondEnveloped(&r, o, &f.x.reply)
}

// badEnvelope ends a connection whose peer does not speak the protocol.
func (f *frameConn) badEnvelope(err error) error {
	f.sum(slog.LevelWarn, "server: malformed request, connection closed", "remote", remote(f.conn), "err", err)
	f.linger = true
	return errGone
}

// handleTaken handles a request that a worker has taken.
func (h *FrameHandler) handleTaken(r *request) ([]byte, error) {
	if h.Envelope {
		return h.respondEnveloped(&r.opened, r.o, &r.buf)
	}
	return h.respondInTime(r.ctx, r.o, r.arrived, &r.buf, r.req)
}

// respondEnveloped is respond for a request with an envelope. What it returns is the
// reply with its envelope, in *buf.
//
//go:noinline
func (h *FrameHandler) respondEnveloped(r *opened, o *observed, buf *[]byte) ([]byte, error) {
	if r.own != nil {
		defer r.own.End()
	}
	reply, err := h.handleOpened(r, o, buf)
	e := envelope.Envelope{Number: r.number}
	var none error // why there is no reply
	if err != nil {
		reply, none = h.errorEnvelope(r.ctx, r.payload, err, &e)
	}
	if o != nil {
		o.end(reply, err, none != nil)
	}
	if none != nil {
		return nil, none
	}
	return h.seal(&e, reply, buf), nil
}

// handleOpened calls the handler, unless it is too late.
func (h *FrameHandler) handleOpened(r *opened, o *observed, buf *[]byte) ([]byte, error) {
	if r.late() {
		return nil, errTooLate
	}
	if cap(*buf) < envelope.MinSize {
		*buf = make([]byte, 0, 512)
	}
	ctx, invoke := r.ctx, h.invoke
	if o != nil {
		ctx = o.ctx
		if h.Limiter == nil {
			o.begin()
		}
	}
	if invoke == nil {
		invoke = h.handler
	}
	return invoke(ctx, (*buf)[envelope.MinSize:envelope.MinSize], r.payload)
}

// seal puts the envelope e before a reply. A reply that was appended to the memory
// given to the handler is in its place already.
func (h *FrameHandler) seal(e *envelope.Envelope, reply []byte, buf *[]byte) []byte {
	frame, err := e.Append((*buf)[:0])
	if err != nil {
		return nil // it has no field that is too long
	}
	frame = append(frame, reply...)
	if cap(frame) <= keepReply {
		*buf = frame[:0]
	}
	return frame
}

// errorEnvelope sets what the envelope of a reply says of err. It returns the payload
// of that reply, or the error if there is none.
func (h *FrameHandler) errorEnvelope(ctx context.Context, req []byte, err error, e *envelope.Envelope) ([]byte, error) {
	var status *envelope.StatusError
	switch {
	case errors.Is(err, ErrNoReply):
		return nil, ErrNoReply
	case err == errGone:
		return nil, errGone
	case errors.As(err, &status) && status != nil && status.Status != envelope.StatusOK:
		e.Status = status.Status
		e.Message = []byte(status.Message[:min(len(status.Message), envelope.MaxMessage)])
	case errors.Is(err, ErrOverloaded):
		e.Status = envelope.StatusOverloaded
	case err == errTooLate:
		e.Status = envelope.StatusTooLate
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == context.DeadlineExceeded:
		e.Status = envelope.StatusTimeout
	default:
		e.Status = envelope.StatusFailed
		if s := sessionOf(ctx); s != nil {
			s.srv.sum(slog.LevelWarn, "server: handler failed", "remote", remote(s.conn), "err", err)
		}
	}
	return h.errorPayload(ctx, req, err), nil
}

// goodbyeFrame is the payload of the last frame, or nil.
func (h *FrameHandler) goodbyeFrame() []byte {
	if h.Goodbye == nil && h.Envelope {
		return envelope.Goodbye()
	}
	return h.Goodbye
}
