package pipeline

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
)

// turn says who may read a link.
type turn uint8

const (
	nobody       turn = iota // nothing is in flight, and it is too soon to watch for the peer's close
	readerCaller             // a lone caller reads its own reply
	readerLoop               // the link's goroutine reads
)

// link is one connection and the calls in flight on it, answered in order.
//
// Two goroutines belong to it: run, which reads, and writeLoop, which run
// waits for. A call that finds nothing else in flight does both itself and
// pays for no switch between goroutines. So reading and writing are turns,
// taken and passed on under mu; what only a turn's holder touches needs no
// lock. Whenever a call is queued somebody holds the read turn, and whenever
// bytes are pending somebody holds the write turn.
type sharedConn struct {
	p      *Pipeline
	nc     *conn.Conn
	addr   string
	id     uint64
	begun  time.Time    // its dial
	load   atomic.Int32 // calls in the queue
	born   time.Time
	opaque bool // a failed Write may count less than what left, and is not resumed
	socket bool // Check asks the kernel; on Unix it does not wait
	ended  chan struct{}
	reads  chan struct{} // capacity 1: wakes run
	writes chan struct{} // capacity 1: wakes writeLoop

	// Of the holder of the read turn.
	frames      *framing.Reader
	ledAt       time.Duration // when a lone call last began, since born
	interrupt   func()        // (*sharedConn).onCancel, made once
	interrupted chan struct{} // capacity 1: onCancel has run

	// mu guards what follows. No I/O and no callback happens under it, but
	// deadlines are set, which does not block.
	mu        sync.Mutex
	err       error // why the link has ended; nil while it lives
	queue     queue
	reading   turn
	writing   bool   // the write turn is taken
	direct    bool   // by a lone caller
	cut       bool   // whose context has ended: the write deadline is set
	parked    bool   // run waits for reads alone, without looking by itself
	pending   []byte // frames nobody has begun to write, the stream's [handed, accepted)
	holes     []hole // of withdrawn calls in pending
	holeBytes int
	spare     []byte // the other buffer, while nobody writes it
	accepted  uint64 // offset after the last frame accepted
	handed    uint64 // offset after the last byte given to a Write
	sent      uint64 // offset after the last byte that left the process
	spareCall *call  // the last lone caller's
	left      int    // abandoned calls in the queue
	armed     bool   // the read deadline is set, to notice a stall
	armedAt   uint64 // bytes read when it was set
	count     counters
}

func newSharedConn(p *Pipeline, nc *conn.Conn) *sharedConn {
	s := &sharedConn{
		p:           p,
		born:        time.Now(),
		nc:          nc,
		ended:       make(chan struct{}),
		reads:       make(chan struct{}, 1),
		writes:      make(chan struct{}, 1),
		frames:      framing.NewReader(nc, p.format),
		interrupted: make(chan struct{}, 1),
		opaque:      opaque(nc.NetConn()),
		socket:      onSocket(nc.NetConn()),
	}
	if addr := nc.RemoteAddr(); addr != nil {
		s.addr = addr.String()
	}
	s.frames.Exclusive = true
	s.interrupt = s.onCancel
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
// errEnded if the link has ended, and with an error of the format if the
// request does not fit it. If lead is true the caller has both turns and must
// call lead, with what it is to write.
func (s *sharedConn) submit(dst, request []byte) (c *call, lead bool, write []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, false, nil, errEnded
	}
	pending, err := s.p.encode.Append(s.pending, request)
	if err != nil {
		return nil, false, nil, err
	}
	if c = s.spareCall; c != nil {
		s.spareCall = nil
		c.dst = dst
	} else {
		c = s.p.calls.get(dst)
	}
	c.start, c.size = s.accepted, len(pending)-len(s.pending)
	s.pending = pending
	s.accepted += uint64(c.size)
	s.queue.push(c)
	s.load.Store(int32(s.queue.len()))
	s.count.calls++

	switch {
	case s.reading != nobody && s.writing:
	case s.reading != nobody:
		s.writing = true
		wake(s.writes)
	case s.writing:
		// Whoever wrote last has been answered but is not back from Write.
		s.reading = readerLoop
		wake(s.reads)
	default:
		s.reading, s.writing, lead = readerCaller, true, true
		if c.size <= directMax && (s.socket || !s.opaque) {
			s.direct = true
			write = s.take()
		}
	}
	return c, lead, write, nil
}

