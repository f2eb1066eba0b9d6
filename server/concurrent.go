package server

import (
	"context"
	"errors"
	"sync"
)

// ordered answers the requests of one connection concurrently and in order. The
// connection's goroutine reads and hands requests in with take; each is handled on
// a goroutine of its own; and while there are any, one more writes the answers in
// the order of the requests. An idle connection has none of these.
type ordered struct {
	out    frameConn     // the writing goroutine's own view of the connection
	places chan struct{} // one for each request taken and not yet written
	wg     sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	queue   []*request // taken, not yet written, oldest first
	free    []*request // to be used again
	writing bool       // the writing goroutine runs
	waiting bool       // the connection's goroutine waits for the next request
	failed  bool       // the connection is over: write no more
}

// request is one request on its way through ordered.
type request struct {
	req, reply, buf []byte
	err             error
	done            chan struct{} // gets one token when it has been handled
}

// errPanicked is the error of a request whose handler did not return.
var errPanicked = errors.New("server: handler panicked")

func newOrdered(f *frameConn) *ordered {
	return &ordered{out: *f, places: make(chan struct{}, f.h.Concurrency)}
}

// take hands in a request; false if the connection is over.
func (o *ordered) take(ctx context.Context, req []byte) bool {
	o.out.sess.requests.Add(1)
	r := o.blank()
	r.req = append(r.req[:0], req...)
	return o.enqueue(r, func() { o.handle(ctx, r) })
}

// refuse hands in the answer to a request that is not handled.
func (o *ordered) refuse(reply []byte, err error) bool {
	r := o.blank()
	r.reply, r.err = reply, err
	r.done <- struct{}{}
	return o.enqueue(r, nil)
}

// blank is a request to fill in.
func (o *ordered) blank() *request {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := len(o.free)
	if n == 0 {
		return &request{done: make(chan struct{}, 1)}
	}
	r := o.free[n-1]
	o.free = o.free[:n-1]
	return r
}

// enqueue gives r its turn, waiting for a place, and runs handle, if there is one.
func (o *ordered) enqueue(r *request, handle func()) bool {
	o.places <- struct{}{}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failed {
		<-o.places
		return false
	}
	o.queue = append(o.queue, r)
	if handle != nil {
		o.wg.Go(handle)
	}
	if !o.writing {
		o.writing = true
		o.wg.Go(o.write)
	}
	return true
}

// handle runs the handler on one request.
func (o *ordered) handle(ctx context.Context, r *request) {
	r.err = errPanicked // unless it returns: it may also end its goroutine
	defer func() {
		if v := recover(); v != nil {
			o.out.sess.srv.stats.panics.Add(1)
			logPanic(o.out.log(), o.out.conn, v)
		}
		r.done <- struct{}{}
	}()
	r.reply, r.err = o.out.h.respond(ctx, &r.buf, r.req)
}

// write writes the answers until none is outstanding.
func (o *ordered) write() {
	for {
		r := o.next()
		if r == nil {
			if o.flush(); o.rest() {
				return
			}
			continue
		}
		select {
		case <-r.done:
		default:
			o.flush()
			<-r.done
		}
		o.settle(r)
		<-o.places
	}
}

// next takes the oldest request off the queue, nil if there is none.
func (o *ordered) next() *request {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) == 0 {
		return nil
	}
	r := o.queue[0]
	o.queue = append(o.queue[:0], o.queue[1:]...)
	return r
}

// rest ends the writing if nothing has come meanwhile.
func (o *ordered) rest() bool {
	o.mu.Lock()
	if len(o.queue) > 0 {
		o.mu.Unlock()
		return false
	}
	o.writing = false
	o.free = nil // an idle connection holds no buffer
	if o.waiting {
		o.out.sess.note(StateIdle) // before anyone can note that it is not
	}
	o.mu.Unlock()
	o.out.sess.tell()
	return true
}

// settle collects the answer to a request that has been handled.
func (o *ordered) settle(r *request) {
	o.mu.Lock()
	failed := o.failed
	o.mu.Unlock()
	switch {
	case failed:
	case r.err == errPanicked:
		o.out.linger = true
		o.fail()
	case !o.out.answer(r.reply, r.err):
		o.fail()
	}
	r.reply, r.err = nil, nil
	if cap(r.req) <= keepReply {
		o.mu.Lock()
		o.free = append(o.free, r)
		o.mu.Unlock()
	}
}

func (o *ordered) flush() {
	if err := o.out.x.w.Flush(); err != nil {
		o.mu.Lock()
		failed := o.failed
		o.mu.Unlock()
		if !failed {
			o.out.writeFailed(err)
			o.fail()
		}
	}
}

// fail ends the connection: its goroutine is woken to close it.
func (o *ordered) fail() {
	o.mu.Lock()
	o.failed = true
	o.mu.Unlock()
	_ = o.out.conn.SetReadDeadline(aLongTimeAgo)
}

// over reports whether the connection has failed.
func (o *ordered) over() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.failed
}

// wait tells whether the connection's goroutine waits for a request. It returns
// whether requests are in progress.
func (o *ordered) wait(waiting bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting = waiting
	return o.writing
}

// close waits for the requests in progress. It returns whether the peer may still
// be sending.
func (o *ordered) close() bool {
	o.wg.Wait()
	return o.out.linger
}
