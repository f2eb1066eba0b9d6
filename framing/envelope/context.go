package envelope

import "context"

// traced is a context that carries a Trace.
type traced struct {
	context.Context
	trace Trace
}

// traceKey finds the innermost traced of a context.
type traceKey struct{}

func (c *traced) Value(key any) any {
	if key == (traceKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// ContextWithTrace returns a child of ctx that carries t to the code that
// makes or handles a request: a client sends t in the envelope, and a server
// gives the handler the t that it received. It allocates once.
func ContextWithTrace(ctx context.Context, t Trace) context.Context {
	return &traced{ctx, t}
}

// TraceFromContext returns the Trace that ctx carries, or the zero Trace.
func TraceFromContext(ctx context.Context) Trace {
	switch c := ctx.Value(traceKey{}).(type) {
	case *traced:
		return c.trace
	case *RequestContext:
		return c.envelope.Trace
	}
	return Trace{}
}
