package pooltest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// Resource is what the suite has backends keep.
type Resource struct {
	// ID counts up from 1 in the order in which New returned.
	ID int

	gen    int          // clears begun when its dial began
	caller any          // value of callerKey in the dial's context
	owner  atomic.Int64 // who has it; 0: nobody
	closed atomic.Int64 // calls of Close
	ended  atomic.Bool  // by the suite's own wish: a discard, a sweep
	touch  int          // written by owners without a lock, for the race detector
}

type keyType struct{}

// callerKey finds, in a dial's context, who the dial was made for.
var callerKey keyType

// world is a backend with the suite around it, which sees everything that is
// made, acquired, returned and closed, and reports what must not be.
type world struct {
	t      testing.TB
	b      backend.Backend[*Resource]
	limits backend.Limits

	// ctx is the parent of all contexts; cancel sets free who is blocked.
	ctx    context.Context
	cancel context.CancelFunc

	// What New does before it succeeds, by the number of the call, from 1,
	// and what Close does. Set before use.
	dial    func(ctx context.Context, n int) error
	closing func(r *Resource)
	// forced is set when a Lease may be cut short.
	forced atomic.Bool
	// loose is set when Max is not for the suite to check (Resize).
	loose atomic.Bool

	owners atomic.Int64 // the last owner's number

	mu      sync.Mutex // guards what follows
	dials   int        // calls of New
	made    []*Resource
	gen     int         // clears begun
	cleared int         // clears that have returned
	count   map[int]int // open and dialing, by gen
	leases  []backend.Lease[*Resource]
	calls   []*call
}

func newWorld(t testing.TB, open backend.OpenFunc[*Resource], l backend.Limits) *world {
	t.Helper()
	w := &world{t: t, limits: l, count: make(map[int]int)}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	b, err := open(backend.Factory[*Resource]{New: w.make, Close: w.close}, l)
	if err != nil {
		if errors.Is(err, errors.ErrUnsupported) {
			t.Skipf("not supported: %v", err)
		}
		t.Fatalf("Open(%+v): %v", l, err)
	}
	w.b = b
	return w
}

// failf reports a broken promise and ends the case.
func (w *world) failf(format string, args ...any) {
	w.t.Helper()
	w.t.Errorf(format, args...)
	w.t.FailNow()
}

// check is failf unless ok.
func (w *world) check(ok bool, format string, args ...any) {
	w.t.Helper()
	if !ok {
		w.failf(format, args...)
	}
}

// make is Factory.New.
func (w *world) make(ctx context.Context) (_ *Resource, err error) {
	if _, ok := ctx.Deadline(); !ok {
		w.t.Error("New: the context has no deadline")
	}
	w.mu.Lock()
	w.dials++
	n, gen := w.dials, w.gen
	if w.cleared < w.gen || ctx.Err() != nil { // given up by a Clear before it got here
		gen = inClear
	}
	w.count[gen]++
	w.checkMax(gen)
	w.mu.Unlock()
	made := false
	defer func() { // even if the script panics
		if !made {
			w.mu.Lock()
			w.count[gen]--
			w.mu.Unlock()
		}
	}()
	if w.dial != nil {
		if err := w.dial(ctx, n); err != nil {
			return nil, err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	made = true
	r := &Resource{ID: len(w.made) + 1, gen: gen, caller: ctx.Value(callerKey)}
	w.made = append(w.made, r)
	return r, nil
}

// inClear is the gen of what is made while a Clear is in progress: it may or
// may not be older.
const inClear = math.MaxInt

// checkMax compares what is open and being dialed with Max. What is, or may
// be, older than the last Clear is not counted: when the backend ended it
// cannot be seen.
func (w *world) checkMax(gen int) {
	if n := w.count[gen]; gen != inClear && w.limits.Max > 0 && n > w.limits.Max && !w.loose.Load() {
		w.t.Errorf("%d resources are open or being dialed, Max is %d", n, w.limits.Max)
	}
}

// end takes r out of the count, once.
func (w *world) end(r *Resource) {
	if r.ended.CompareAndSwap(false, true) {
		w.mu.Lock()
		w.count[r.gen]--
		w.mu.Unlock()
	}
}

// close is Factory.Close.
func (w *world) close(r *Resource) {
	if r == nil {
		w.t.Error("Close: called with what New did not make")
		return
	}
	if n := r.closed.Add(1); n > 1 {
		w.t.Errorf("resource %d is closed %d times", r.ID, n)
	}
	if r.owner.Load() != 0 && !w.forced.Load() {
		w.t.Errorf("resource %d is closed while it is in use", r.ID)
	}
	w.end(r)
	if w.closing != nil {
		w.closing(r)
	}
}

// acquired checks and notes a lease that Acquire gave; since is the number of
// clears that had returned when Acquire was called.
func (w *world) acquired(l backend.Lease[*Resource], since int) {
	r := l.Value
	if r == nil {
		w.t.Error("Acquire: a lease without a resource")
		return
	}
	if !r.owner.CompareAndSwap(0, w.owners.Add(1)) {
		w.t.Errorf("resource %d has two owners", r.ID)
	}
	if r.closed.Load() != 0 && !w.forced.Load() {
		w.t.Errorf("resource %d is acquired after it was closed", r.ID)
	}
	if r.gen < since {
		w.t.Errorf("resource %d is acquired after Clear, and is older", r.ID)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leases = append(w.leases, l)
}

// clears returns the number of clears that have returned.
func (w *world) clears() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cleared
}

// dialed returns how often New has been called.
func (w *world) dialed() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dials
}

// forget takes a lease off the list and its resource from its owner.
func (w *world) forget(l backend.Lease[*Resource]) {
	w.mu.Lock()
	for i := range w.leases {
		if w.leases[i] == l {
			w.leases[i] = w.leases[len(w.leases)-1]
			w.leases = w.leases[:len(w.leases)-1]
			break
		}
	}
	w.mu.Unlock()
	if l.Value.owner.Swap(0) == 0 {
		w.t.Errorf("resource %d has lost its owner", l.Value.ID)
	}
}

// acquire calls Acquire.
func (w *world) acquire(ctx context.Context) (backend.Lease[*Resource], error) {
	since := w.clears()
	dead := ctx.Err() != nil
	l, err := w.b.Acquire(ctx)
	if err == nil {
		w.acquired(l, since)
		if dead {
			w.t.Error("Acquire succeeds with a context that had ended")
		}
	}
	return l, err
}

// get acquires what must be there within an hour.
func (w *world) get() backend.Lease[*Resource] {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, time.Hour)
	defer cancel()
	l, err := w.acquire(ctx)
	if err != nil {
		w.failf("Acquire: %v; %v", err, w.stat())
	}
	return l
}

