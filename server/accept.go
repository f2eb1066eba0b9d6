package server

import (
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"slices"
	"syscall"
	"time"
)

const (
	minAcceptDelay = 5 * time.Millisecond
	maxAcceptDelay = time.Second

	// Where the system does not tell whether the backlog is empty, it is taken to
	// be when Accept has waited this long.
	backlogWait = 10 * time.Millisecond
	// A backlog holds no more connections than this where no limit is known; what
	// comes after so many came after Shutdown.
	backlogMost = 1 << 16
	// Where the system tells how many connections are in the backlog, so many more
	// are accepted: nearly always it is empty before, and what is not accepted is
	// reset. More than that are callers that connect again at once.
	backlogMore = 64
)

// accept is the accept loop of one listener.
func (s *Server) accept(l net.Listener) error {
	var delay time.Duration
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			delay = 0
			s.start(nc, isPlain(l))
		case s.draining.Load():
			s.emptyBacklog(l)
			return ErrServerClosed
		case passes(err):
			delay = min(max(2*delay, minAcceptDelay), maxAcceptDelay)
			s.acceptFailed(l, err)
			s.logger().Warn("server: accept failed, will try again",
				"addr", l.Addr().String(), "err", err, "delay", delay)
			s.pause(delay)
		default:
			return fmt.Errorf("server: accept on %s: %w", l.Addr(), err)
		}
	}
}

// acceptFailed counts an error of accept that is waited out.
func (s *Server) acceptFailed(l net.Listener, err error) {
	s.stats.acceptErrors.Add(1)
	for _, h := range s.sortHooks().accepts {
		func() {
			defer func() {
				if v := recover(); v != nil {
					s.logger().Error("server: panic in a hook", "panic", v, "stack", string(debug.Stack()))
				}
			}()
			h.AfterAcceptError(l.Addr(), err)
		}()
	}
}

// pause waits for d, or less if the server begins to stop.
func (s *Server) pause(d time.Duration) {
	s.mu.Lock()
	stopping := s.stopChanLocked()
	s.mu.Unlock()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-stopping:
	}
}

// emptyBacklog starts what the kernel had accepted before Shutdown: closing the
// listener would reset those connections, with the requests they have sent. Where
// descriptors are short it waits for connections that end to free some. It ends
// early when Shutdown's ctx does, and when it has accepted more than there were.
func (s *Server) emptyBacklog(l net.Listener) {
	d, ok := l.(interface{ SetDeadline(time.Time) error })
	if !ok {
		return
	}
	raw := rawOf(l)
	most := backlogMost
	if raw != nil {
		if n, known := queued(raw); known {
			most = n + backlogMore
		}
	}
	for n := 0; n < most && !s.isClosed(); {
		if yes, known := isWaiting(raw); known && !yes {
			return
		}
		until := time.Now().Add(backlogWait)
		if d.SetDeadline(until) != nil {
			return
		}
		nc, err := l.Accept()
		switch {
		case err == nil:
			n++
			s.start(nc, isPlain(l))
		case timedOut(err):
			_, known := isWaiting(raw)
			if !known && !time.Now().Before(until) {
				return
			} // else Shutdown's own deadline ended it, or there was no time to look
		case !passes(err):
			return
		default:
			s.acceptFailed(l, err)
			time.Sleep(minAcceptDelay)
		}
	}
}

// isClosed reports whether Close has been called, or a Shutdown's ctx has ended.
func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// isWaiting is waiting for a socket that may be nil.
func isWaiting(raw syscall.RawConn) (yes, known bool) {
	if raw == nil {
		return false, false
	}
	return waiting(raw)
}

// passes reports whether accepting may go on after err. Most errors of accept(2)
// say nothing about the listener: the process or the system is short of something
// for now, or the one connection failed before it was accepted (Linux passes its
// pending network errors on). An error with no errno comes from a listener that is
// not a plain socket; it may say by itself that it passes.
func passes(err error) bool {
	if errors.Is(err, net.ErrClosed) {
		return false
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return !slices.Contains(lasting, errno)
	}
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}
