package server

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"syscall"
	"time"
)

const (
	minAcceptDelay = 5 * time.Millisecond
	maxAcceptDelay = time.Second

	// The backlog is taken to be empty when Accept has waited this long, and
	// not emptied for longer than backlogLimit while new connections come in.
	backlogWait  = time.Millisecond
	backlogLimit = 50 * time.Millisecond
)

// accept is the accept loop of one listener.
func (s *Server) accept(l net.Listener) error {
	var delay time.Duration
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			delay = 0
			s.start(nc)
		case s.draining.Load():
			s.emptyBacklog(l)
			return ErrServerClosed
		case passes(err):
			delay = min(max(2*delay, minAcceptDelay), maxAcceptDelay)
			s.stats.acceptErrors.Add(1)
			s.logger().Warn("server: accept failed, will try again",
				"addr", l.Addr().String(), "err", err, "delay", delay)
			s.pause(delay)
		default:
			return fmt.Errorf("server: accept on %s: %w", l.Addr(), err)
		}
	}
}

// pause waits for d, or less if the server begins to stop.
func (s *Server) pause(d time.Duration) {
	s.mu.Lock()
	stopping := s.stopChan()
	s.mu.Unlock()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-stopping:
	}
}

// emptyBacklog starts what the kernel had accepted before Shutdown: closing the
// listener would reset those connections, with the requests they have sent.
func (s *Server) emptyBacklog(l net.Listener) {
	d, ok := l.(interface{ SetDeadline(time.Time) error })
	if !ok {
		return
	}
	for end := time.Now().Add(backlogLimit); time.Now().Before(end); {
		if d.SetDeadline(time.Now().Add(backlogWait)) != nil {
			return
		}
		nc, err := l.Accept()
		switch {
		case err == nil:
			s.start(nc)
		case timedOut(err) || !passes(err):
			return
		default: // not those behind it; connections that end may free what is short
			s.stats.acceptErrors.Add(1)
			time.Sleep(backlogWait)
		}
	}
}

// passing are the errors of accept(2) that say nothing about the listener: the
// process or the system is short of something for now, or the one connection
// failed before it was accepted (Linux passes its pending network errors on).
var passing = append([]syscall.Errno{
	syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
	syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EINTR, syscall.EAGAIN,
	syscall.EPROTO, syscall.EPERM, syscall.ENOPROTOOPT, syscall.EOPNOTSUPP,
	syscall.ENETDOWN, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.EHOSTUNREACH,
}, systemPassing...)

// passes reports whether accepting may go on after err. An error with no errno
// comes from a listener that is not a plain socket; it may say by itself that it
// passes.
func passes(err error) bool {
	if errors.Is(err, net.ErrClosed) {
		return false
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return slices.Contains(passing, errno)
	}
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}
