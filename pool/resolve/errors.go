package resolve

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// Error says which resolver could not read its set, and why. It unwraps to its
// cause.
type Error struct {
	// Resolver is the kind of resolver: "dns", "srv" or "file".
	Resolver string
	// Name is what it resolves: a host name or a path.
	Name string
	// Err is the cause.
	Err error
}

// Error returns a line with the resolver, the name and the cause.
func (e *Error) Error() string { return fmt.Sprintf("resolve: %s %s: %v", e.Resolver, e.Name, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Timeout reports whether the lookup took too long.
func (e *Error) Timeout() bool {
	var timeout net.Error
	return errors.Is(e.Err, context.DeadlineExceeded) || errors.As(e.Err, &timeout) && timeout.Timeout()
}

// Temporary makes Error a net.Error. It is the same as Timeout.
func (e *Error) Temporary() bool { return e.Timeout() }

// ConfigError names the field of a resolver that cannot be used.
type ConfigError struct {
	// Field is the name of the field, with its type: "DNS.Name".
	Field string
	// Problem says what is wrong with it.
	Problem string
	// Err is the cause, or nil.
	Err error
}

// Error returns a line with the field and the problem.
func (e *ConfigError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("resolve: %s %s: %v", e.Field, e.Problem, e.Err)
	}
	return "resolve: " + e.Field + " " + e.Problem
}

// Unwrap returns the cause, nil if there is none.
func (e *ConfigError) Unwrap() error { return e.Err }

// SafeToRetry is false: the same configuration fails again.
func (e *ConfigError) SafeToRetry() bool { return false }
