package pipeline

import (
	"context"
	"sync"
	"time"
)

// call is one request on its way. Its owner is the caller, who also owns dst,
// until the caller gives up; then the connection it is queued on.
type call struct {
	// done receives one value when a permit is granted, and one when reply and
	// err are final.
	done  chan struct{}
	dst   []byte
	reply []byte
	err   error
	moves int  // settled without a fault of its own: try another connection, if not so often yet
	left  bool // its place on the connection is taken by another: see expireLocked

	// Guarded by the mutex of the queue's owner: the permits, or the
	// connection it was submitted to.
	prev, next  *call         // in the queue
	queued      bool          // in the queue: nobody has settled it yet
	lone        bool          // its caller reads the connection
	due         due           // when Config.CallTimeout ends it
	start       uint64        // offset of the frame in the connection's stream
	size        int           // bytes of the frame
	number, old uint64        // with Config.Match: in the frame, and what the caller had there
	abandoned   bool          // the caller has left, its reply is to be dropped
	leftAt      time.Time     // when it left
	wrote       time.Duration // the moment when its write began, kept for hooks
	first       time.Duration // the moment when the first byte of its reply was read, likewise
	watched     bool          // hooks are told of it
	beat        bool          // a heartbeat, abandoned from the beginning
}

func makeCall() any { return &call{done: make(chan struct{}, 1)} }

// callPool keeps calls that have ended for others.
type callPool struct{ sync.Pool }

func (p *callPool) get(dst []byte) *call {
	c := p.Get().(*call)
	c.dst = dst
	return c
}

// put gives c back; nobody may hold it any more, and done must be empty.
func (p *callPool) put(c *call) {
	*c = call{done: c.done}
	p.Put(c)
}

// finish tells the caller what it waits for.
func (c *call) finish() { c.done <- struct{}{} }

// queue is a first-in-first-out list that any call can leave at once.
type queue struct {
	first, last *call
	n           int
}

func (q *queue) len() int { return q.n }

func (q *queue) push(c *call) {
	c.prev, c.next, c.queued = q.last, nil, true
	if q.last != nil {
		q.last.next = c
	} else {
		q.first = c
	}
	q.last = c
	q.n++
}

// pop takes out the oldest call.
func (q *queue) pop() *call {
	c := q.first
	q.remove(c)
	return c
}

// remove takes out a call that is in the queue.
func (q *queue) remove(c *call) {
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		q.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		q.last = c.prev
	}
	c.prev, c.next, c.queued = nil, nil, false
	q.n--
}

// replace puts d, which is in no queue, in the place of c, which is in this one.
func (q *queue) replace(c, d *call) {
	d.start, d.size, d.number, d.old, d.wrote = c.start, c.size, c.number, c.old, c.wrote
	d.prev, d.next, d.queued = c.prev, c.next, true
	if c.prev != nil {
		c.prev.next = d
	} else {
		q.first = d
	}
	if c.next != nil {
		c.next.prev = d
	} else {
		q.last = d
	}
	c.prev, c.next, c.queued = nil, nil, false
}

// onEnd is context.AfterFunc, for any context: if that of a user panics, which
// it can only when it has ended, f runs here.
func onEnd(ctx context.Context, f func()) (stop func() bool) {
	defer func() {
		if stop == nil {
			_ = recover() // the caller meets it again when it asks for the error
			f()
			stop = func() bool { return false }
		}
	}()
	return context.AfterFunc(ctx, f)
}
