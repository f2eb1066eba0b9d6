package pipeline

import "time"

const (
	// A connection that owes replies takes no new calls when it has been silent for
	// suspectParts hundredths of StallTimeout, and it is looked at once in each: so
	// within a tenth. With the default that is a second, and callers whose deadlines
	// are a second lose one call each, not two.
	suspectParts = 8

	// tendEvery is how often a connection in use is looked at where no
	// setting asks for more.
	tendEvery = time.Second

	// farAway is a time that tend need not think of.
	farAway = 24 * time.Hour
)

// tender is what tend knows of its connection.
type tender struct {
	s         *sharedConn
	read      uint64        // bytes, when it last looked
	changed   stamp         // when it first saw them
	calls     uint64        // likewise
	used      stamp         // when it last saw calls
	owing     bool          // a call that was handed over had no reply at the last look
	start     uint64        // of the oldest in the stream, whoever holds its place
	silent    stamp         // since when it has found that one and no new byte
	waiting   stamp         // since when the oldest call is one that was given up
	stuck     bool          // waiting is set
	expireAt  time.Duration // when to look for calls whose time is over
	beatAt    stamp         // when the last heartbeat was sent
	beating   bool          // and nothing has come since
	expiring  bool
	leaving   bool  // it has a successor, or needs none
	successor *dial // of a connection to take this one's place
	retryAt   stamp // when to dial one again
}

// tend looks after the connection until it ends: its lifetime, heartbeats, and
// whether its peer still replies.
func (s *sharedConn) tend() {
	now := s.p.clock()
	w := &tender{s: s, changed: now, used: now, silent: now, retryAt: now, expireAt: now.mono}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var dialed <-chan struct{}
		if w.successor != nil {
			dialed = w.successor.done
		}
		select {
		case <-s.ctx.Done():
			return
		case <-dialed:
			w.replaced()
		case <-s.look:
		case <-timer.C:
		}
		timer.Reset(max(w.inspect(), time.Millisecond))
	}
}

// inspect does what is due, and returns when to look again.
func (w *tender) inspect() time.Duration {
	s, c, now := w.s, &w.s.p.cfg, w.s.p.clock()
	s.mu.Lock()
	inFlight, oldest, calls := s.queue.len(), s.queue.first, s.count.calls
	waiting := oldest != nil && oldest.abandoned && !oldest.beat
	stuck := w.stuckLocked()
	owing, start := false, uint64(0) // of a call that was not handed over, the place may be another's later
	if oldest != nil {
		owing, start = oldest.start < s.handed, oldest.start
	}
	lonely := s.left > s.beats && s.left == inFlight // nobody waits for a reply any more
	drained, leaving := s.leaving != nil && inFlight == s.left, s.leaving
	s.mu.Unlock()
	w.leaving = leaving != nil
	if drained {
		s.fail(leaving)
		return farAway
	}
	read := s.nc.BytesRead()
	heard := read != w.read
	if heard {
		w.read, w.changed, w.beating = read, now, false
	}
	if inFlight > 0 || calls != w.calls {
		w.calls, w.used = calls, now
		s.usedSeen.Store(now.wall.UnixNano())
	}

	next := w.expire(now, inFlight)
	if c.StallTimeout > 0 {
		if w.suspect(now, owing, start, heard) && lonely && s.p.full() {
			s.fail(ErrStalled)
			return farAway
		}
		next = min(next, w.stall(now, waiting, stuck))
	}
	if c.Heartbeat.Interval > 0 {
		next = min(next, w.heartbeat(now))
	}
	next = min(next, w.lifetime(now))
	if idle, in := w.idle(now, inFlight); idle {
		s.retire(errIdle)
		return 0
	} else if in < next {
		next = in
	}
	return min(next, w.sleep())
}

// expire ends the calls whose time is over, when there may be some, and returns in how
// long there may be others.
func (w *tender) expire(now stamp, inFlight int) time.Duration {
	limit := w.s.p.cfg.CallTimeout
	if limit <= 0 || inFlight == 0 {
		return farAway
	}
	if now.mono >= w.expireAt {
		w.expireAt = now.mono + min(w.s.expire(now), limit/limitShare)
	}
	return w.expireAt - now.mono
}

// sleep returns how soon to look at a connection in use again. One that is not
// in use wakes tend with its next call.
func (w *tender) sleep() time.Duration {
	s := w.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queue.len() == 0 && s.suspect.Load() {
		// The last reply has come since inspect looked. Asleep, it would be
		// avoided until a call came to it, and none does.
		return 0
	}
	if s.asleep = s.queue.len() == 0 && s.count.calls == w.calls && s.leaving == nil; s.asleep {
		return farAway
	}
	often := tendEvery
	if t := s.p.cfg.StallTimeout; t > 0 {
		often = min(often, t/100)
	}
	if t := s.p.cfg.CallTimeout; t > 0 {
		often = min(often, t/limitShare)
	}
	return often
}

