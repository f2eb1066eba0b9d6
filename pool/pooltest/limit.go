package pooltest

import (
	"context"
	"errors"
	"slices"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// sweepCases are about Sweep.
var sweepCases = []testCase{
	{"sweep", backend.Limits{Max: 100}, testSweep},
	{"sweep holds one", backend.Limits{Max: 5}, testSweepOne},
	{"sweep does not end", backend.Limits{Max: 5}, testSweepBusy},
	{"sweep misses nothing", backend.Limits{Max: 8}, testSweepMisses},
	{"sweep from two sides", backend.Limits{Max: 5}, testSweepTwo},
	{"sweep refuses nobody", backend.Limits{Max: 1, MaxWaiters: -1}, testSweepRefuses},
}

func testSweep(w *world) {
	w.sweep(func(*Resource) bool { w.t.Error("Sweep of nothing"); return true })
	ls := w.fill(100)
	w.putAll(ls[20:])
	seen := make(map[*Resource]bool)
	for _, r := range w.sweep(func(r *Resource) bool { return r.ID%3 != 0 }) {
		w.check(!seen[r], "Sweep shows resource %d twice", r.ID)
		seen[r] = true
	}
	w.check(len(seen) == 80, "Sweep shows %d resources, 80 are idle", len(seen))
	synctest.Wait()
	swept := 0
	for r := range seen {
		if r.ID%3 == 0 {
			swept++
			w.check(r.closed.Load() == 1, "resource %d was not to be kept and is open", r.ID)
		}
	}
	w.gauges(80-swept, 20, 0, 0)
	shown := w.sweep(func(*Resource) bool { return true })
	w.check(len(shown) == 80-swept, "Sweep shows %d resources, %d are idle", len(shown), 80-swept)
	w.putAll(ls[:20])
	w.whole()
}

// testSweepRefuses has a caller come while the sweep looks at the only resource:
// nothing is in use, so it is not one waiter too many.
func testSweepRefuses(w *world) {
	w.put(w.get(), backend.Keep)
	var c *call
	w.sweep(func(*Resource) bool {
		c = w.start()
		w.check(c.pending(), "a sweep looks at the only resource, nothing is in use: %v", c)
		return true
	})
	synctest.Wait()
	w.check(c.served(), "the sweep has put it back: %v; %v", c, w.stat())
	w.put(c.lease, backend.Keep)
	w.gauges(1, 0, 0, 0)
}

func testSweepOne(w *world) {
	w.putAll(w.fill(5))
	w.sweep(func(r *Resource) bool {
		s := w.b.Stat()
		w.check(s.Used == 1 && s.Idle == 4, "Sweep holds more than one: %v", w.stat())
		w.atOnce("Acquire in a sweep", func() {
			ls := w.fill(4)
			w.putAll(ls)
		})
		return true
	})
	w.check(w.dialed() == 5, "a sweep makes Acquire dial")
	w.gauges(5, 0, 0, 0)
}

// testSweepBusy returns resources while a sweep goes on.
func testSweepBusy(w *world) {
	w.putAll(w.fill(5))
	held := w.get()
	seen := make(map[*Resource]bool)
	w.sweep(func(r *Resource) bool {
		w.check(!seen[r], "Sweep shows resource %d twice", r.ID)
		seen[r] = true
		w.put(held, backend.Keep)
		held = w.get()
		return r.ID%2 == 0
	})
	w.put(held, backend.Keep)
	w.check(len(seen) <= 5, "Sweep shows %d of 5 resources", len(seen))
	w.whole()
}

// testSweepMisses has resources become idle while a sweep goes on. It shows all that
// were idle before, whether they are kept or not.
func testSweepMisses(w *world) {
	for _, keep := range []bool{true, false} {
		ls := w.fill(8)
		before, others := ls[:4], ls[4:]
		w.putAll(before)
		shown := w.sweep(func(*Resource) bool {
			if len(others) > 0 {
				w.put(others[0], backend.Keep)
				others = others[1:]
			}
			return keep
		})
		for _, l := range before {
			w.check(slices.Contains(shown, l.Value), "others become idle, and Sweep misses resource %d", l.Value.ID)
		}
		w.putAll(others)
	}
	w.whole()
}

func testSweepTwo(w *world) {
	w.putAll(w.fill(5))
	for range 2 {
		go w.sweep(func(r *Resource) bool { time.Sleep(time.Second); return r.ID%2 == 0 })
	}
	time.Sleep(time.Minute)
	w.gauges(2, 0, 0, 0)
	w.whole()
}

// limitCases are about MaxWaiters and Resize.
var limitCases = []testCase{
	{"max waiters", backend.Limits{Max: 2, MaxWaiters: 3}, testMaxWaiters},
	{"max waiters and dials", backend.Limits{Max: 2, MaxWaiters: 1}, testMaxWaitersDialing},
	{"no waiters", backend.Limits{Max: 2, MaxWaiters: -1}, testNoWaiters},
	{"resize", backend.Limits{Max: 2}, testResize},
	{"resize while dialing", backend.Limits{Max: 3}, testResizeDialing},
	{"resize keeps what is open", backend.Limits{Max: 3}, testResizeKeeps},
	{"resize gives up the newest dials", backend.Limits{Max: 3}, testResizeNewest},
	{"resize while a warming dial hangs", backend.Limits{Max: 3}, testResizeWarming},
	{"resize to and fro while dials hang", backend.Limits{Max: 2}, testResizeBack},
}

// refused sees that a caller is turned away at once.
func (w *world) refused(when string) {
	w.t.Helper()
	c := w.start()
	w.check(c.done.Load() && errors.Is(c.err, backend.ErrTooManyWaiters), "%s: %v", when, c)
}

func testMaxWaiters(w *world) {
	ls := w.fill(2)
	waiting := []*call{w.start(), w.start(), w.start()}
	w.refused("three wait")
	w.refused("three wait")
	w.gauges(0, 2, 0, 3)
	w.check(w.b.Stat().Refused == 2, "Stat.Refused is %d after 2", w.b.Stat().Refused)
	waiting[1].cancel()
	synctest.Wait()
	late := w.start()
	w.check(late.pending(), "one has given up: %v", late)
	w.refused("three wait again")
	w.put(ls[0], backend.Keep)
	synctest.Wait()
	w.check(waiting[0].served(), "%v", waiting[0])
	w.check(w.start().pending(), "one was served, and yet")
}

func testMaxWaitersDialing(w *world) {
	w.dial = func(context.Context, int) error { time.Sleep(time.Second); return nil }
	first, second := w.start(), w.start()
	w.check(first.pending() && second.pending(), "a dial of their own: %v, %v", first, second)
	third := w.start()
	w.check(third.pending(), "one may wait: %v", third)
	w.refused("one waits")
	time.Sleep(time.Second)
	synctest.Wait()
	w.check(first.served() && second.served(), "dialed: %v, %v", first, second)
}

func testNoWaiters(w *world) {
	ls := w.fill(2)
	w.refused("nobody may wait")
	w.putAll(ls)
	w.whole()
}

// resizer skips the case unless the backend can be resized.
func (w *world) resizer() backend.Resizer {
	r, ok := w.b.(backend.Resizer)
	if !ok {
		w.t.Skip("no Resize")
	}
	w.loose.Store(true)
	return r
}

// resize calls Resize.
func (w *world) resize(r backend.Resizer, n int) {
	w.t.Helper()
	err := r.Resize(n)
	w.check(err == nil, "Resize(%d): %v", n, err)
	w.check(w.b.Stat().Max == max(n, 0), "Stat.Max is %d after Resize(%d)", w.b.Stat().Max, n)
}

func testResize(w *world) {
	r := w.resizer()
	ls := w.fill(2)
	waiting := []*call{w.start(), w.start(), w.start(), w.start()}
	w.resize(r, 4)
	synctest.Wait()
	w.check(waiting[0].served() && waiting[1].served(), "room for two: %v, %v", waiting[0], waiting[1])
	w.check(waiting[2].pending(), "room for two: %v", waiting[2])
	w.gauges(0, 4, 0, 2)

	w.resize(r, 2) // those in use end as they are returned
	w.put(ls[0], backend.Keep)
	w.put(ls[1], backend.Keep)
	w.gauges(0, 2, 0, 2)
	w.inOrder(waiting[0].lease, backend.Keep, waiting[2:])
	w.inOrder(waiting[1].lease, backend.Keep, waiting[3:])

	w.resize(r, 0) // no maximum
	more := w.fill(100)
	w.putAll(more)
	w.put(waiting[2].lease, backend.Keep)
	w.gauges(101, 1, 0, 0)
	w.resize(r, 3) // idle ones end now
	w.gauges(2, 1, 0, 0)
	w.put(waiting[3].lease, backend.Keep)
	w.gauges(3, 0, 0, 0)

	err := w.b.Close(w.ctx)
	w.check(err == nil, "Close: %v", err)
	err = r.Resize(1)
	w.check(errors.Is(err, backend.ErrClosed), "Resize after Close: %v", err)
}

func testResizeDialing(w *world) {
	r := w.resizer()
	w.dial = func(context.Context, int) error { time.Sleep(time.Second); return nil }
	waiting := []*call{w.start(), w.start(), w.start()}
	w.resize(r, 1)
	time.Sleep(time.Second)
	synctest.Wait()
	for i, c := range waiting {
		w.check(c.served(), "Max is 1 now, and it is its turn: %v; %v", c, w.stat())
		w.gauges(0, 1, 0, len(waiting)-1-i)
		w.put(c.lease, backend.Keep)
		synctest.Wait()
	}
	w.gauges(1, 0, 0, 0)
}

// testResizeKeeps has dials hang while the maximum falls to what is open already:
// it is they that go, and their callers wait in turn for what is open.
func testResizeKeeps(w *world) {
	r := w.resizer()
	held := w.get()
	w.hangUntil(3)
	waiting := []*call{w.start(), w.start()}
	w.gauges(0, 1, 2, 2)
	w.resize(r, 1)
	w.gauges(0, 1, 0, 2) // their contexts have ended
	w.inOrder(held, backend.Keep, waiting)
	w.inOrder(waiting[0].lease, backend.Keep, waiting[1:])
	w.check(waiting[1].lease.Value == held.Value, "what was open is closed for dials that hang")
	w.put(waiting[1].lease, backend.Keep)
	w.gauges(1, 0, 0, 0)
}

func testResizeNewest(w *world) {
	r := w.resizer()
	w.dial = func(ctx context.Context, _ int) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
			return nil
		}
	}
	waiting := []*call{w.start(), w.start(), w.start()}
	time.Sleep(500 * time.Millisecond)
	w.resize(r, 2)
	w.gauges(0, 0, 2, 3)
	time.Sleep(500 * time.Millisecond)
	synctest.Wait()
	w.check(waiting[0].served() && waiting[1].served(), "their dials took a second: %v, %v", waiting[0], waiting[1])
	w.gauges(0, 2, 0, 1)
	w.put(waiting[0].lease, backend.Discard)
	w.gauges(0, 1, 1, 1)
	time.Sleep(time.Second)
	synctest.Wait()
	w.check(waiting[2].served(), "there is room again: %v; %v", waiting[2], w.stat())
}

func testResizeWarming(w *world) {
	r := w.resizer()
	ls := w.fill(2)
	w.put(ls[0], backend.Keep)
	w.hangUntil(3)
	warmed := make(chan error, 1)
	go func() { warmed <- w.b.Warm(w.ctx, 3) }()
	w.gauges(1, 1, 1, 0)
	w.resize(r, 2)
	w.gauges(1, 1, 0, 0) // what is idle stays
	err := <-warmed
	w.check(err == nil, "Warm, and there is room no more: %v", err)
	w.put(ls[1], backend.Keep)
	w.gauges(2, 0, 0, 0)
}

func testResizeBack(w *world) {
	r := w.resizer()
	w.hangUntil(2)
	waiting := []*call{w.start(), w.start()}
	for _, n := range []int{1, 2} {
		w.resize(r, n)
	}
	synctest.Wait()
	w.check(waiting[0].served() && waiting[0].took == 0, "a dial was begun for it or the other: %v; %v", waiting[0], w.stat())
	w.gauges(0, 1, 1, 1)
	w.clear() // the other dial hangs still
	synctest.Wait()
	w.check(waiting[1].served(), "stranded by Resize: %v; %v", waiting[1], w.stat())
}
