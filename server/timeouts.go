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
// (due), and the watch looks at all of them every tick. A look puts the clock on
// by the time since the last look. A connection that read the clock in between
// read an old time, so the first look that finds a new due postpones it by as much
// as that look itself was late. A timeout is therefore never early, and late by up
// to two ticks and two hold-ups of the watch, however often it is held up.
//
// The watch runs no hook and closes no connection: it only interrupts the
// goroutine that reads or writes, which decides and acts.
const (
	maxTick = time.Second
	minTick = time.Millisecond
	noTick  = time.Minute // where nothing has a timeout
	// A tick is this part of the shortest timeout.
	ticksPerTimeout = 32

	// While requests are in progress the watch looks this often whether their
	// peers are still there, and less often above peersPerLook connections.
	peerLook     = 100 * time.Millisecond
	peersPerLook = 10000
)

// due is a time on the watch's clock in nanoseconds, with seenBit in it once the
// watch has postponed it, or one of:
const (
	notDue  = 0  // nothing is waited for
	overdue = -1 // the watch has seen it pass and acted
	never   = -2 // something is waited for, for as long as it takes
)

// seenBit marks a due that the watch has seen before.
const seenBit = 1

// watchClock is the part of the watch that connections read without a lock.
type watchClock struct {
	running atomic.Bool  // written with mu held; stays true while a session is live
	resting atomic.Bool  // the watch found no request in progress: wake it for one
	crowded atomic.Bool  // many connections have come since the watch looked at the newest
	now     atomic.Int64 // nanoseconds, as of the last look
	tick    atomic.Int64 // nanoseconds between looks
}

// watchFor makes sure that a watch is running which is precise enough for
// timeouts as short as d, 0 for none. Call it with a session tracked.
func (s *Server) watchFor(d time.Duration) {
	tick := int64(min(max(d/ticksPerTimeout, minTick), maxTick))
	if d <= 0 {
		tick = int64(noTick)
	}
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
	s.clock.resting.Store(true)
	go s.watch()
}

// wakeWatch tells the watch that something has changed: the tick, the first request
// in progress, or that no session is left.
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
	lookedAtPeers := last
	every := peerLook
	var all []*session
	for {
		select {
		case <-timer.C:
		case <-s.wake:
			if s.clock.crowded.Swap(false) {
				s.lookAtNewest()
			}
			if !s.isOver() { // look earlier, but not now
				timer.Reset(time.Until(last.Add(s.untilLook(s.clock.resting.Load(), every))))
				continue
			}
		}
		look := time.Now()
		passed := int64(look.Sub(last))
		last = look
		late := max(0, passed-s.clock.tick.Load())
		now := s.clock.now.Add(passed)
		s.mu.Lock()
		if s.live == 0 {
			s.mu.Unlock()
			if s.watchEnds(look) {
				return
			}
			timer.Reset(s.untilLook(true, every))
			continue
		}
		all = all[:0]
		for sess := s.first; sess != nil; sess = sess.next {
			all = append(all, sess)
		}
		s.mu.Unlock()
		every = peerLook * time.Duration(1+len(all)/peersPerLook)
		peers := look.Sub(lookedAtPeers) >= every
		if peers {
			lookedAtPeers = look
		}
		busy := s.look(all, now, late, peers)
		s.clock.resting.CompareAndSwap(true, !busy)
		s.summary.flushLater(s.logger(), look)
		timer.Reset(s.untilLook(!busy, every))
	}
}

// watchEnds ends the watch, unless there is a session again or something left to
// log in its time.
func (s *Server) watchEnds(now time.Time) bool {
	s.summary.wg.Wait()
	if s.draining.Load() {
		now = time.Time{}
	}
	if s.summary.flush(s.logger(), now) {
		return false
	}
	s.closePoller()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live > 0 || s.poller != nil {
		s.wakeWatch()
		return false
	}
	s.clock.running.Store(false)
	s.settleLocked()
	return true
}

// isOver reports whether the watch has nothing left to do.
func (s *Server) isOver() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live == 0
}

// look acts on what is overdue and, if peers is set, on peers that have gone. It
// reports whether requests are in progress.
func (s *Server) look(all []*session, now, late int64, peers bool) (busy bool) {
	s.clock.resting.Store(true) // before the states are read: one that changes later wakes
	fallen := 0
	for i, sess := range all {
		sess.expire(now, late)
		sess.askToPark(now)
		if fallen < mostAsleep && sess.fallAsleep(now) {
			fallen++
		}
		if sess.inHandler() {
			busy = true
			if peers {
				sess.lookAtPeer()
			}
		}
		all[i] = nil
	}
	return busy
}

// inHandler reports whether frames are being handled and none is being read: then
// nobody else hears that the peer has gone.
func (s *session) inHandler() bool {
	return s.readDue.Load() == notDue && s.frames.Load() != nil && State(s.state.Load()) == StateActive
}

// untilLook is how long the watch sleeps.
func (s *Server) untilLook(resting bool, every time.Duration) time.Duration {
	tick := time.Duration(s.clock.tick.Load())
	if resting {
		return tick
	}
	return min(tick, every)
}

// wakeForRequest makes the watch look soon if it rests.
func (s *Server) wakeForRequest() {
	if s.clock.resting.Load() && s.clock.resting.CompareAndSwap(true, false) {
		s.wakeWatch()
	}
}

// after is d from now as a due, never for no d.
func (c *watchClock) after(d time.Duration) int64 {
	if d <= 0 {
		return never
	}
	// The next look may be about to put the clock on by a tick.
	return (c.now.Load() + c.tick.Load() + int64(d)) &^ seenBit
}

// expire acts on what is overdue: it interrupts the read or the write, and the
// goroutine that is in it decides. late is by how much this look was late.
func (s *session) expire(now, late int64) {
	if isOverdue(&s.readDue, now, late) && !(s.depth.Load() == asleep && s.unpark()) {
		_ = s.conn.SetReadDeadline(aLongTimeAgo)
		s.unpark()
	}
	e := s.extra.Load()
	if isOverdue(&s.writeDue, now, late) || e != nil && isOverdue(&e.due, now, late) {
		if nc := s.socket(); nc != nil {
			_ = nc.SetWriteDeadline(aLongTimeAgo)
		}
	}
}

// isOverdue reports whether a due has passed, and marks it if so. A due that no
// look has seen yet may have been set by a clock that was late.
func isOverdue(due *atomic.Int64, now, late int64) bool {
	d := due.Load()
	if d <= 0 {
		return false
	}
	if d&seenBit == 0 {
		later := (d + late) | seenBit
		if !due.CompareAndSwap(d, later) {
			return false
		}
		d = later
	}
	return d <= now && due.CompareAndSwap(d, overdue)
}
