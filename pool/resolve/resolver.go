package resolve

import (
	"context"
)

// Resolver finds the servers of a service and reports each change.
type Resolver interface {
	// Watch reports the set of endpoints by calling update: once as soon as
	// it is known, then whenever it changes. An error given to update says
	// that the set could not be read; the receiver keeps the set it has.
	// Watch calls update from one goroutine at a time, and never after it has
	// returned. Neither side changes a set that has been reported. The receiver
	// must not block.
	//
	// Watch returns the error of ctx when ctx ends, and nil when the set it
	// has reported can never change. Any other error means that Watch has
	// failed. The receiver keeps the set and may call Watch again.
	//
	// Several calls of Watch may run at once.
	Watch(ctx context.Context, update func(set []Endpoint, err error)) error
}

// Refresher is a Resolver that can be asked to look again before its interval
// has passed. Callers ask after failures: the failure may mean that the set is
// out of date.
type Refresher interface {
	// Refresh requests a lookup soon. It does not wait for it. The resolver
	// limits how often it does so.
	Refresh()
}

// refresh asks r to look again, if it can.
func refresh(r Resolver) {
	if f, ok := r.(Refresher); ok {
		f.Refresh()
	}
}
