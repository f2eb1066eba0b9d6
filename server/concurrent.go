package server

import (
	"context"
	"errors"
	"sync"
	"time"
)

// concurrent handles the requests of one connection on several goroutines. The
// connection's goroutine reads, and hands requests in with take. Workers handle
// them, the oldest first: each begins the next one when it has done with one, so
// requests that are quick to handle are handled by few goroutines. A worker that is
// about to handle one of several begins another worker first, unless one has been
// begun that does not run yet; so while handlers block, every request gets a
// goroutine. One goroutine at a time writes the replies that have their turn. An idle connection
// has none of these goroutines.
type concurrent struct {
	ctx context.Context // of the handlers
	out frameConn       // the writer's own view of the connection

	wg sync.WaitGroup // of workers and the writer

	mu      sync.Mutex // guards the fields below; taken with Server.mu held by Stat
	room    sync.Cond  // the reader waits for room here
	todo    fifo       // read, not begun
	replies fifo       // in order: all that are not written; else: those to write
	taken   int        // requests read whose reply is not written
	held    int        // bytes of their replies
	workers int        // goroutines that handle, or are about to
	begun   bool       // one of them does not run yet
	writing bool       // somebody writes replies, or is about to
	waiting bool       // the reader waits for the next request
	failed  bool       // the connection is over: begin and write no more
}

// request is one request on its way through concurrent.
type request struct {
	req, reply, buf []byte
	err             error
	o               *observed // nil if nobody observes it
	arrived         time.Time // noted where there is a Deadline
	opened                    // with Envelope; else the request as it is
	done            bool      // handled; guarded by concurrent.mu
}

// fifo is a queue that keeps no pointer to what has left it.
type fifo struct {
	all  []*request
	from int // index of the oldest
}

func (q *fifo) len() int { return len(q.all) - q.from }

func (q *fifo) push(r *request) {
	if q.from > 0 && len(q.all) == cap(q.all) {
		n := copy(q.all, q.all[q.from:])
		clear(q.all[n:])
		q.all, q.from = q.all[:n], 0
	}
	q.all = append(q.all, r)
}

func (q *fifo) oldest() *request {
	if q.len() == 0 {
		return nil
	}
	return q.all[q.from]
}

func (q *fifo) pop() *request {
	r := q.oldest()
	if r == nil {
		return nil
	}
	q.all[q.from] = nil
	if q.from++; q.from == len(q.all) {
		q.all, q.from = q.all[:0], 0
	}
	return r
}

// errPanicked is the error of a request whose handler did not return.
var errPanicked = errors.New("server: handler panicked")

func newConcurrent(f *frameConn) *concurrent {
	c := &concurrent{ctx: f.ctx, out: *f}
	c.room.L = &c.mu
	f.sess.makeExtra().many.Store(c)
	return c
}

// take hands in a request, waiting for room. It returns ErrNoReply, since somebody
// else replies, or errGone if the connection is over. Any other error is that of an
// envelope.
func (c *concurrent) take(req []byte) error {
	c.out.sess.requests.Add(1)
	r, _ := c.out.h.requests.Get().(*request)
	if r == nil {
		r = new(request)
	}
	r.req = append(r.req[:0], req...)
	r.opened = opened{ctx: c.ctx, payload: r.req}
	if c.out.h.Envelope {
		var err error
		if r.opened, err = openRequest(c.ctx, c.out.x.filled, r.req); err != nil {
			return err
		}
	}
	r.o = c.out.x.observe(r.ctx, len(r.payload))
	r.arrived = c.out.x.filled
	if !c.enqueue(r) {
		return errGone
	}
	return ErrNoReply
}

// refuse hands in the reply to a request that is not handled.
func (c *concurrent) refuse(o *observed, reply []byte, err error) bool {
	return c.enqueue(&request{o: o, reply: reply, err: err, done: true})
}

func (c *concurrent) enqueue(r *request) bool {
	h := c.out.h
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.failed && (c.taken >= h.Concurrency || c.held >= h.mostHeld()) {
		c.room.Wait()
	}
	if c.failed {
		return false
	}
	c.taken++
	if !h.Unordered || r.done {
		c.replies.push(r)
	}
	if r.done {
		c.held += len(r.reply)
		c.beginWriterLocked()
		return true
	}
	c.todo.push(r)
	c.beginWorkerLocked()
	return true
}

// mayHandleLocked reports whether the oldest request that has not been begun may
// be. Above the bound on replies that wait it may not, unless those wait for it: the
// writer begins a worker once it is below.
func (c *concurrent) mayHandleLocked() bool {
	r := c.todo.oldest()
	return r != nil && !c.failed && (c.held < c.out.h.mostHeld() || r == c.replies.oldest())
}

// beginWorkerLocked begins a worker if there is a request for it and none is about
// to run.
func (c *concurrent) beginWorkerLocked() {
	if c.begun || c.workers >= c.out.h.Concurrency || !c.mayHandleLocked() {
		return
	}
	c.begun = true
	c.workers++
	c.wg.Go(c.work)
}

