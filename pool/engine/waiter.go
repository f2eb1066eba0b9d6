package engine

import (
	"context"
	"time"
)

// A waiter is an Acquire call that is blocked. Its fields are guarded by
// engine.mu until ready has been received from; entry and err are then the
// caller's alone.
type waiter[T any] struct {
	ctx      context.Context // for its values; nothing else of it is called
	done     <-chan struct{} // closed when the context ends
	since    time.Duration   // on the engine's clock
	deadline time.Duration   // the same; the largest if there is none, or no policy asks

	ready chan struct{} // capacity 1; a token once entry or err is set
	entry *Entry[T]     // what it was given
	err   error         // or why it was not
	dial  *dial[T]      // the dial made for it, if one is in progress

	queued bool
	room   bool       // it came while there was room to dial: nobody holds it up
	links  [2]link[T] // of the lists it may be in
}

// ended reports whether its context has.
func (w *waiter[T]) ended() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

// finish unblocks a waiter that has left the queue.
func (w *waiter[T]) finish(e *Entry[T], err error) {
	w.entry, w.err = e, err
	w.ready <- struct{}{}
}

// queue holds the waiters.
type queue[T any] struct {
	all      list[T] // in the order in which they came
	needDial list[T] // those without a dial
}

func newQueue[T any]() queue[T] { return queue[T]{needDial: list[T]{link: 1}} }

func (q *queue[T]) push(w *waiter[T]) {
	w.queued = true
	q.all.insert(w, q.all.tail)
	q.needDial.insert(w, q.needDial.tail)
}

// unlink takes w out of the queue. It must have no dial.
func (q *queue[T]) unlink(w *waiter[T]) {
	q.needDial.remove(w)
	q.all.remove(w)
	w.queued = false
}

// own makes d the dial of w, so that its failure is w's.
func (q *queue[T]) own(d *dial[T], w *waiter[T]) {
	d.owner, w.dial = w, d
	q.needDial.remove(w)
}

// disown parts d from the waiter it was made for, which comes first when
// there is room for another.
func (q *queue[T]) disown(d *dial[T]) {
	w := d.owner
	if w == nil {
		return
	}
	d.owner, w.dial = nil, nil
	q.needDial.insert(w, nil)
}

// list is a list of waiters, linked in both directions.
type list[T any] struct {
	head, tail *waiter[T]
	len        int
	link       int // which of the waiter's links is this list's
}

type link[T any] struct{ prev, next *waiter[T] }

// insert puts w behind prev, or first if that is nil.
func (l *list[T]) insert(w, prev *waiter[T]) {
	next := l.head
	if prev != nil {
		next = prev.links[l.link].next
	}
	w.links[l.link] = link[T]{prev, next}
	l.join(prev, w)
	l.join(w, next)
	l.len++
}

// remove takes out w, which must be in the list.
func (l *list[T]) remove(w *waiter[T]) {
	at := w.links[l.link]
	w.links[l.link] = link[T]{}
	l.join(at.prev, at.next)
	l.len--
}

// join makes b follow a; nil stands for the ends.
func (l *list[T]) join(a, b *waiter[T]) {
	if a == nil {
		l.head = b
	} else {
		a.links[l.link].next = b
	}
	if b == nil {
		l.tail = a
	} else {
		b.links[l.link].prev = a
	}
}
