package pipeline

import (
	"bytes"
	"errors"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/seed-99d6a01a/gtcp/framing/envelope"
)

const (
	// watchAfter is how long a connection must have been quiet before its
	// goroutine reads it to notice the peer's close. Until then a lone caller
	// may read.
	watchAfter = 10 * time.Millisecond

	// batchMax is the most replies delivered under one lock, and batchFrame
	// the largest of them but the last.
	batchMax, batchFrame = 64, 1 << 10
)

// run reads the connection whenever no lone caller does, until it ends; then it
// waits for everyone who uses it, and settles what is left.
func (s *sharedConn) run() {
	var pushing sync.WaitGroup
	if s.pushes != nil {
		pushing.Go(s.pushLoop)
	}
	s.mu.Lock()
	s.timer = time.AfterFunc(0, s.tend)
	s.mu.Unlock()
	for s.awaitTurn() {
		s.readFrames()
	}
	s.mu.Lock()
	s.timer.Stop()
	if s.writer {
		wake(s.writes)
	}
	s.mu.Unlock()
	s.own.Wait()
	for s.inlineActive() {
		<-s.reads
	}
	s.settle()
	pushing.Wait()
}

// awaitTurn waits until the connection's goroutine has the read turn: passed on
// by a lone caller, or taken because nobody has called for a while. It returns
// false once the connection has ended.
func (s *sharedConn) awaitTurn() bool {
	const none = ^uint64(0) // no number of calls: the while begins anew
	if s.tick == nil {
		s.tick = time.NewTimer(watchAfter)
	}
	tick := s.tick
	defer tick.Stop()
	ticked, seen := false, none
	for {
		s.mu.Lock()
		calls := s.count.calls
		quiet := ticked && calls == seen
		if quiet && s.reading == nobody {
			s.reading = readerLoop
		}
		// A lone caller who waits for long need not be looked at.
		s.parked = quiet && s.reading == readerCaller
		parked, alive, mine := s.parked, s.err == nil, s.reading == readerLoop
		s.mu.Unlock()
		if !alive || mine {
			if quiet {
				s.tick = nil
			}
			return alive
		}
		if parked {
			<-s.reads
			ticked, seen = false, none
			continue
		}
		if ticked || calls != seen { // armed once they are counted, not before
			seen = calls
			tick.Reset(watchAfter)
		}
		select {
		case <-s.reads:
			ticked = false
		case <-tick.C:
			ticked = true
		}
	}
}

// inlineActive tells whether a lone caller is still at work.
func (s *sharedConn) inlineActive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reading == readerCaller
}

// readFrames reads replies until none is awaited, then gives up the turn. With
// none awaited to begin with it watches for the peer's close, and for frames
// that are no replies.
func (s *sharedConn) readFrames() {
	if !s.flushHeld() {
		return
	}
	s.mu.Lock()
	s.watch = s.queue.len() == 0 && !s.async
	s.mu.Unlock()
	for done := false; !done; {
		if s.watch {
			s.watch = false
			if err := s.frames.Wait(); err != nil {
				s.readFailed(err)
				return
			}
			if !s.expecting() {
				s.fail(ErrUnsolicited)
				return
			}
		}
		frame, err := s.next()
		if err != nil {
			s.readFailed(err)
			return
		}
		done = s.deliver(frame, nil)
	}
}

// next reads the next frame.
func (s *sharedConn) next() ([]byte, error) {
	if err := s.awaitFrame(); err != nil {
		return nil, err
	}
	return s.frames.Next()
}

// readFailed ends the connection for the error of a read, unless a write has
// failed before.
func (s *sharedConn) readFailed(err error) {
	s.strange = s.frames.Hint()
	s.mu.Lock()
	if s.broken != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		err = s.broken
	}
	s.mu.Unlock()
	s.fail(err)
}

// meaning is what a frame of the peer's is.
type meaning uint8

const (
	isReply       meaning = iota
	isLate                // the reply to a call that is over
	isPush                // for OnPush
	isPong                // what Heartbeat.Reply knows
	isGoodbye             // Config.Goodbye
	isUnsolicited         // none of these
	isFault               // a function of the user's has panicked
)

// sort tells what a frame is, as far as its bytes say. A function of the user's
// that panics ends the connection.
func (s *sharedConn) sort(frame []byte) (m meaning, number uint64) {
	if !s.async {
		return isReply, 0
	}
	c := s.p.cfg
	if len(c.Goodbye) > 0 && bytes.Equal(frame, c.Goodbye) {
		return isGoodbye, 0
	}
	switch {
	case !s.quick:
		return s.sortByCode(frame)
	case c.Match == nil:
		return s.sortInOrder(frame), 0
	}
	number, ok := s.p.number.Get(frame)
	if !ok {
		return isPush, 0
	}
	return isReply, number
}

// sortInOrder tells whether a frame can be a reply where these come in order.
func (s *sharedConn) sortInOrder(frame []byte) meaning {
	if s.p.cfg.Envelope && envelope.NoReply(frame) {
		return isPush
	}
	return isReply
}

// sortByCode is sort with functions of the user's. One that panics ends the
// connection.
func (s *sharedConn) sortByCode(frame []byte) (m meaning, number uint64) {
	m = isFault
	defer func() {
		if m == isFault {
			s.fail(&PanicError{recover(), debug.Stack()})
		}
	}()
	c := s.p.cfg
	if c.Heartbeat.Reply != nil && c.Heartbeat.Reply(frame) {
		return isPong, 0
	}
	if c.Match == nil {
		return s.sortInOrder(frame), 0
	}
	number, ok := c.Match.Get(frame)
	if !ok {
		return isPush, 0
	}
	return isReply, number
}

