package server

import "sync/atomic"

// Stat is a snapshot of a server. Counts are since the Server was made; they are
// read one after another, so they may disagree by what happened meanwhile.
type Stat struct {
	Listeners int // listeners being served
	Open      int // open connections
	Active    int // open connections with a request in progress, or whose handler runs
	Idle      int // open connections between two requests, or kept open
	Handlers  int // sessions not yet over: connection open or handler running

	Accepted          uint64 // connections accepted, those refused included
	RefusedMaxConns   uint64 // closed at once because of MaxConns
	RefusedPerIP      uint64 // closed at once because of MaxConnsPerIP
	AcceptErrors      uint64 // errors of Accept that were waited out
	HandshakeFailures uint64 // TLS handshakes that failed or took too long
	Panics            uint64 // panics in handlers

	Requests      uint64 // frames a FrameHandler was given
	Oversize      uint64 // frames refused for their size
	Overloaded    uint64 // frames refused by a Limiter
	ReadTimeouts  uint64 // connections closed because a frame took too long to arrive
	WriteTimeouts uint64 // connections closed because the peer did not read
	IdleTimeouts  uint64 // connections closed because no request came
}

// counters are the figures of Stat that only grow, and rarely.
type counters struct {
	accepted, refusedMaxConns, refusedPerIP, acceptErrors atomic.Uint64
	handshakeFailures, panics, overloaded                 atomic.Uint64
	oversize, readTimeouts, writeTimeouts, idleOut        atomic.Uint64
}

// Stat returns the server's figures. It looks at each connection, so its cost
// grows with their number: made for a scrape every few seconds.
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
		switch State(sess.state.Load()) {
		case StateActive:
			st.Active++
		case StateIdle:
			st.Idle++
		}
	}
	return st
}
