// Package sleep is how package server has an idle connection of package conn give up
// all but its descriptor. It is no part of the interface of conn, since only the
// server can wait for the next byte of such a connection. Package conn sets the
// variables once, before main.
package sleep

import "net"

// Watcher waits for the next byte of a sleeping connection. Its methods are called
// with locks of the connection held, so they must not use the connection.
type Watcher interface {
	// Watch has the watcher wait for what happens at fd, or has happened there. It
	// reports whether that works.
	Watch(fd int) bool
	// Forget ends the wait for fd, which is about to be closed.
	Forget(fd int)
	// Woken says that the connection is awake and has the descriptor fd.
	Woken(fd int)
}

// Outcome is what Fall has done.
type Outcome uint8

const (
	// Asleep: the connection sleeps.
	Asleep Outcome = iota
	// Busy: not now. It is used, or the system is short of something.
	Busy
	// Never: its net.Conn may be held by somebody, or it is no plain socket.
	Never
)

var (
	// Fall closes the net.Conn of an idle connection and keeps its descriptor. The
	// next operation on the connection wakes it.
	Fall = func(conn any, w Watcher) Outcome { return Never }
	// Wake wakes a connection. An error says that the system is short of something;
	// then the connection sleeps on. It does nothing to a connection that is awake or
	// closed.
	Wake = func(conn any) error { return nil }
	// NetConn is the net.Conn of a connection for a use that ends before the
	// connection can fall asleep, or that does no harm then. It is nil if the
	// connection sleeps or is closed.
	NetConn = func(conn any) net.Conn { return nil }
)
