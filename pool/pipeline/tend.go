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

// tender is what tend knows of its connection. Its times are those of the monotonic
// clock of stamps.
type tender struct {
	read      uint64        // bytes, when it last looked
	changed   time.Duration // when it first saw them
	calls     uint64        // likewise
	used      stamp         // when it last saw calls
	owing     bool          // a call had no reply at the last look
	silent    time.Duration // since when it has found calls and no new byte
	waiting   time.Duration // since when the oldest call is one that was given up
	stuck     bool          // waiting is set
	expireAt  time.Duration // when to look for calls whose time is over
	beatAt    time.Duration // when the last heartbeat was sent
	beating   bool          // and nothing has come since
	expiring  bool
	leaving   bool          // it has a successor, or needs none
	successor *dial         // of a connection to take this one's place
	retryAt   time.Duration // when to dial one again
}

func newTender(now stamp) tender {
	return tender{changed: now.mono, used: now, silent: now.mono, retryAt: now.mono, expireAt: now.mono}
}

// tend looks after the connection: its lifetime, heartbeats, and whether its peer still
// replies. It is called by the timer, and sets that for the next look. One goroutine
// looks at a time. If the timer fires meanwhile, it was set before this look began,
// which sees what that was for; who asks for a look meanwhile sets again.
func (s *sharedConn) tend() {
	s.mu.Lock()
	if s.tending || s.err != nil {
		s.mu.Unlock()
		return
	}
	s.tending = true
	s.own.Add(1)
	s.mu.Unlock()
	defer s.own.Done()
	for {
		now := s.p.clock()
		next := max(s.inspect(now), time.Millisecond)
		s.mu.Lock()
		if !s.again || s.err != nil {
			s.tending = false
			s.lookAt = now.mono + next
			if s.err == nil {
				s.timer.Reset(next)
			}
			s.mu.Unlock()
			return
		}
		s.again = false
		s.mu.Unlock()
	}
}

// look has tend look at once.
func (s *sharedConn) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lookLocked()
}

// lookLocked is look with mu held.
func (s *sharedConn) lookLocked() {
	switch {
	case s.tending:
		s.again = true
	case s.timer != nil && s.err == nil: // else run's start has it look, or nobody needs to
		s.asleep = false // a call need not wake it
		s.timer.Reset(0)
	}
}

// lookWithinLocked has tend, which is asleep, look after d at the latest.
func (s *sharedConn) lookWithinLocked(now stamp, d time.Duration) {
	if s.tending {
		s.again = true
	} else if now.mono+d < s.lookAt {
		s.timer.Reset(d)
	}
}

// inspect does what is due, and returns when to look again.
func (s *sharedConn) inspect(now stamp) time.Duration {
	w, c := &s.tender, s.p.cfg
	if d := w.successor; d != nil {
		select {
		case <-d.done:
			s.replaced()
		default:
		}
	}
	s.mu.Lock()
	inFlight, oldest, calls := s.queue.len(), s.queue.first, s.count.calls
	waiting := oldest != nil && oldest.abandoned && !oldest.beat
	stuck := s.stuckLocked()
	lonely := s.left > s.beats && s.left == inFlight // nobody waits for a reply any more
	drained, leaving := s.leaving != nil && inFlight == s.left, s.leaving
	next := s.p.often
	if s.asleep = inFlight == 0 && calls == w.calls; s.asleep { // a call that comes from here on wakes it
		s.slimLocked()
		next = farAway
	}
	s.mu.Unlock()
	w.leaving = leaving != nil
	if drained {
		s.fail(leaving)
		return farAway
	}
	read := s.nc.BytesRead()
	heard := read != w.read
	if heard {
		w.read, w.changed, w.beating = read, now.mono, false
	}
	if inFlight > 0 || calls != w.calls {
		w.calls, w.used = calls, now
		s.usedSeen.Store(now.wall.UnixNano())
	}

	next = min(next, s.expireDue(now, inFlight))
	if c.StallTimeout > 0 {
		if s.suspectSilence(now, inFlight > 0, heard) && lonely && s.p.full() {
			s.fail(ErrStalled)
			return farAway
		}
		next = min(next, s.stall(now, waiting, stuck))
	}
	if c.Heartbeat.Interval > 0 {
		next = min(next, s.heartbeat(now))
	}
	next = min(next, s.outlive(now))
	idle, in := s.idle(now, inFlight)
	if idle {
		s.retire(errIdle)
	}
	return min(next, in)
}

// expireDue ends the calls whose time is over, when there may be some, and returns in how
// long there may be others.
func (s *sharedConn) expireDue(now stamp, inFlight int) time.Duration {
	w, limit := &s.tender, s.p.cfg.CallTimeout
	if limit <= 0 || inFlight == 0 {
		return farAway
	}
	if now.mono >= w.expireAt {
		w.expireAt = now.mono + min(s.expire(now), limit/limitShare)
	}
	return w.expireAt - now.mono
}

