package pipeline

import (
	"context"
	"io"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/contain"
)

// turn says who may read a connection.
type turn uint8

const (
	nobody       turn = iota // nothing is in flight, and it is too soon to watch for the peer's close
	readerCaller             // a lone caller reads its own reply
	readerLoop               // the connection's goroutine reads
)

// sharedConn is one connection and the calls in flight on it.
//
// One goroutine belongs to it while it is quiet: run, which reads. writeLoop is there
// while there is much to write, and tend runs when its timer fires; run waits for both.
// With Config.OnPush there is pushLoop too. A call that finds
// nothing else in flight writes and reads by itself and pays for no switch
// between goroutines. So reading and writing are turns, taken and passed on
// under mu; what only a turn's holder touches needs no lock. Whenever a call is
// queued somebody holds the read turn, and whenever bytes are pending somebody
// holds the write turn.
type sharedConn struct {
	p        *Pipeline
	nc       *conn.Conn
	addr     string
	id       uint64
	begun    time.Time       // its dial
	ready    time.Time       // when calls could use it
	born     stamp           // begun too, by both clocks
	load     atomic.Int32    // calls in the queue
	watched  atomic.Int32    // calls in the queue that hooks are told of: times are taken for them
	suspect  atomic.Bool     // silent for too long: calls go elsewhere if they can
	heardAt  atomic.Int64    // when a frame last came, since born; kept where there is a heartbeat
	usedSeen atomic.Int64    // when tend last saw a call, by the wall clock
	lifetime time.Duration   // zero: without a limit
	opaque   bool            // a failed Write may count less than what left, and is not resumed
	socket   bool            // Check asks the kernel; on Unix it does not wait
	async    bool            // frames may come that are no replies
	quick    bool            // sorting frames takes no function of the user's
	reads    chan struct{}   // capacity 1: wakes run
	pushes   chan []byte     // to pushLoop, nil without
	ctx      context.Context // for pushLoop: ends when the connection does
	cancel   context.CancelFunc
	own      sync.WaitGroup // writeLoop and tend; none begins once err is set

	pace   pace // of its replies
	tender tender

	// Of the holder of the read turn.
	frames      *framing.Reader
	strange     string        // what bytes look like that are no frame
	batch       []*call       // empty, with room
	watch       bool          // the next read watches for the peer's close
	tick        *time.Timer   // of awaitTurn, nil while the connection is quiet
	held        []byte        // a push that waits for room in pushes
	readAt      time.Duration // the moment when the first byte of the frame was read, kept for hooks
	recent      bool          // the lone caller's call began shortly after another
	interrupt   func()        // (*sharedConn).onCancel, made once
	interrupted chan struct{} // capacity 1: onCancel has run; made with it

	// mu guards what follows. No I/O happens under it and no callback but
	// Matcher.Put; deadlines are set, which does not block.
	mu        sync.Mutex
	err       error   // why the connection has ended; nil while it lives
	broken    error   // of a write, while the peer's last words are read
	leaving   error   // why it takes no new calls, and ends after the last one
	queue     queue   // the calls without a reply, in the order of their requests
	numbers   numbers // of those calls, with Config.Match
	reading   turn
	writing   bool          // the write turn is taken
	direct    bool          // by a lone caller
	cut       bool          // whose time is over: the write deadline is set
	late      bool          // CallTimeout has passed for the lone caller: the read deadline is set
	parked    bool          // run waits for reads alone, without looking by itself
	rare      bool          // the last call that found nothing in flight was the first for watchAfter
	writes    chan struct{} // capacity 1: wakes writeLoop; made with the first
	writer    bool          // writeLoop runs
	handedOn  bool          // and has been given the write turn
	timer     *time.Timer   // calls tend; nil until run begins
	lookAt    time.Duration // when it fires, by the monotonic clock of stamps; where asleep
	tending   bool          // tend is at work
	again     bool          // and is to look once more
	asleep    bool          // tend does not look at calls
	usedAt    stamp         // when a call last found nothing in flight
	pending   []byte        // frames nobody has begun to write, the stream's [handed, accepted)
	holes     []hole        // of withdrawn calls in pending
	holeBytes int
	spare     []byte // the other buffer, while nobody writes it
	accepted  uint64 // offset after the last frame accepted
	handed    uint64 // offset after the last byte given to a Write
	sent      uint64 // offset after the last byte that left the process
	overtaken uint64 // start of the latest request that has had its reply
	spareCall *call  // the last lone caller's
	left      int    // abandoned calls in the queue, heartbeats included
	beats     int    // heartbeats in the queue
	count     counters
}