// fill acquires n at once.
func (w *world) fill(n int) []backend.Lease[*Resource] {
	w.t.Helper()
	var all []backend.Lease[*Resource]
	for range n {
		all = append(all, w.get())
	}
	return all
}

// put returns a lease, as its owner.
func (w *world) put(l backend.Lease[*Resource], v backend.Verdict) {
	w.t.Helper()
	w.forget(l)
	if v != backend.Keep {
		w.end(l.Value)
	}
	if err := w.b.Return(l, v); err != nil {
		w.t.Errorf("Return(%v) of a live lease: %v", v, err)
	}
}

// putAll returns leases to be kept.
func (w *world) putAll(ls []backend.Lease[*Resource]) {
	w.t.Helper()
	for _, l := range ls {
		w.put(l, backend.Keep)
	}
}

// clear calls Clear.
func (w *world) clear() {
	w.mu.Lock()
	w.gen++
	w.mu.Unlock()
	w.b.Clear()
	w.mu.Lock()
	w.cleared++
	w.mu.Unlock()
}

// sweep calls Sweep and returns the resources shown, in order.
func (w *world) sweep(keep func(*Resource) bool) (shown []*Resource) {
	w.b.Sweep(func(r *Resource) bool {
		if !r.owner.CompareAndSwap(0, -1) {
			w.t.Errorf("Sweep shows resource %d, which is in use", r.ID)
		}
		shown = append(shown, r)
		kept := keep(r)
		if !kept {
			w.end(r)
		}
		r.owner.CompareAndSwap(-1, 0)
		return kept
	})
	return shown
}

// stat describes the backend for a message.
func (w *world) stat() string {
	s := w.b.Stat()
	return fmt.Sprintf("max %d, idle %d, in use %d, dialing %d, waiting %d",
		s.Max, s.Idle, s.Used, s.Dialing, s.Waiting)
}

// gauges compares the snapshot with what it must be once all is quiet.
func (w *world) gauges(idle, used, dialing, waiting int) {
	w.t.Helper()
	synctest.Wait()
	s := w.b.Stat()
	if s.Idle != idle || s.Used != used || s.Dialing != dialing || s.Waiting != waiting {
		w.failf("Stat: %v; want idle %d, in use %d, dialing %d, waiting %d",
			w.stat(), idle, used, dialing, waiting)
	}
}

// finish returns what is in use, closes the backend and sees that everything
// made has been closed.
func (w *world) finish() {
	w.cancel()
	w.mu.Lock()
	left := append([]backend.Lease[*Resource](nil), w.leases...)
	w.mu.Unlock()
	for _, l := range left {
		w.forget(l)
		w.b.Return(l, backend.Keep) //nolint:errcheck // stale if the case closed by force
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	if err := w.b.Close(ctx); errors.Is(err, context.DeadlineExceeded) {
		w.t.Errorf("Close: not drained within an hour, though all was returned: %v", w.stat())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.made {
		if r.closed.Load() == 0 {
			w.t.Errorf("resource %d has not been closed after Close", r.ID)
		}
	}
}