// claimLocked takes the call out of the queue that a reply is for. Where there
// is none it tells what the frame is instead.
func (s *sharedConn) claimLocked(number uint64) (*call, meaning) {
	c := s.queue.first
	if s.p.cfg.Match != nil {
		if c = s.numbers.find(number); c == nil {
			if s.numbers.handedOut(number) {
				return nil, isLate
			}
			return nil, isPush
		}
	}
	if c == nil || c.start+uint64(c.size) > s.handed {
		return nil, isUnsolicited // the request has not been written
	}
	s.dequeueLocked(c)
	if c.watched {
		s.readLocked(c)
	}
	s.overtaken = max(s.overtaken, c.start)
	switch {
	case c.beat:
		s.count.beats++
	case c.abandoned:
		s.count.late++
	default:
		s.count.replies++
	}
	return c, isReply
}

// deliver settles the call that a frame is the reply to, and those of the
// frames buffered behind it. own is the call of a lone caller that reads, or
// nil. It returns true if the reader must stop: own has its reply; no other
// call is queued, and the read turn is given up; or the connection has ended.
func (s *sharedConn) deliver(frame []byte, own *call) (stop bool) {
	s.noteHeard()
	m, number := s.sort(frame)
	batch := s.batch
	var err error
	s.mu.Lock()
	first := !s.count.replied()
	for {
		var c *call
		if m == isReply {
			c, m = s.claimLocked(number)
		}
		if m == isLate {
			s.count.late++
		}
		if c == nil {
			break
		}
		batch = append(batch, c)
		if len(batch) == batchMax || !s.quick || len(frame) > batchFrame || c == own || !s.frames.Buffered() {
			break
		}
		s.take(c, frame)
		if frame, err = s.frames.Next(); err != nil {
			break // a malformed one, which counts as buffered
		}
		m, number = s.sort(frame)
	}
	first = first && s.count.replied()
	last := s.queue.len() == 0
	more := !last && s.queue.last.start > s.overtaken // the others are out of turn
	s.mu.Unlock()
	if own == nil {
		s.pace.replied(len(batch), s.born.since(), more)
	}
	if first {
		s.p.replied()
	}
	mine := false
	for i, c := range batch {
		if i == len(batch)-1 && m == isReply && err == nil {
			s.take(c, frame)
		}
		mine = c == own // which ends a batch
		s.finish(c, own)
	}
	clear(batch)
	s.batch = batch[:0]
	if err != nil {
		s.fail(err)
		return true
	}
	if m != isReply && !s.handle(m, frame, own == nil) {
		return true
	}
	if own != nil {
		return mine
	}
	return last && s.yield()
}

// noteHeard notes that a frame has come, where there is a heartbeat.
func (s *sharedConn) noteHeard() {
	if s.p.cfg.Heartbeat.Interval > 0 {
		s.heardAt.Store(int64(s.born.since()))
	}
}

// take copies the reply to where c wants it.
func (s *sharedConn) take(c *call, frame []byte) {
	if c.abandoned {
		return
	}
	c.reply = append(c.dst, frame...)
	if c.number == 0 {
		return
	}
	own := c.reply[len(c.dst):]
	if f := s.p.number; f != nil {
		f.Restore(own, c.old)
		return
	}
	defer func() {
		if v := recover(); v != nil {
			c.err = &Error{Op: "call", Addr: s.addr, Written: true, Err: &PanicError{v, debug.Stack()}}
		}
	}()
	s.p.cfg.Match.Restore(own, c.old)
}

// finish tells the caller of c, unless it is the lone caller that reads.
func (s *sharedConn) finish(c, own *call) {
	switch {
	case c.beat:
		s.p.calls.put(c)
	case c.abandoned:
		s.p.permits.release()
		s.p.calls.put(c)
	case c != own:
		c.finish()
	}
}

// handle does what a frame that is no reply asks for. It returns false if the
// reader must stop. A lone caller does not wait.
func (s *sharedConn) handle(m meaning, frame []byte, wait bool) bool {
	switch {
	case m == isPush && s.pushes != nil:
		return s.push(frame) || wait && s.flushHeld()
	case m == isPush, m == isUnsolicited:
		s.fail(ErrUnsolicited)
	case m == isGoodbye:
		s.fail(ErrGoodbye)
	case m == isLate, m == isPong:
		return true
	}
	return false
}

// yield gives up the read turn of the connection's goroutine if no call is left to
// read for. Where calls are rare, it keeps the turn and watches for the peer's close at
// once: no caller would take the turn before awaitTurn does.
func (s *sharedConn) yield() bool {
	s.mu.Lock()
	if s.queue.len() > 0 {
		s.mu.Unlock()
		return false
	}
	_ = s.frames.Release() // what is left in the buffer now, nobody asked for
	rest := s.nc.Buffered() > 0
	if rest && s.async || !rest && s.rare {
		s.watch = !s.async
		s.mu.Unlock()
		return false
	}
	s.reading = nobody
	s.mu.Unlock()
	if rest {
		s.fail(ErrUnsolicited)
	}
	return true
}

// expecting tells whether a request has been written and has no reply yet.
func (s *sharedConn) expecting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.expectingLocked()
}

func (s *sharedConn) expectingLocked() bool {
	c := s.queue.first
	return c != nil && c.start+uint64(c.size) <= s.handed
}
