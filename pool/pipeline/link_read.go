package pipeline

import (
	"errors"
	"os"
	"time"
)

// watchAfter is how long a link must have been quiet before its goroutine
// reads it to notice the peer's close. Until then a lone caller may read.
const watchAfter = 10 * time.Millisecond

// run reads the link whenever no lone caller does, until the link ends; then
// it waits for everyone who uses the connection, and settles what is left.
func (l *link) run() {
	written := make(chan struct{})
	go func() {
		defer close(written)
		l.writeLoop()
	}()
	tick := time.NewTimer(watchAfter)
	for l.awaitTurn(tick) {
		l.readFrames()
	}
	close(l.ended)
	<-written
	for l.led() {
		<-l.reads
	}
	l.settle()
}

// awaitTurn waits until the link's goroutine has the read turn: passed on by a
// lone caller, or taken because nobody has called for a while. It returns
// false once the link has ended.
func (l *link) awaitTurn(tick *time.Timer) bool {
	tick.Reset(watchAfter)
	defer tick.Stop()
	ticked, seen := false, uint64(0)
	for {
		l.mu.Lock()
		quiet := ticked && l.count.calls == seen
		seen = l.count.calls
		if quiet && l.reading == nobody {
			l.reading = theLink
		}
		// A lone caller who waits for long need not be looked at.
		l.dozing = quiet && l.reading == aCaller
		dozing, alive, mine := l.dozing, l.err == nil, l.reading == theLink
		l.mu.Unlock()
		if !alive || mine {
			return alive
		}
		if ticked {
			tick.Reset(watchAfter)
		}
		if ticked = false; dozing {
			<-l.reads
			continue
		}
		select {
		case <-l.reads:
		case <-tick.C:
			ticked = true
		}
	}
}

// led tells whether a lone caller is still at work.
func (l *link) led() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reading == aCaller
}

// readFrames reads replies until none is awaited, then gives up the turn. With
// none awaited to begin with it watches for the peer's close.
func (l *link) readFrames() {
	l.mu.Lock()
	watching := l.queue.len() == 0
	if l.left > 0 {
		l.arm()
	}
	l.mu.Unlock()
	for done := false; !done; {
		var frame []byte
		var err error
		if watching {
			err = l.frames.Wait()
		} else {
			frame, err = l.frames.Next()
		}
		switch {
		case err == nil && watching:
			l.mu.Lock()
			expecting := l.expecting()
			l.mu.Unlock()
			watching = false
			if !expecting {
				l.fail(ErrUnsolicited)
				return
			}
		case err == nil:
			done = l.deliver(frame)
		case errors.Is(err, os.ErrDeadlineExceeded):
			if l.stalled() {
				l.fail(ErrStalled)
				return
			}
		default:
			l.fail(err)
			return
		}
	}
}

// deliver settles the oldest call with its reply. It returns true if there is
// nothing to read for any more: no other call is queued, and the read turn is
// given up, or the peer is not to be trusted, and the link has ended.
func (l *link) deliver(frame []byte) (done bool) {
	l.mu.Lock()
	if !l.expecting() {
		l.mu.Unlock()
		l.fail(ErrUnsolicited)
		return true
	}
	c := l.queue.pop()
	l.load.Store(int32(l.queue.len()))
	c.queued = false
	if c.abandoned {
		l.left--
		l.count.late++
	} else {
		l.count.replies++
	}
	first := l.count.replies+l.count.late == 1
	last := l.queue.len() == 0
	l.mu.Unlock()
	if first {
		l.p.answered()
	}
	if c.abandoned {
		l.p.gate.release()
		l.p.calls.put(c)
	} else {
		c.reply = append(c.dst, frame...)
		c.finish()
	}
	return last && l.yield()
}

// yield gives up the read turn if no call is left to read for.
func (l *link) yield() bool {
	l.mu.Lock()
	if l.queue.len() > 0 {
		l.mu.Unlock()
		return false
	}
	_ = l.frames.Release() // what is left in the buffer now, nobody asked for
	unsolicited := l.nc.Buffered() > 0
	l.disarm()
	l.reading = nobody
	awaited := l.dozing || l.err != nil
	l.mu.Unlock()
	if unsolicited {
		l.fail(ErrUnsolicited)
	} else if awaited {
		wake(l.reads)
	}
	return true
}

// expecting tells whether a request has been written and not been answered.
// Called under mu.
func (l *link) expecting() bool {
	if l.queue.len() == 0 {
		return false
	}
	c := l.queue.at(0)
	return c.start+uint64(c.size) <= l.handed
}

// arm sets the deadline that notices a stall. Called under mu, while the link
// itself reads and an abandoned call is queued.
func (l *link) arm() {
	if l.armed || l.p.cfg.StallTimeout < 0 {
		return
	}
	l.armed, l.armedAt = true, l.nc.BytesRead()
	_ = l.nc.SetReadDeadline(time.Now().Add(l.p.cfg.StallTimeout))
}

// disarm takes the deadline back. Called under mu.
func (l *link) disarm() {
	if l.armed {
		l.armed = false
		_ = l.nc.SetReadDeadline(time.Time{})
	}
}

// stalled tells, when the deadline has passed, whether the peer has stopped
// answering; if not it sets the next deadline, where one is needed.
func (l *link) stalled() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.armed && l.queue.len() > 0 && l.queue.at(0).abandoned && l.nc.BytesRead() == l.armedAt {
		return true
	}
	l.disarm()
	if l.left > 0 {
		l.arm()
	}
	return false
}