// idleBuffer is the largest buffer that a connection keeps while it is quiet, so that a
// rare call needs no memory.
const idleBuffer = 512

// slimLocked gives up what a connection does not need while it is quiet.
func (s *sharedConn) slimLocked() {
	s.dismissWriterLocked()
	if c := s.spareCall; c != nil {
		s.spareCall = nil
		s.p.calls.put(c)
	}
	if len(s.pending) == 0 && cap(s.pending) > idleBuffer {
		s.pending = nil
	}
	if cap(s.spare) > idleBuffer {
		s.spare = nil
	}
}

// often is how often tend looks at a connection that is in use.
func (c *Config) often() time.Duration {
	often := tendEvery
	if t := c.StallTimeout; t > 0 {
		often = min(often, t/100)
	}
	if t := c.CallTimeout; t > 0 {
		often = min(often, t/limitShare)
	}
	return often
}

// suspectSilence finds out whether the peer has sent nothing for a while although
// calls are in flight. New calls then go to another connection, if there can be one.
// When the peer is heard again, and another connection has taken its place meanwhile,
// the connection retires. It returns true as long as the peer is silent so.
func (s *sharedConn) suspectSilence(now stamp, owing, heard bool) bool {
	w := &s.tender
	since := w.owing
	w.owing = owing
	if heard || !owing || !since {
		w.silent = now.mono
		if s.suspect.Swap(false) && s.p.drop(s, s.p.cfg.MaxConns) {
			s.retire(errSurplus)
		}
		return false
	}
	if now.mono-w.silent >= s.p.cfg.StallTimeout*suspectParts/100 {
		s.suspect.Store(true)
	}
	return s.suspect.Load()
}

// stall ends a connection that owes a reply to a caller that has given up and
// has brought nothing for StallTimeout. With Match the others go on, so one
// that brings other replies is replaced.
func (s *sharedConn) stall(now stamp, waiting, stuck bool) time.Duration {
	w, limit := &s.tender, s.p.cfg.StallTimeout
	if !waiting {
		w.stuck = false
		if stuck {
			s.replace(now)
		}
		return farAway // its calls have it looked at
	}
	if !w.stuck || w.changed > w.waiting {
		w.stuck, w.waiting = true, now.mono
	}
	silent := now.mono - w.waiting
	if silent >= limit {
		s.fail(ErrStalled)
		return farAway
	}
	if stuck {
		s.replace(now)
	}
	return limit - silent
}

// stuckLocked tells whether a call was given up more than StallTimeout ago and
// has no reply yet, on a connection whose replies come in any order.
func (s *sharedConn) stuckLocked() bool {
	limit := s.p.cfg.StallTimeout
	if s.p.cfg.Match == nil || s.left == s.beats {
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
func (s *sharedConn) heartbeat(now stamp) time.Duration {
	w, hb := &s.tender, &s.p.cfg.Heartbeat
	if w.beating {
		in := hb.Timeout - (now.mono - w.beatAt)
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
	if w.changed == now.mono {
		return hb.Interval // a part of a frame has come
	}
	s.beat()
	w.beating, w.beatAt = true, now.mono
	return min(hb.Timeout, s.p.often) // it is in flight, as a call is
}

// idle tells whether the connection has been out of use for MaxIdleTime, and
// if not in how long it can be.
func (s *sharedConn) idle(now stamp, inFlight int) (idle bool, in time.Duration) {
	limit := s.p.cfg.MaxIdleTime
	if limit <= 0 || inFlight > 0 {
		return false, farAway
	}
	in = limit - now.age(s.tender.used)
	return in <= 0, in
}

// outlive sees to it that a connection whose time is over gets a successor.
func (s *sharedConn) outlive(now stamp) time.Duration {
	if s.lifetime <= 0 {
		return farAway
	}
	in := s.lifetime - now.age(s.born)
	if in > 0 {
		return in
	}
	s.tender.expiring = true
	return s.replace(now)
}

// replace begins to dial a successor. The connection takes calls until there is
// one.
func (s *sharedConn) replace(now stamp) time.Duration {
	w := &s.tender
	if w.successor != nil || w.leaving {
		return farAway
	}
	if in := w.retryAt - now.mono; in > 0 {
		return in
	}
	w.retryAt = now.mono + tendEvery
	w.successor = s.p.succeed(s)
	switch w.successor {
	case nil:
		return tendEvery
	case closedDial: // there is one already
		return 0
	}
	return farAway
}

// replaced retires the connection, if the dial of its successor was a success.
func (s *sharedConn) replaced() {
	w := &s.tender
	err := w.successor.err
	w.successor = nil
	switch {
	case err != nil:
	case w.expiring:
		s.retire(errExpired)
	default:
		s.retire(errSurplus)
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
	if s.endedLocked() || !s.roomForBeatLocked() {
		return // those before it have no reply yet, and are waited for
	}
	c, err := s.acceptLocked(nil, hb.Request)
	if err != nil {
		return // by a Matcher's doing
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
