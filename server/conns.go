package server

import "net"

// trackListener adds l; false once the server is stopping.
func (s *Server) trackListener(l *net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		return false
	}
	if s.listeners == nil {
		s.listeners = make(map[*net.Listener]struct{})
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) untrackListener(l *net.Listener) {
	s.mu.Lock()
	delete(s.listeners, l)
	s.settleLocked()
	s.mu.Unlock()
}

// track adds a session with an open connection; false, counted as refused,
// where that would be one too many or the server has been closed. During
// Shutdown it is still added: what the kernel accepted is served.
func (s *Server) track(sess *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if s.MaxConns > 0 && s.open >= s.MaxConns {
		s.stats.refusedMaxConns.Add(1)
		return false
	}
	s.made++
	sess.id = s.made
	s.open++
	s.live++
	sess.parts = 2
	sess.next = s.first
	if sess.next != nil {
		sess.next.prev = sess
	}
	s.first = sess
	if s.made%crowd == 0 && s.clock.running.Load() {
		s.clock.crowded.Store(true)
		s.wakeWatch()
	}
	return true
}

// partLocked says that one of the two things that keep a session tracked has
// ended: its connection or its goroutine.
func (s *Server) partLocked(sess *session) {
	sess.parts--
	if sess.parts > 0 {
		return
	}
	if sess.prev != nil {
		sess.prev.next = sess.next
	} else {
		s.first = sess.next
	}
	if sess.next != nil {
		sess.next.prev = sess.prev
	}
	sess.prev, sess.next = nil, nil
	s.requests += sess.requests.Load()
	s.live--
	if s.live == 0 && s.draining.Load() {
		s.wakeWatch()
	}
	s.settleLocked()
}

// settleLocked tells Shutdown once nothing is left.
func (s *Server) settleLocked() {
	if s.drained != nil && s.live == 0 && len(s.listeners) == 0 && !s.clock.running.Load() {
		select {
		case <-s.drained:
		default:
			close(s.drained)
		}
	}
}

// sessions is a snapshot, to be walked without mu.
func (s *Server) sessions() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*session, 0, s.live)
	for sess := s.first; sess != nil; sess = sess.next {
		all = append(all, sess)
	}
	return all
}

// stopChanLocked is closed when the server begins to stop.
func (s *Server) stopChanLocked() chan struct{} {
	if s.stopping == nil {
		s.stopping = make(chan struct{})
	}
	return s.stopping
}
