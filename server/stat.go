package server

import "sync/atomic"

// Stat is a snapshot of a server. Counts are since the Server was made. They are
// read one after another, so they may differ by events in between.
type Stat struct {
	// Listeners is how many listeners are being served.
	Listeners int
	// Open is how many connections are open.
	Open int
	// Active is how many open connections have a request in progress, or a
	// handler that is no FrameHandler and runs.
	Active int
	// Idle is how many open connections are between two requests, or kept open.
	Idle int
	// Parked is how many of the idle connections have no goroutine.
	Parked int
	// Sleeping is how many of the parked connections have no net.Conn.
	Sleeping int
	// Handlers is how many connections are open or have a running handler.
	Handlers int
	// InProgress is how many requests of FrameHandlers have no written reply.
	InProgress int

	// Accepted counts the connections that were accepted, including those refused.
	Accepted uint64
	// RefusedMaxConns counts the connections closed at once because of MaxConns.
	RefusedMaxConns uint64
	// RefusedPerIP counts the connections closed at once because of MaxConnsPerIP.
	RefusedPerIP uint64
	// AcceptErrors counts the temporary errors of Accept.
	AcceptErrors uint64
	// HandshakeFailures counts the TLS handshakes that failed or took too long.
	HandshakeFailures uint64
	// Panics counts the panics in handlers and hooks.
	Panics uint64

	// Requests counts the requests that FrameHandlers have read.
	Requests uint64
	// Oversize counts the frames refused for their size.
	Oversize uint64
	// Overloaded counts the frames refused by a Limiter.
	Overloaded uint64
	// ReadTimeouts counts the connections closed because a frame took too long to
	// arrive.
	ReadTimeouts uint64
	// WriteTimeouts counts the connections closed because the peer did not read.
	WriteTimeouts uint64
	// IdleTimeouts counts the connections closed because no request came.
	IdleTimeouts uint64
}

// counters are the figures of Stat that only grow, and rarely.
type counters struct {
	accepted, refusedMaxConns, refusedPerIP, acceptErrors atomic.Uint64
	handshakeFailures, panics, overloaded                 atomic.Uint64
	oversize, readTimeouts, writeTimeouts, idleOut        atomic.Uint64
}

// Stat returns the server's figures. It reads the state of each connection,
// so its cost grows with their number. It is cheap enough for a call every
// few seconds.
func (s *Server) Stat() Stat {
	c := &s.stats
	st := Stat{
		Accepted:          c.accepted.Load(),
		RefusedMaxConns:   c.refusedMaxConns.Load(),
		RefusedPerIP:      c.refusedPerIP.Load(),
		AcceptErrors:      c.acceptErrors.Load(),
		HandshakeFailures: c.handshakeFailures.Load(),
		Panics:            c.panics.Load(),
		Oversize:          c.oversize.Load(),
		Overloaded:        c.overloaded.Load(),
		ReadTimeouts:      c.readTimeouts.Load(),
		WriteTimeouts:     c.writeTimeouts.Load(),
		IdleTimeouts:      c.idleOut.Load(),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Listeners, st.Open, st.Handlers = len(s.listeners), s.open, s.live
	st.Requests = s.requests
	for sess := s.first; sess != nil; sess = sess.next {
		st.Requests += sess.requests.Load()
		st.InProgress += sess.inProgress()
		switch State(sess.state.Load()) {
		case StateActive:
			st.Active++
		case StateIdle:
			st.Idle++
			if sess.parking.Load() == parked {
				st.Parked++
				if sess.depth.Load() == asleep {
					st.Sleeping++
				}
			}
		}
	}
	return st
}
