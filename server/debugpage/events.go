package debugpage

import (
	"container/list"
	"fmt"
	"sync"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// failureKey is what failures that are listed as one have in common.
type failureKey struct{ source, what, addr, kind string }

// failure is an error, and all that were like it.
type failure struct {
	failureKey
	first, last time.Time
	count       uint64
	err         error         // the last one; nil if there was none
	took        time.Duration // the last one
	note        string        // of the last one
}

// phase is a part of the time of a call.
type phase struct {
	name string
	took time.Duration
}

// maxPhases is how many a call can have.
const maxPhases = 6

// slowCall is a call that took long.
type slowCall struct {
	source, what, addr string
	end                time.Time
	took               time.Duration
	phases             [maxPhases]phase
	attempts           int
	out, in            int // bytes
	kind               string
}

// events keeps what the hooks have seen: the failures, those that are alike as
// one, and the last slow calls of each source. Both are bounded.
type events struct {
	mu       sync.Mutex // guards what follows; nothing of a user's runs under it
	failures map[failureKey]*list.Element
	order    list.List        // of *failure, the last seen first
	slow     map[string]*ring // by source: a burst of one hides no other
}

// ring has the last slow calls of a source.
type ring struct {
	calls  []slowCall
	oldest int // the next to be overwritten, once the ring is full
}

// fail notes a failure. The error is kept and its text is not made here: under a
// storm of errors that would cost more than all the rest.
func (e *events) fail(max int, f failure) {
	if f.kind == "" {
		f.kind = conn.KindOf(f.err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if at, ok := e.failures[f.failureKey]; ok {
		known := at.Value.(*failure)
		known.count++
		known.last, known.err, known.took, known.note = f.last, f.err, f.took, f.note
		e.order.MoveToFront(at)
		return
	}
	if e.failures == nil {
		e.failures = map[failureKey]*list.Element{}
	}
	f.first, f.count = f.last, 1
	e.failures[f.failureKey] = e.order.PushFront(&f)
	if e.order.Len() > max {
		last := e.order.Back()
		delete(e.failures, last.Value.(*failure).failureKey)
		e.order.Remove(last)
	}
}

// slower notes a slow call.
func (e *events) slower(max int, s slowCall) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.slow[s.source]
	if r == nil {
		r = &ring{}
		if e.slow == nil {
			e.slow = map[string]*ring{}
		}
		e.slow[s.source] = r
	}
	if len(r.calls) < max {
		r.calls = append(r.calls, s)
		return
	}
	r.calls[r.oldest] = s
	r.oldest = (r.oldest + 1) % len(r.calls)
}

// snapshot returns copies.
func (e *events) snapshot() (failures []failure, slow []slowCall) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for at := e.order.Front(); at != nil; at = at.Next() {
		failures = append(failures, *at.Value.(*failure))
	}
	for _, r := range e.slow {
		slow = append(slow, r.calls...)
	}
	return failures, slow
}

// errorText is what the page says of an error. What handlers and servers of the
// application return can hold data of theirs, so only its type is told.
func (p *Page) errorText(what string, err error) (s string) {
	if err == nil {
		return ""
	}
	defer func() { // an Error method of the user's
		if v := recover(); v != nil {
			s = fmt.Sprintf("%T, whose text cannot be had", err)
		}
	}()
	switch {
	case p.ErrorText != nil:
		s = p.ErrorText(err)
	case what == whatRequest || conn.KindOf(err) == conn.KindApplication:
		s = fmt.Sprintf("%T", err)
	default:
		s = err.Error()
	}
	return clean(s, maxText)
}
