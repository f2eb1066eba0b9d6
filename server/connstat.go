package server

import (
	"cmp"
	"iter"
	"net"
	"slices"
	"time"
)

// ConnStat is a snapshot of one connection of a server.
type ConnStat struct {
	// ID is the number of the connection, the same in all events.
	ID uint64
	// LocalAddr is the address on this side.
	LocalAddr net.Addr
	// RemoteAddr is the address of the client.
	RemoteAddr net.Addr
	// State is what the connection is doing.
	State State
	// AcceptedAt is when the connection was accepted.
	AcceptedAt time.Time
	// IdleSince is when the connection began to wait for a request, accurate to
	// 1 second. It is zero if the connection is not waiting, if its handler is
	// not a FrameHandler, or if IdleTimeout is negative.
	IdleSince time.Time
	// Requests counts the frames that were handled.
	Requests uint64
	// InProgress counts the requests without a written reply.
	InProgress int
	// BytesRead counts the bytes received over its life. Over TLS it counts
	// plain text.
	BytesRead uint64
	// BytesWritten counts the bytes sent over its life.
	BytesWritten uint64
}

// Conns returns the open connections of the server, in the order of their numbers.
// The server is not locked during the iteration, so the snapshots are not all from
// the same moment.
func (s *Server) Conns() iter.Seq[ConnStat] {
	return func(yield func(ConnStat) bool) {
		all := s.sessions()
		slices.SortFunc(all, func(a, b *session) int { return cmp.Compare(a.id, b.id) })
		for _, sess := range all {
			if st := sess.stat(); st.State != StateClosed && !yield(st) {
				return
			}
		}
	}
}

// CloseConn closes the connection with the given number at once, even during a
// request. It reports whether the server has such a connection.
func (s *Server) CloseConn(id uint64) bool {
	for _, sess := range s.sessions() {
		if sess.id == id && State(sess.state.Load()) != StateClosed {
			sess.abort()
			return true
		}
	}
	return false
}

// stat is a snapshot of a session.
func (s *session) stat() ConnStat {
	st := ConnStat{
		ID:           s.id,
		LocalAddr:    s.conn.LocalAddr(),
		RemoteAddr:   s.conn.RemoteAddr(),
		State:        State(s.state.Load()),
		AcceptedAt:   time.Unix(0, s.accepted),
		Requests:     s.requests.Load(),
		InProgress:   s.inProgress(),
		BytesRead:    s.conn.BytesRead(),
		BytesWritten: s.conn.BytesWritten(),
	}
	h, due := s.frames.Load(), s.readDue.Load()
	if st.State == StateIdle && h != nil && due > 0 {
		waited := s.srv.clock.now.Load() + int64(orDefault(h.IdleTimeout, defaultIdleTimeout)) - due
		st.IdleSince = time.Now().Add(-max(0, time.Duration(waited)))
	}
	return st
}

// inProgress is how many requests have no written reply.
func (s *session) inProgress() int {
	if State(s.state.Load()) != StateActive || s.frames.Load() == nil {
		return 0
	}
	if e := s.extra.Load(); e != nil {
		if c := e.many.Load(); c != nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.taken
		}
	}
	return 1
}
