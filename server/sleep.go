package server

import (
	"context"
	"net"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/sleep"
)

// A parked connection that stays idle falls asleep: its net.Conn is closed, and the
// poller waits at a duplicate of its descriptor. The watch has it fall asleep; who
// needs its net.Conn first wakes it. Both hold the locks of the connection, so parking
// need not know of it: the same events resume a parked connection, asleep or not.

// What session.depth is.
const (
	awake     uint32 = iota
	asleep           // it has a descriptor and no net.Conn
	sleepless        // its net.Conn must stay
)

// mostAsleep is how many connections a look of the watch has fall asleep: each takes
// some 3 µs, and timeouts wait.
const mostAsleep = 2000

// sleepAfter is FrameHandler.SleepAfter, resolved; 0 is never.
func (h *FrameHandler) sleepAfter() time.Duration { return orDefault(h.SleepAfter, defaultSleepAfter) }

// fallAsleep has a parked connection sleep that has been idle for long enough. It
// reports whether it did. The watch calls it.
//
// By default a connection that has had at most one request sleeps when the watch finds
// it parked: the runtime keeps 512 bytes for ever for each net.Conn that there was at
// the same time.
func (s *session) fallAsleep(now int64) bool {
	if s.parking.Load() != parked || s.depth.Load() != awake {
		return false
	}
	h := s.frames.Load()
	after := int64(h.sleepAfter())
	young := h.ParkAfter == 0 && h.SleepAfter == 0 && s.requests.Load() <= 1
	if after == 0 || !young && now-s.idleSince.Load() < after {
		return false
	}
	if !s.plain {
		s.depth.Store(sleepless)
		return false
	}
	switch sleep.Fall(s.conn, s) {
	case sleep.Asleep:
		return true
	case sleep.Never:
		s.depth.Store(sleepless)
	}
	return false
}

// crowd is after how many new connections the watch looks at the newest, four times as
// many. When thousands connect at once, those that have had their first request should
// not keep a goroutine and a net.Conn until the next tick: the runtime keeps 1 kB for
// ever for each that there is at the same time.
const crowd = 256

// lookAtNewest has the newest connections park, and fall asleep.
func (s *Server) lookAtNewest() {
	all := make([]*session, 0, 4*crowd)
	s.mu.Lock()
	for sess := s.first; sess != nil && len(all) < cap(all); sess = sess.next {
		all = append(all, sess)
	}
	s.mu.Unlock()
	now := s.clock.now.Load()
	for _, sess := range all {
		sess.askToPark(now)
		sess.fallAsleep(now)
	}
}

// isPlain reports whether nobody but the server has the connections that l accepts.
func isPlain(l net.Listener) bool {
	switch l.(type) {
	case *net.TCPListener, *net.UnixListener:
		return true
	}
	return false
}

// Watch is part of sleep.Watcher. A goroutine that still parks the connection has its
// net.Conn in use. No other can begin to: it would need the locks first.
//
// depth is set before parking is looked at, and who resumes the connection looks the
// other way round: so a goroutine that begins to serve it just now wakes it by rises,
// which waits for a descriptor where the process has none left.
func (s *session) Watch(fd int) bool {
	s.depth.Store(asleep)
	if s.parking.Load() == parked && s.settling.Load() == 0 && s.srv.poller.watchAllAt(s, fd) {
		return true
	}
	s.depth.Store(awake)
	return false
}

// Forget is part of sleep.Watcher.
func (s *session) Forget(fd int) { s.srv.poller.forgetAt(s, fd) }

// Woken is part of sleep.Watcher. A connection can be woken and stay parked, when
// something is sent on it.
func (s *session) Woken(fd int) {
	s.depth.Store(awake)
	if s.parking.Load() == parked && !s.srv.poller.watchAllAt(s, fd) {
		s.unpark()
	}
}

// Pauses between attempts to wake a connection.
const (
	minWakePause = 5 * time.Millisecond
	maxWakePause = time.Second
)

// rouse wakes the connection if it sleeps. It waits for descriptors if the process has
// none left. It fails if the connection or ctx ends first.
func (s *session) rouse(ctx context.Context) error {
	for pause := minWakePause; s.depth.Load() == asleep; pause = min(2*pause, maxWakePause) {
		if s.wake() == nil {
			break
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-s.Done():
		case <-ctx.Done():
		}
		t.Stop()
		if s.Err() != nil {
			return net.ErrClosed
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// rises wakes the connection that its new goroutine is to serve, and passes on the
// reason that a reader would have been woken for. It is false if the connection has
// ended.
func (s *session) rises() bool {
	if s.rouse(context.Background()) != nil {
		return false
	}
	if s.readDue.Load() == overdue {
		s.wakeReader()
	}
	return true
}

// wake wakes the connection once. The process may have no descriptor left, and it
// takes two for a moment: the poller has a spare one.
func (s *session) wake() error {
	err := sleep.Wake(s.conn)
	if err != nil {
		s.srv.poller.withSpare(func() { err = sleep.Wake(s.conn) })
	}
	return err
}
