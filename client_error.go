package gtcp

import (
	"errors"
	"net"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/retry"
)

// CallError is the error of a call that a [Client] could not complete. It is
// the same type for exclusive and shared clients, so setting
// ClientConfig.Shared changes no error handling. It unwraps to its cause.
type CallError struct {
	// Addr is the address of the server that the last attempt used. It is the
	// configured address if that attempt got no connection, and empty if
	// neither is known.
	Addr string
	// Written reports whether any byte of the request may have left the
	// process, in any attempt.
	Written bool
	// Attempts is the number of attempts that were begun.
	Attempts int
	// Err is the cause. It is the context's error or the error of a dial,
	// for example. It is io.EOF if the server closed the connection without
	// a reply, and a *framing.SizeError if the reply is larger than the
	// limit.
	Err error

	hint  string // what may be wrong, for the text
	layer error  // the error of the pool or the pipeline, for the text
	safe  bool   // the server cannot have handled the request, and another attempt may succeed
	final bool   // no other attempt is of use: the request does not fit, the client is closed, or no time is left
}

// Error returns one line with the address, the cause, and whether the request
// was written.
func (e *CallError) Error() string {
	if inner := (*CallError)(nil); errors.As(e.Err, &inner) {
		return e.Err.Error() + e.parenthesis() // it says all of this already
	}
	s := "gtcp: call"
	if e.layer == nil && e.Addr != "" {
		s += " " + e.Addr
	}
	if below, ok := e.layer.(*pipeline.Error); e.Written && !(ok && below.Written) { // or the layer says so
		s += " (request written)"
	}
	switch {
	case e.layer != nil:
		s += ": " + e.layer.Error()
	case e.Err == nil:
		return s + " failed"
	default:
		s += ": " + e.Err.Error()
	}
	return s + e.parenthesis()
}

func (e *CallError) parenthesis() string {
	if e.hint == "" {
		return ""
	}
	return " (" + e.hint + ")"
}

// Unwrap returns the cause.
func (e *CallError) Unwrap() error { return e.Err }

// Kind returns the kind of the failure, a short fixed name for metrics: one of
// the Kind constants of package conn.
func (e *CallError) Kind() string {
	if e.layer != nil {
		return conn.KindOf(e.layer)
	}
	return conn.KindOf(e.Err)
}

// SafeToRetry reports whether the call can be made again safely, and might
// then succeed. It is true if no byte of the request left the process, or if
// the server replied with ClientConfig.Goodbye. It is false if the request does
// not fit the format, and after Close.
func (e *CallError) SafeToRetry() bool { return e.safe }

// Timeout reports whether the cause is a timeout, as in [net.Error].
func (e *CallError) Timeout() bool {
	var timeout interface{ Timeout() bool }
	return errors.As(e.Err, &timeout) && timeout.Timeout()
}

// Temporary is the same as Timeout. It makes CallError a [net.Error].
func (e *CallError) Temporary() bool { return e.Timeout() }

var _ net.Error = (*CallError)(nil)

// failed makes the error of one attempt. A call that is refused because too
// little time is left is not repeated on the same server, where later is too
// late as well.
func (e *endpoint) failed(addr string, written bool, err error) *CallError {
	failed := attemptError(addr, written, err)
	if e.client.set == nil && (errors.Is(err, pool.ErrOverloaded) || errors.Is(err, pipeline.ErrOverloaded)) {
		failed.final = true
	}
	return failed
}

// attemptError makes the error of one attempt. The types that only one mode
// has are taken off: what is left to unwrap is the same in both.
func attemptError(addr string, written bool, err error) *CallError {
	e := &CallError{Addr: addr, Written: written, Attempts: 1, Err: err, safe: !written && retry.SafeToRetry(err)}
	switch layer := err.(type) {
	case *pool.Error:
		e.layer, e.Err = err, layer.Err
		e.final = errors.Is(err, pool.ErrClosed)
	case *pipeline.Error:
		e.layer, e.Err = err, layer.Err
		e.final = errors.Is(err, pipeline.ErrClosed) || layer.Err == pipeline.ErrNoNumber || layer.Err == pipeline.ErrCallTimeout
		e.Written, e.safe = layer.Written, layer.SafeToRetry()
		if layer.Addr != "" {
			e.Addr = layer.Addr
		}
	}
	return e
}

// requestError makes the error of a request that the format cannot express.
func requestError(addr string, err error) *CallError {
	return &CallError{Addr: addr, Attempts: 1, Err: err, final: true}
}

// progress is how far the attempts of a call came, all together.
type progress struct {
	attempts int
	written  bool // bytes of the request may have left the process
	handled  bool // the server may have handled the request
}

// failed notes the error of an attempt, and returns it for package retry, which
// makes no other attempt where none can succeed. An error of an interceptor may
// come after a reply.
func (p *progress) failed(err error) error {
	if e := (*CallError)(nil); errors.As(err, &e) {
		p.written = p.written || e.Written
		p.handled = p.handled || e.Written && !e.safe
	} else if !retry.SafeToRetry(err) {
		p.written, p.handled = true, true
	}
	if e, ok := err.(*CallError); ok && e.final {
		return retry.Permanent(err)
	}
	return err
}

// error makes the error of the whole call from what [retry.Do] returned: the
// error of the last attempt, or one about the context.
func (p *progress) error(addr string, err error) *CallError {
	last := (*CallError)(nil)
	found := errors.As(err, &last)
	if found && err == error(last) {
		e := *last // an interceptor may have kept it
		e.Attempts, e.Written = p.attempts, p.written
		e.safe = e.safe && !p.handled
		return &e
	}
	if found {
		addr = last.Addr
	}
	return &CallError{Addr: addr, Attempts: p.attempts, Written: p.written, Err: err,
		safe: !p.handled && retry.SafeToRetry(err)}
}