// suspect finds out whether the peer has sent nothing for a while although it
// owes a reply, always the same. New calls then go to another connection, if
// there can be one. When the peer is heard again, and another connection has
// taken its place meanwhile, the connection retires. It returns true as long as
// the peer is silent so.
func (w *tender) suspect(now stamp, owing bool, start uint64, heard bool) bool {
	s := w.s
	same := owing && w.owing && start == w.start
	w.owing, w.start = owing, start
	if heard || !same {
		w.silent = now
		if s.suspect.Swap(false) && s.p.surplus(s) {
			s.retire(errSurplus)
		}
		return false
	}
	if now.mono-w.silent.mono >= s.p.cfg.StallTimeout*suspectParts/100 {
		s.suspect.Store(true)
	}
	return s.suspect.Load()
}

// stall ends a connection that owes a reply to a caller that has given up and
// has brought nothing for StallTimeout. With Match the others go on, so one
// that brings other replies is replaced.
func (w *tender) stall(now stamp, waiting, stuck bool) time.Duration {
	limit := w.s.p.cfg.StallTimeout
	if !waiting {
		w.stuck = false
		if stuck {
			w.replace(now)
		}
		return limit
	}
	if !w.stuck || w.changed.mono > w.waiting.mono {
		w.stuck, w.waiting = true, now
	}
	silent := now.mono - w.waiting.mono
	if silent >= limit {
		w.s.fail(ErrStalled)
		return farAway
	}
	if stuck {
		w.replace(now)
	}
	return limit - silent
}

// stuckLocked tells whether a call was given up more than StallTimeout ago and
// has no reply yet, on a connection whose replies come in any order.
func (w *tender) stuckLocked() bool {
	s := w.s
	limit := s.p.cfg.StallTimeout
	if s.p.cfg.Match == nil || limit < 0 || s.left == s.beats {
		return false
	}
	for c := s.queue.first; c != nil; c = c.next {
		if c.abandoned && !c.beat && time.Since(c.leftAt) >= limit {
			return true
		}
	}
	return false
}

// heartbeat sends one when nothing has come for Interval, and ends the
// connection when nothing has come for Timeout after it.
func (w *tender) heartbeat(now stamp) time.Duration {
	s, hb := w.s, &w.s.p.cfg.Heartbeat
	if w.beating {
		in := hb.Timeout - (now.mono - w.beatAt.mono)
		if in <= 0 {
			s.fail(ErrNoHeartbeat)
			return farAway
		}
		return in
	}
	last := s.born.mono + time.Duration(s.heardAt.Load())
	in := last + hb.Interval - now.mono
	if in > 0 {
		return in
	}
	if w.changed == now {
		return hb.Interval // a part of a frame has come
	}
	s.beat()
	w.beating, w.beatAt = true, now
	return hb.Timeout
}

// idle tells whether the connection has been out of use for MaxIdleTime, and
// if not in how long it can be.
func (w *tender) idle(now stamp, inFlight int) (idle bool, in time.Duration) {
	limit := w.s.p.cfg.MaxIdleTime
	if limit <= 0 || inFlight > 0 {
		return false, farAway
	}
	in = limit - now.age(w.used)
	return in <= 0, in
}

// lifetime sees to it that a connection whose time is over gets a successor.
func (w *tender) lifetime(now stamp) time.Duration {
	if w.s.lifetime <= 0 {
		return farAway
	}
	in := w.s.lifetime - now.age(w.s.born)
	if in > 0 && !w.expiring {
		return in
	}
	w.expiring = true
	return w.replace(now)
}

// replace begins to dial a successor. The connection takes calls until there is
// one.
func (w *tender) replace(now stamp) time.Duration {
	if w.successor != nil || w.leaving {
		return farAway
	}
	if in := w.retryAt.mono - now.mono; in > 0 {
		return in
	}
	w.retryAt = stamp{now.mono + tendEvery, now.wall}
	w.successor = w.s.p.succeed()
	if w.successor == nil {
		return tendEvery
	}
	return farAway
}

// replaced retires the connection, if the dial of its successor was a success.
func (w *tender) replaced() {
	err := w.successor.err
	w.successor = nil
	switch {
	case err != nil:
	case w.expiring:
		w.s.retire(errExpired)
	default:
		w.s.retire(errSurplus)
	}
}

// beat sends a heartbeat.
func (s *sharedConn) beat() {
	hb := &s.p.cfg.Heartbeat
	if hb.Reply != nil {
		_ = s.send(hb.Request) // what it did not reach, is silent
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.roomForBeatLocked() {
		return // those before it have no reply yet, and are waited for
	}
	c, err := s.acceptLocked(nil, hb.Request)
	if err != nil {
		return
	}
	c.abandoned, c.beat = true, true
	s.left++
	s.beats++
	if s.reading == nobody {
		s.reading = readerLoop
		wake(s.reads)
	}
	s.wantWriteLocked()
}

// roomForBeatLocked tells whether a heartbeat leaves a number for each call that
// may come. Those that a peer does not reply to keep their numbers.
func (s *sharedConn) roomForBeatLocked() bool {
	return s.p.cfg.Match == nil || uint64(s.beats) < s.numbers.max-uint64(s.p.permits.limit)
}