func newSharedConn(p *Pipeline, nc *conn.Conn) *sharedConn {
	c := p.cfg
	s := &sharedConn{
		p:        p,
		born:     p.clock(),
		nc:       nc,
		reads:    make(chan struct{}, 1),
		usedAt:   p.clock(),
		frames:   framing.NewReader(nc, p.format),
		opaque:   opaque(nc.NetConn()),
		socket:   onSocket(nc.NetConn()),
		lifetime: c.lifetime(),
		tender:   newTender(p.clock()),
		async:    c.Match != nil || len(c.Goodbye) > 0 || c.Envelope || c.Heartbeat.Reply != nil,
		quick:    (c.Match == nil || p.number != nil) && c.Heartbeat.Reply == nil,
	}
	if c.OnPush != nil {
		s.pushes = make(chan []byte, pushQueue)
		s.ctx, s.cancel = context.WithCancel(context.Background())
	}
	if c.Match != nil {
		s.numbers.max = c.Match.Max()
	}
	if addr := nc.RemoteAddr(); addr != nil {
		s.addr = addr.String()
	}
	s.frames.Exclusive = true
	return s
}

// wake leaves a token in a channel of capacity 1.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// submit appends the request to the stream and returns its call. It fails with
// errEnded if the connection takes no calls any more, and with an error of the
// format if the request does not fit it. If inline is true the caller has both
// turns and must call inlineCall, with what it is to write.
func (s *sharedConn) submit(dst, request []byte, due due, watched bool) (c *call, inline bool, write []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.endedLocked() || s.leaving != nil {
		return nil, false, nil, errEnded
	}
	if s.queue.len() == 0 {
		now := s.p.clock()
		if s.outlivedLocked(now) {
			return nil, false, nil, errEnded
		}
		since := now.mono - s.usedAt.mono
		s.recent, s.rare = since < probeAfter, since >= watchAfter
		s.usedAt = now
		if s.asleep {
			s.asleep = false
			s.lookWithinLocked(now, s.p.often)
		}
	}
	if c, err = s.acceptLocked(dst, request); err != nil {
		return nil, false, nil, err
	}
	s.count.calls++
	c.due = due
	if watched {
		c.watched = true
		s.watched.Add(1)
	}
	switch {
	case s.reading != nobody && s.writing:
	case s.reading != nobody:
		s.wantWriteLocked()
	case s.writing:
		// Whoever wrote last has its reply but is not back from Write.
		s.reading = readerLoop
		wake(s.reads)
	default:
		s.reading, s.writing, inline = readerCaller, true, true
		c.lone = true
		if c.size <= directMax && (s.socket || !s.opaque) {
			s.direct = true
			write = s.takeLocked()
		}
	}
	return c, inline, write, nil
}

// endedLocked tells whether the connection can no longer be written.
func (s *sharedConn) endedLocked() bool { return s.err != nil || s.broken != nil }

// acceptLocked appends the request to the stream and its call to the queue. It
// leaves the turns to its caller.
func (s *sharedConn) acceptLocked(dst, request []byte) (c *call, err error) {
	pending, err := s.p.encode.Append(s.pending, request)
	if err != nil {
		return nil, err
	}
	var number, old uint64
	if m := s.p.cfg.Match; m != nil {
		number = s.numbers.next()
		own := pending[len(pending)-len(request):]
		if f := s.p.number; f == nil {
			old, err = s.putByCode(m, own, number)
		} else if n, ok := f.Put(own, number); ok {
			old = n
		} else {
			err = ErrNoNumber
		}
		if err != nil {
			return nil, &Error{Op: "call", Addr: s.addr, Err: err}
		}
	}
	if c = s.spareCall; c != nil {
		s.spareCall = nil
		c.dst = dst
	} else {
		c = s.p.calls.get(dst)
	}
	if number != 0 {
		c.old = old
		s.numbers.put(c, number)
	}
	c.start, c.size = s.accepted, len(pending)-len(s.pending)
	s.pending = pending
	s.accepted += uint64(c.size)
	s.queue.push(c)
	s.load.Store(int32(s.queue.len()))
	return c, nil
}

// putByCode is Put of a user's Matcher. A panic in it is the error of its call.
func (s *sharedConn) putByCode(m Matcher, request []byte, number uint64) (old uint64, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{v, debug.Stack()}
		}
	}()
	old, ok := m.Put(request, number)
	if !ok {
		return 0, ErrNoNumber
	}
	return old, nil
}

