// Package signal tells any number of goroutines that something has happened.
package signal

import "sync"

// Signal wakes everybody who waits for it. The zero value works.
type Signal struct {
	mu sync.Mutex    // guards ch
	ch chan struct{} // closed by the next Send; nil if nobody has asked
}

// Next returns a channel that the next Send closes. Get it before you look at what
// Send tells about, so that a change in between is not missed.
func (s *Signal) Next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

// Send wakes those who wait.
func (s *Signal) Send() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}
