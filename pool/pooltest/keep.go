package pooltest

import (
	"context"
	"errors"
	"runtime"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// contextCases are about promise 5.
var contextCases = []testCase{
	{"05 context ended before", backend.Limits{Max: 2}, testEndedBefore},
	{"05 deadline while waiting", backend.Limits{Max: 1}, testDeadline},
	{"05 context ends before the return", backend.Limits{Max: 1}, testEndedFirst},
	{"05 context ends with the return", backend.Limits{Max: 1}, testEndedWith},
	{"05 given on to the next", backend.Limits{Max: 1}, testGivenOn},
}

func testEndedBefore(w *world) {
	w.put(w.get(), backend.Keep)
	cause := errors.New("the caller's reason")
	ctx, cancel := context.WithCancelCause(w.ctx)
	cancel(cause)
	for range 50 {
		_, err := w.acquire(ctx) // complains of success
		w.check(errors.Is(err, context.Canceled), "Acquire with a cancelled context: %v", err)
	}
	w.gauges(1, 0, 0, 0)
	w.check(w.dialed() == 1, "Acquire dials for a context that has ended")
}

func testDeadline(w *world) {
	l := w.get()
	ctx, cancel := context.WithTimeout(w.ctx, time.Second)
	defer cancel()
	begun := time.Now()
	_, err := w.acquire(ctx)
	w.check(errors.Is(err, context.DeadlineExceeded), "Acquire past its deadline: %v", err)
	var timeout interface{ Timeout() bool }
	w.check(errors.As(err, &timeout) && timeout.Timeout(), "no timeout: %v", err)
	w.check(time.Since(begun) == time.Second, "the deadline was after a second, Acquire took %v", time.Since(begun))
	w.gauges(0, 1, 0, 0)
	w.put(l, backend.Keep)
	w.gauges(1, 0, 0, 0)
}

func testEndedFirst(w *world) {
	for range 500 {
		l := w.get()
		c := w.start()
		c.cancel()
		w.put(l, backend.Keep) // c has not run yet
		synctest.Wait()
		w.check(c.done.Load() && errors.Is(c.err, context.Canceled), "its context ended before the return: %v", c)
		w.gauges(1, 0, 0, 0)
	}
}

func testEndedWith(w *world) {
	for i := range 1000 {
		l := w.get()
		c := w.start()
		go c.cancel()
		if i%2 == 0 {
			runtime.Gosched()
		}
		w.put(l, backend.Keep)
		synctest.Wait()
		w.check(c.done.Load(), "returned and cancelled: %v; %v", c, w.stat())
		if c.served() {
			w.put(c.lease, backend.Keep)
		}
		w.gauges(1, 0, 0, 0)
	}
}

func testGivenOn(w *world) {
	for range 500 {
		l := w.get()
		first, second := w.start(), w.start()
		w.put(l, backend.Keep)
		first.cancel() // it may have been served
		synctest.Wait()
		if first.served() {
			w.put(first.lease, backend.Keep)
			synctest.Wait()
		}
		w.check(second.served(), "the first gave up or gave back: %v; %v", second, w.stat())
		w.put(second.lease, backend.Keep)
		w.gauges(1, 0, 0, 0)
	}
}

// staleCases are about promise 6.
var staleCases = []testCase{
	{"06 return twice", backend.Limits{Max: 2}, testReturnTwice},
	{"06 return after discard", backend.Limits{Max: 2}, testReturnDiscarded},
	{"06 return of another's", backend.Limits{Max: 1}, testReturnOfNext},
	{"06 foreign lease", backend.Limits{Max: 2}, testForeign},
}

// stale sees that l is refused with either verdict and nothing changes.
func (w *world) stale(l backend.Lease[*Resource], what string) {
	w.t.Helper()
	synctest.Wait()
	before := w.b.Stat()
	for _, v := range []backend.Verdict{backend.Keep, backend.Discard} {
		err := w.b.Return(l, v)
		w.check(errors.Is(err, backend.ErrStale), "Return(%v) of %s: %v", v, what, err)
		synctest.Wait()
		after := w.b.Stat()
		w.check(before == after, "Return of %s changes the backend: %+v, %+v", what, before, after)
	}
}

func testReturnTwice(w *world) {
	l := w.get()
	w.put(l, backend.Keep)
	w.stale(l, "a lease returned before")
	a, b := w.get(), w.get() // acquired sees an owner too many
	w.put(a, backend.Keep)
	w.put(b, backend.Keep)
	w.gauges(2, 0, 0, 0)
}

func testReturnDiscarded(w *world) {
	l := w.get()
	w.put(l, backend.Discard)
	w.stale(l, "a discarded lease")
	next := w.get()
	w.stale(l, "a discarded lease, its place taken")
	w.check(next.Value != l.Value, "resource %d is acquired after its discard", l.Value.ID)
	w.put(next, backend.Keep)
}

func testReturnOfNext(w *world) {
	var old []backend.Lease[*Resource]
	l := w.get()
	for range 20 {
		old = append(old, l)
		w.put(l, backend.Keep)
		l = w.get()
	}
	w.check(w.dialed() == 1, "%d dials for one resource", w.dialed())
	for _, o := range old {
		w.stale(o, "an earlier lease of what another has")
	}
	c := w.start()
	w.stale(old[0], "an earlier lease, while somebody waits")
	w.check(c.pending(), "a stale return served %v", c)
	w.put(l, backend.Keep)
	synctest.Wait()
	w.stale(l, "a lease handed on")
	w.check(c.served(), "%v", c)
}

func testForeign(w *world) {
	l := w.get()
	w.stale(backend.Lease[*Resource]{}, "the zero lease")
	w.stale(backend.Lease[*Resource]{Value: l.Value, Handle: "mine", Epoch: l.Epoch}, "a made-up lease")
	w.put(l, backend.Keep)
}

// capacityCases are about promise 7.
var capacityCases = []testCase{
	{"07 New fails", backend.Limits{Max: 3}, testNewFails},
	{"07 New panics", backend.Limits{Max: 3}, testNewPanics},
	{"07 New exits", backend.Limits{Max: 3}, testNewExits},
	{"07 Close panics", backend.Limits{Max: 3}, testClosePanics},
	{"07 keep panics", backend.Limits{Max: 3}, testKeepPanics},
}

// whole sees that all of Max can be had.
func (w *world) whole() {
	w.t.Helper()
	w.dial = nil
	ls := w.fill(w.limits.Max)
	w.gauges(0, w.limits.Max, 0, 0)
	w.putAll(ls)
	w.gauges(w.limits.Max, 0, 0, 0)
}

// broken calls Acquire more often than Max, to see each fail at once.
func (w *world) broken(check func(c *call)) {
	w.t.Helper()
	for range 3 * w.limits.Max {
		c := w.start()
		w.check(c.done.Load() && c.err != nil, "New fails: %v; %v", c, w.stat())
		check(c)
	}
	w.gauges(0, 0, 0, 0)
	w.whole()
}

func testNewFails(w *world) {
	cause := errors.New("refused")
	w.dial = func(context.Context, int) error { return cause }
	w.broken(func(c *call) { w.check(errors.Is(c.err, cause), "the cause is lost: %v", c.err) })
}

func testNewPanics(w *world) {
	cause := errors.New("a bug of the user's")
	w.dial = func(context.Context, int) error { panic(cause) }
	w.broken(func(c *call) {
		var p *backend.PanicError
		w.check(errors.As(c.err, &p) && p.Value == cause, "the panic is lost: %v", c.err)
	})
}

func testNewExits(w *world) {
	w.dial = func(context.Context, int) error { runtime.Goexit(); return nil }
	w.broken(func(c *call) {
		var p *backend.PanicError
		w.check(errors.As(c.err, &p), "not told: %v", c.err)
	})
}

func testClosePanics(w *world) {
	w.closing = func(*Resource) { panic("a bug of the user's") }
	for range 3 * w.limits.Max {
		w.put(w.get(), backend.Discard)
	}
	w.gauges(0, 0, 0, 0)
	w.whole()
	w.closing = nil
	err := w.b.Close(w.ctx)
	var p *backend.PanicError
	w.check(errors.As(err, &p), "Close does not tell of the panics: %v", err)
}

func testKeepPanics(w *world) {
	for range 3 * w.limits.Max {
		w.put(w.get(), backend.Keep)
		func() {
			defer func() {
				r := recover()
				w.check(r == "a bug of the user's", "the panic of keep is lost: %v", r)
			}()
			w.sweep(func(r *Resource) bool {
				w.end(r)
				r.owner.Store(0)
				panic("a bug of the user's")
			})
		}()
		w.gauges(0, 0, 0, 0)
	}
	w.whole()
}