// dequeueLocked takes a call out of the queue.
func (s *sharedConn) dequeueLocked(c *call) {
	s.queue.remove(c)
	s.load.Store(int32(s.queue.len()))
	if c.number != 0 {
		s.numbers.free(c)
	}
	if c.abandoned {
		s.left--
	}
	if c.beat {
		s.beats--
	}
	if c.watched {
		s.watched.Add(-1)
	}
	if s.leaving != nil && s.queue.len() == s.left {
		s.lookLocked() // tend ends the connection
	}
}

// outlivedLocked notices, for a call that finds nothing in flight, that the
// machine was suspended since the last one and that the connection's time is
// over: its server has closed it long ago.
func (s *sharedConn) outlivedLocked(now stamp) bool {
	if !now.jumped(s.usedAt) {
		return false
	}
	c := s.p.cfg
	switch {
	case c.MaxLifetime > 0 && now.age(s.born) >= c.MaxLifetime:
		s.leaving = errExpired
	case c.MaxIdleTime > 0 && now.age(s.usedAt) >= c.MaxIdleTime:
		s.leaving = errIdle
	default:
		return false
	}
	s.lookLocked() // tend ends the connection
	return true
}

// fail ends the connection for a cause; the first one stays. Its calls are
// settled by run, once nobody reads or writes any more.
func (s *sharedConn) fail(cause error) {
	s.mu.Lock()
	first := s.err == nil
	if first {
		s.err = cause
	}
	s.mu.Unlock()
	if first {
		s.p.remove(s)
		if s.cancel != nil {
			s.cancel()
		}
	}
	_ = s.nc.Close()
	wake(s.reads)
}

// retire lets the connection take no new calls, and end for the cause after the
// last of those in flight.
func (s *sharedConn) retire(cause error) {
	s.mu.Lock()
	if s.leaving == nil {
		s.leaving = cause
	}
	s.mu.Unlock()
	s.p.remove(s)
	s.look()
}

// settle ends the connection's account and then every queued call. Nobody reads
// or writes it any more, so what was sent is known. Calls that the peer has not
// handled, as far as is known, are moved to another connection: where it said
// so, and where it closed one on which nothing was in flight, as servers do
// with idle ones.
func (s *sharedConn) settle() {
	s.mu.Lock()
	var all []*call
	for s.queue.len() > 0 {
		all = append(all, s.queue.pop())
	}
	s.load.Store(0)
	s.left, s.beats = 0, 0
	s.count.read, s.count.written = s.nc.BytesRead(), s.nc.BytesWritten()
	cause, sent, count := s.err, s.sent, s.count
	s.mu.Unlock()

	// Before the calls hear of it: the next call must not dial in vain.
	s.p.connEnded(s, cause, count, len(all) > 0 && !count.replied())
	unhandled := s.p.sayUnhandled(cause)
	idle := len(all) > 0 && all[0].start >= sent && (peerLeft(cause) || isRetirement(cause))
	moves := 0
	switch {
	case unhandled:
		moves = s.p.cfg.MaxConns + 1 // the other connections may be of the same server
	case idle:
		moves = 1
	}
	unwritten := &Error{Op: "call", Addr: s.addr, Err: cause}
	written := &Error{Op: "call", Addr: s.addr, Err: cause, Written: true, Unhandled: unhandled, hint: s.hint(cause, count)}
	for _, c := range all {
		switch {
		case c.beat:
			s.p.calls.put(c)
			continue
		case c.abandoned:
			s.p.permits.release()
			s.p.calls.put(c)
			continue
		}
		c.err, c.moves = unwritten, moves
		if c.start < sent {
			c.err = written
		}
		c.finish()
	}
	for _, h := range s.p.hooks.end {
		contain.Log("AfterEnd of a hook", func() {
			h.AfterEnd(EndEvent{
				Addr: s.addr, ID: s.id, Reason: reasonOf(cause), Cause: cause, CreatedAt: s.begun,
				Calls: count.calls, Replies: count.replies,
				BytesRead: s.nc.BytesRead(), BytesWritten: s.nc.BytesWritten(),
			})
		})
	}
}

// noReply is what to check where a peer closes a connection without any reply.
const noReply = "no reply on a new connection: if this is always so, check the address, TLS, the Format and Envelope of both sides"

// hint says what may be wrong on one of the two sides, if it looks so.
func (s *sharedConn) hint(cause error, count counters) string {
	switch {
	case cause == io.ErrUnexpectedEOF:
		return s.strange
	case cause == io.EOF && !count.replied():
		return noReply
	}
	return ""
}

// aLongTimeAgo is a deadline that ends I/O at once.
var aLongTimeAgo = time.Unix(1, 0)
