package server

import "sync"

// State is the state of a connection, an argument of Server.ConnState.
type State uint32

const (
	// StateNew is a connection just accepted, before any handshake.
	StateNew State = iota
	// StateActive is a connection with a request in progress. For a handler
	// that is not a FrameHandler it lasts as long as the handler.
	StateActive
	// StateIdle is a connection between two requests, or whose handler has
	// returned under Server.KeepOpen.
	StateIdle
	// StateClosed is a connection that has been closed. It is the last state.
	StateClosed
)

// String names the state in lower case.
func (s State) String() string {
	switch s {
	case StateNew:
		return "new"
	case StateActive:
		return "active"
	case StateIdle:
		return "idle"
	case StateClosed:
		return "closed"
	}
	return "unknown"
}

// changes are a session's states that Server.ConnState has not heard of yet. They
// are told by one goroutine at a time, in order. They are not used without a hook.
type changes struct {
	mu      sync.Mutex // guards the fields below; not held while the hook runs
	untold  []State
	begun   bool // StateNew was noted
	telling bool
}

// setState records the state and tells the hook. A closed session stays closed.
func (s *session) setState(state State) {
	s.note(state)
	s.tell()
}

// note is setState without the telling, for callers that hold a lock.
func (s *session) note(state State) {
	if s.srv.ConnState == nil {
		for old := s.state.Load(); State(old) != StateClosed; old = s.state.Load() {
			if s.state.CompareAndSwap(old, uint32(state)) {
				return
			}
		}
		return
	}
	c := s.changes
	c.mu.Lock()
	defer c.mu.Unlock()
	if State(s.state.Load()) == StateClosed {
		return
	}
	if !c.begun && state != StateNew { // closed before it was served
		c.untold = append(c.untold, StateNew)
	}
	c.begun = true
	s.state.Store(uint32(state))
	c.untold = append(c.untold, state)
}

// tell tells the hook what has been noted, unless another goroutine is about it.
func (s *session) tell() {
	if s.srv.ConnState == nil {
		return
	}
	for s.tellNext() {
	}
}

func (s *session) tellNext() bool {
	c := s.changes
	c.mu.Lock()
	if c.telling || len(c.untold) == 0 {
		c.mu.Unlock()
		return false
	}
	c.telling = true
	state := c.untold[0]
	c.untold = c.untold[1:]
	c.mu.Unlock()
	defer func() {
		v := recover() // whatever goroutine this is: it may be one nobody else guards
		c.mu.Lock()
		c.telling = false
		c.mu.Unlock()
		if v != nil {
			s.srv.panicked(s, v)
			_ = s.conn.Close()
		}
	}()
	s.srv.ConnState(s.conn, state)
	return true
}
