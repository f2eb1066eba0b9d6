package engine

import "context"

// A waiter is an Acquire call that is blocked. Its fields are guarded by
// engine.mu until ready has been received from; lease and err are then the
// caller's alone.
type waiter[T any] struct {
	ctx   context.Context
	ready chan struct{} // capacity 1; a token once entry or err is set
	entry *Entry[T]     // what it was given
	err   error         // or why it was not
	dial  *dial[T]      // the dial made for it, if one is in progress

	queued     bool
	prev, next *waiter[T]
}

// finish unblocks a waiter that has left the queue.
func (w *waiter[T]) finish(e *Entry[T], err error) {
	w.entry, w.err = e, err
	w.ready <- struct{}{}
}

// queue holds the waiters in the order in which they came.
type queue[T any] struct {
	head, tail *waiter[T]
	len        int
	owned      int // waiters with a dial of their own
}

func (q *queue[T]) push(w *waiter[T]) {
	w.queued, w.prev = true, q.tail
	if q.tail == nil {
		q.head = w
	} else {
		q.tail.next = w
	}
	q.tail = w
	q.len++
}

// unlink takes w out of the queue and away from its dial.
func (q *queue[T]) unlink(w *waiter[T]) {
	if w.prev == nil {
		q.head = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		q.tail = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next, w.queued = nil, nil, false
	q.len--
	if w.dial != nil {
		q.disown(w.dial)
	}
}

// own makes d the dial of w, so that its failure is w's.
func (q *queue[T]) own(d *dial[T], w *waiter[T]) {
	d.owner, w.dial = w, d
	q.owned++
}

// disown parts d from the waiter it was made for.
func (q *queue[T]) disown(d *dial[T]) {
	if d.owner == nil {
		return
	}
	d.owner.dial, d.owner = nil, nil
	q.owned--
}

// hungry returns the first waiter without a dial, nil if each has one.
func (q *queue[T]) hungry() *waiter[T] {
	if q.owned == q.len {
		return nil
	}
	w := q.head
	for w.dial != nil {
		w = w.next
	}
	return w
}
