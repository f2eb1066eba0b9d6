package balance

import (
	"context"
	"errors"
	"fmt"
	"net"
)

var (
	// ErrClosed is the cause of a Pick from a closed Balancer. It wraps
	// net.ErrClosed.
	ErrClosed = fmt.Errorf("balancer is closed: %w", net.ErrClosed)
	// ErrNoEndpoints is the cause of a Pick while the service has no
	// endpoints.
	ErrNoEndpoints = errors.New("service has no endpoints")
)

// Error says why there is no endpoint for a call. It unwraps to its cause:
// [ErrClosed], [ErrNoEndpoints], the error of the resolver, of Config.Open, or
// of the context.
type Error struct {
	// Err is the cause.
	Err error
}

// Error returns a line with the cause.
func (e *Error) Error() string { return "balance: no endpoint: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// SafeToRetry reports whether another attempt can succeed: nothing has been
// sent, so it is true unless the balancer is closed.
func (e *Error) SafeToRetry() bool { return !errors.Is(e.Err, ErrClosed) }

// Timeout reports whether a deadline passed before an endpoint was known.
func (e *Error) Timeout() bool {
	var timeout net.Error
	return errors.Is(e.Err, context.DeadlineExceeded) || errors.As(e.Err, &timeout) && timeout.Timeout()
}

// Temporary makes Error a net.Error. It is the same as Timeout.
func (e *Error) Temporary() bool { return e.Timeout() }

// Kind returns the kind of the failure, a short name for metrics: "closed",
// "timeout", "canceled" or, where the endpoints are not known, "resolve".
func (e *Error) Kind() string {
	switch {
	case errors.Is(e.Err, ErrClosed):
		return "closed"
	case errors.Is(e.Err, context.Canceled):
		return "canceled"
	case errors.Is(e.Err, context.DeadlineExceeded):
		return "timeout"
	}
	return "resolve"
}
