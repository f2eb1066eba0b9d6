package server

import (
	"sync/atomic"
	"time"
)

// The timeouts of idle connections and of requests are kept by one goroutine of
// the server, the watch, and not by deadlines on each connection: setting one is
// several system timers' work for every request, and its call chain alone would
// double the stack, so the memory, of each idle connection.
//
// A connection says until when something must have happened on a coarse clock
// (due), and the watch looks at all of them every tick. A look puts the clock on by
// the time since the last, but never by more than maxStep ticks: a connection that
// read the clock in between is not charged for a watch that was held up. A timeout
// is therefore late by up to maxStep+1 ticks, and by the hold-up, but never early.
const (
	maxTick = time.Second
	minTick = time.Millisecond
	// A tick is this part of the shortest timeout.
	ticksPerTimeout = 32
	maxStep         = 2
)

// due is a time on the watch's clock in nanoseconds, or one of:
const (
	notDue  = 0  // nothing is waited for
	overdue = -1 // the watch has seen it pass and acted
)

// watchClock is the part of the watch that connections read without a lock.
type watchClock struct {
	running atomic.Bool  // written with mu held; stays true while a session is live
	now     atomic.Int64 // nanoseconds, as of the last look
	tick    atomic.Int64 // nanoseconds between looks
}

// watchFor makes sure that a watch is running which is precise enough for
// timeouts as short as d. Call it with a session tracked.
func (s *Server) watchFor(d time.Duration) {
	tick := int64(min(max(d/ticksPerTimeout, minTick), maxTick))
	if s.clock.running.Load() && s.clock.tick.Load() <= tick {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.clock.tick.Load(); t == 0 || tick < t {
		s.clock.tick.Store(tick)
	}
	if s.clock.running.Load() {
		s.wakeWatch()
		return
	}
	if s.wake == nil {
		s.wake = make(chan struct{}, 1)
	}
	s.clock.running.Store(true)
	go s.watch()
}

// wakeWatch makes the watch look now, at a changed tick or to end.
func (s *Server) wakeWatch() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// watch is the goroutine. It ends when it finds no session; Shutdown waits for it.
func (s *Server) watch() {
	timer := time.NewTimer(time.Duration(s.clock.tick.Load()))
	defer timer.Stop()
	last := time.Now()
	var all []*session
	for {
		select {
		case <-timer.C:
		case <-s.wake:
		}
		look := time.Now()
		now := s.clock.now.Add(min(int64(look.Sub(last)), maxStep*s.clock.tick.Load()))
		last = look
		s.mu.Lock()
		if s.live == 0 {
			s.clock.running.Store(false)
			s.settle()
			s.mu.Unlock()
			return
		}
		all = all[:0]
		for sess := s.first; sess != nil; sess = sess.next {
			all = append(all, sess)
		}
		s.mu.Unlock()
		for i, sess := range all {
			sess.expire(now)
			all[i] = nil
		}
		timer.Reset(time.Duration(s.clock.tick.Load()))
	}
}

// after is d from now as a due, notDue for no d.
func (c *watchClock) after(d time.Duration) int64 {
	if d <= 0 {
		return notDue
	}
	// The next look may be about to put the clock on.
	return c.now.Load() + maxStep*c.tick.Load() + int64(d)
}

// expire acts on what is overdue. A read is only interrupted, its goroutine
// decides what is lost; a peer that does not read gets no such courtesy.
func (s *session) expire(now int64) {
	if due := s.readDue.Load(); due > 0 && due <= now && s.readDue.CompareAndSwap(due, overdue) {
		_ = s.conn.SetReadDeadline(aLongTimeAgo)
	}
	if due := s.writeDue.Load(); due > 0 && due <= now && s.writeDue.CompareAndSwap(due, overdue) {
		s.abort()
	}
}