// wait waits for the end of a call that was submitted, or of its context.
// left is true if c stays with the connection, its caller having given up.
func (s *sharedConn) wait(done <-chan struct{}, c *call) (left bool, err error) {
	if done == nil {
		<-c.done
		return false, c.err
	}
	select {
	case <-c.done:
	case <-done:
		if gone, written := s.abandon(c); gone {
			return written, &Error{Op: "call", Addr: s.addr, Written: written, Err: errGaveUp}
		}
		<-c.done // settled at the same moment
	}
	return false, c.err
}

// abandon ends the caller's interest in c. gone is false if c was settled
// already. Otherwise, if c was not written it leaves no trace; if it may have
// been, its place and its permit stay taken until its reply comes.
func (s *sharedConn) abandon(c *call) (gone, written bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.queued {
		return false, false
	}
	s.count.cancelled++
	if c.start >= s.handed {
		s.withdraw(c)
		return true, false
	}
	c.abandoned, c.dst = true, nil
	s.left++
	if s.reading == readerLoop {
		s.arm()
	}
	return true, true
}

// fail ends the link for a cause; the first one stays. Its calls are settled
// by run, once nobody reads or writes any more.
func (s *sharedConn) fail(cause error) {
	s.mu.Lock()
	first := s.err == nil
	if first {
		s.err = cause
	}
	s.mu.Unlock()
	if first {
		s.p.remove(s)
	}
	_ = s.nc.Close()
	wake(s.reads)
}

// settle ends the link's account and then every queued call. Nobody reads or
// writes the connection, so what was sent is known. Where the peer closed a
// connection on which nothing was in flight, as servers do with idle ones, the
// calls that came too late for it are moved to another.
func (s *sharedConn) settle() {
	s.mu.Lock()
	var all []*call
	for s.queue.len() > 0 {
		c := s.queue.pop()
		all = append(all, c)
	}
	s.load.Store(0)
	s.left = 0
	cause, sent, count := s.err, s.sent, s.count
	s.mu.Unlock()

	// Before the calls hear of it: the next call must not dial in vain.
	s.p.connEnded(s, cause, count, len(all) > 0 && !count.replied())
	move := len(all) > 0 && all[0].start >= sent && peerLeft(cause)
	unwritten := &Error{Op: "call", Addr: s.addr, Err: cause}
	written := &Error{Op: "call", Addr: s.addr, Err: cause, Written: true}
	for _, c := range all {
		if c.abandoned {
			s.p.permits.release()
			s.p.calls.put(c)
			continue
		}
		c.err, c.move = unwritten, move
		if c.start < sent {
			c.err = written
		}
		c.finish()
	}
	for _, h := range s.p.hooks.end {
		h.AfterEnd(EndEvent{s.addr, s.id, reasonOf(cause), cause, count.replies})
	}
}

// peerLeft tells whether a connection ended because the peer closed it.
func peerLeft(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, wsaConnReset) || errors.Is(err, wsaConnAborted)
}

// How Windows says that the peer reset the connection: there syscall.ECONNRESET
// is a number that no call returns.
const wsaConnAborted, wsaConnReset = syscall.Errno(10053), syscall.Errno(10054)

// onSocket tells whether there is a socket under nc.
func onSocket(nc net.Conn) bool {
	for nc != nil {
		if _, ok := nc.(syscall.Conn); ok {
			return true
		}
		w, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return false
		}
		nc = w.NetConn()
	}
	return false
}

// opaque tells whether nc may have sent more than its failed Write counts, and
// cannot go on after one: TLS, and whatever else there may be above a socket or
// another connection. It is package conn's rule too.
func opaque(nc net.Conn) bool {
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn:
		return false
	}
	_, layer := nc.(interface{ NetConn() net.Conn })
	_, socket := nc.(syscall.Conn)
	return layer || socket
}

// past is a deadline that ends I/O at once.
var past = time.Unix(1, 0)
