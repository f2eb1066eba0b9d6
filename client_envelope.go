package gtcp

import (
	"context"
	"sync"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing/envelope"
)

// enveloped are the buffers in which requests get their envelopes.
var enveloped = sync.Pool{New: func() any { return new([]byte) }}

// withEnvelope returns c with what ClientConfig.Envelope implies.
func (c ClientConfig) withEnvelope() ClientConfig {
	if !c.Envelope {
		return c
	}
	if len(c.Goodbye) == 0 {
		c.Goodbye = envelope.Goodbye()
	}
	if beat := &c.Pipeline.Heartbeat; beat.Interval > 0 {
		if b, err := new(envelope.Envelope).Append(nil); err == nil {
			beat.Request = append(b, beat.Request...)
		}
	}
	return c
}

// attempt makes one attempt at a call. limit, if not nil, is that of a call whose
// context has none. It is the first attempt then, and a pipeline has the same limit
// of its own.
func (e *endpoint) attempt(ctx context.Context, limit *sharedDeadline, dst, request []byte) ([]byte, error) {
	if !e.client.wrapped {
		return e.bare(ctx, limit, dst, request)
	}
	return e.wrapped(ctx, limit, dst, request)
}

// wrapped makes an attempt with an envelope before the request and the reply.
func (e *endpoint) wrapped(ctx context.Context, limit *sharedDeadline, dst, request []byte) ([]byte, error) {
	buf := enveloped.Get().(*[]byte)
	defer enveloped.Put(buf)
	method := envelope.MethodFromContext(ctx)
	b := append((*buf)[:0], method...)
	env := envelope.Envelope{Trace: envelope.TraceFromContext(ctx), Timeout: e.client.limit.left(ctx, limit), Method: b}
	b, err := env.Append(b)
	if err != nil {
		return dst, requestError(e.addr, err)
	}
	b = append(b, request...)
	if cap(b) <= maxKeptFrame {
		*buf = b
	}
	reply, err := e.bare(ctx, limit, dst, b[len(method):])
	if err != nil {
		return dst, err
	}
	return e.unwrap(dst, reply)
}

// left is how long a call still has: 0 if there is no limit, and negative if none
// is left. A call with a limit of the client has just begun, so that costs no look at
// the clock.
func (t *callTimeout) left(ctx context.Context, limit *sharedDeadline) time.Duration {
	if limit != nil {
		return t.limit
	}
	deadline, limited := ctx.Deadline()
	if !limited {
		return 0
	}
	if left := time.Until(deadline); left != 0 {
		return left
	}
	return -1
}

// errNoReply is the error of a frame in the place of a reply that is none.
var errNoReply error = notReply{}

type notReply struct{}

func (notReply) Error() string {
	return "gtcp: the server sent a push or a goodbye in place of a reply"
}
func (notReply) Kind() string { return conn.KindProtocol }

// unwrap takes the envelope off a reply behind dst.
func (e *endpoint) unwrap(dst, reply []byte) ([]byte, error) {
	var env envelope.Envelope
	payload, err := env.Parse(reply[len(dst):])
	if err == nil && (env.Push || env.Goodbye) {
		err = errNoReply
	}
	if err == nil && env.Status == envelope.StatusOK {
		n := copy(reply[len(dst):], payload)
		return reply[:len(dst)+n], nil
	}
	failed := &CallError{Addr: e.addr, Written: true, Attempts: 1, Err: err}
	if err == nil {
		status := &envelope.StatusError{Status: env.Status, Message: string(env.Message)}
		failed.Err, failed.safe = status, status.SafeToRetry()
	}
	return dst, failed
}