// beginWriterLocked begins the writer if there is a reply for it and none runs.
func (c *concurrent) beginWriterLocked() {
	if !c.writing && c.writableLocked() != nil {
		c.writing = true
		c.wg.Go(c.write)
	}
}

// writableLocked is the request whose reply has its turn, nil if there is none.
func (c *concurrent) writableLocked() *request {
	if r := c.replies.oldest(); r != nil && r.done {
		return r
	}
	return nil
}

// work handles requests until none is left.
func (c *concurrent) work() {
	c.mu.Lock()
	c.begun = false
	defer func() { // with mu held; also where a handler ended the goroutine
		c.workers--
		c.mu.Unlock()
	}()
	for c.mayHandleLocked() {
		r := c.todo.pop()
		c.beginWorkerLocked()
		c.handle(r)
		if c.todo.len() == 0 && !c.writing && c.writableLocked() != nil {
			c.writing = true // with nothing else to do, this goroutine is the writer
			c.workers--
			c.mu.Unlock()
			c.write()
			c.mu.Lock()
			c.workers++
		} else {
			c.beginWriterLocked()
		}
	}
}

// handle runs the handler on one request. It is called, and ends, with mu held.
func (c *concurrent) handle(r *request) {
	c.mu.Unlock()
	returned := false
	defer func() { // a handler may also end its goroutine
		if !returned {
			if v := recover(); v != nil {
				c.out.sess.srv.panicked(c.out.sess, v)
			}
			r.reply, r.err = nil, errPanicked
		}
		c.mu.Lock()
		r.done = true
		c.held += len(r.reply)
		if c.out.h.Unordered {
			c.replies.push(r)
		}
		if !returned {
			c.beginWriterLocked()
		}
	}()
	if c.out.sess.dropRequests.Load() {
		r.reply, r.err = nil, errGone
	} else {
		r.reply, r.err = c.out.h.handleTaken(r)
	}
	returned = true
}

// write writes replies until none has its turn.
func (c *concurrent) write() {
	for {
		c.mu.Lock()
		r := c.writableLocked()
		if r == nil && c.out.x.w.Buffered() == 0 && len(c.out.x.observed) == 0 || c.failed {
			c.restLocked()
			return
		}
		if r != nil {
			c.replies.pop()
		}
		c.mu.Unlock()
		if r == nil {
			c.flush()
			continue
		}
		n := len(r.reply)
		c.settle(r)
		c.mu.Lock()
		c.taken--
		c.held -= n
		c.beginWorkerLocked()
		c.room.Signal()
		c.mu.Unlock()
	}
}

// restLocked ends the writing, and unlocks mu.
func (c *concurrent) restLocked() {
	c.writing = false
	sess := c.out.sess
	idle := c.waiting && c.taken == 0
	if idle {
		sess.note(StateIdle) // before anyone can note that it is not
		sess.idles(c.out.h)
	}
	c.mu.Unlock()
	if idle {
		sess.tell()
	}
}

// settle collects the reply to a request that has been handled.
func (c *concurrent) settle(r *request) {
	switch {
	case r.err == errGone:
		c.fail()
	case r.err == errPanicked:
		c.out.linger = true
		c.fail()
	case !c.out.reply(r.reply, r.err):
		c.fail()
	}
	if r.o != nil {
		c.out.x.observed = append(c.out.x.observed, r.o)
	}
	r.reply, r.err, r.done, r.o, r.opened = nil, nil, false, nil, opened{}
	if cap(r.req) <= keepReply {
		c.out.h.requests.Put(r)
	}
}

func (c *concurrent) flush() {
	if err := c.out.x.w.Flush(); err != nil {
		c.out.writeFailed(err)
		c.fail()
		return
	}
	c.out.report(true)
}

// fail ends the connection: its goroutine is woken to close it.
func (c *concurrent) fail() {
	c.mu.Lock()
	c.failed = true
	c.room.Signal()
	c.mu.Unlock()
	_ = c.out.conn.SetReadDeadline(aLongTimeAgo)
}

// over reports whether the connection has failed.
func (c *concurrent) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}

// wait tells whether the reader waits for a request. It returns whether requests
// are in progress.
func (c *concurrent) wait(waiting bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = waiting
	return c.taken > 0 || c.writing
}

// forget has a request reported whose reply is not written.
func (c *concurrent) forget(r *request) {
	if r.o != nil {
		c.out.x.observed = append(c.out.x.observed, r.o)
		r.o.silent = true
	}
}

// close waits for the requests in progress, and takes over how the connection is to
// be closed.
func (c *concurrent) close(f *frameConn) {
	c.wg.Wait()
	for r := c.replies.pop(); r != nil; r = c.replies.pop() {
		c.forget(r)
	}
	for r := c.todo.pop(); r != nil; r = c.todo.pop() {
		if c.out.h.Unordered { // else it was among the replies
			c.forget(r)
		}
	}
	f.linger = f.linger || c.out.linger
	f.stuck = c.out.stuck              // nobody else writes
	f.drained = f.drained && !c.over() // else requests that were handled have no reply
}
