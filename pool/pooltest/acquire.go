package pooltest

import (
	"context"
	"errors"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// lendCases are about promises 1, 2 and 3.
var lendCases = []testCase{
	{"01 max", backend.Limits{Max: 3}, testMax},
	{"01 max with failing dials", backend.Limits{Max: 2}, testMaxFailing},
	{"01 no max", backend.Limits{}, testUnbounded},
	{"01 negative max", backend.Limits{Max: -5}, testNegativeMax},
	{"01 more than a word", backend.Limits{Max: 150}, testMany},
	{"02 one owner", backend.Limits{Max: 8}, testOneOwner},
	{"02 idle first", backend.Limits{Max: 8}, testIdleFirst},
	{"03 woken by a return", backend.Limits{Max: 1}, testWokenByReturn},
	{"03 woken by a discard", backend.Limits{Max: 1}, testWokenByDiscard},
	{"03 woken by a failed dial", backend.Limits{Max: 1}, testWokenByFailure},
	{"03 woken by a sweep", backend.Limits{Max: 1}, testWokenBySweep},
	{"03 return at the moment of waiting", backend.Limits{Max: 1}, testReturnRace},
}

func testMax(w *world) {
	w.dial = func(context.Context, int) error { time.Sleep(10 * time.Millisecond); return nil }
	var calls []*call
	for range 20 {
		calls = append(calls, w.launch())
	}
	time.Sleep(time.Second)
	w.gauges(0, 3, 0, 17)
	for served := 0; served < len(calls); {
		synctest.Wait()
		for i, c := range calls {
			if c != nil && c.served() {
				calls[i] = nil
				w.put(c.lease, backend.Verdict(served%2)) // keep, discard
				served++
			}
		}
		time.Sleep(time.Second)
	}
	w.gauges(w.b.Stat().Idle, 0, 0, 0)
}

func testMaxFailing(w *world) {
	w.dial = func(_ context.Context, n int) error {
		time.Sleep(time.Millisecond)
		if n%2 == 1 {
			return errors.New("no")
		}
		return nil
	}
	ok := 0
	for range 50 {
		c := w.launch()
		time.Sleep(time.Second)
		if c.served() {
			ok++
			w.put(c.lease, backend.Discard)
		}
	}
	w.check(ok == 25, "%d of 50 succeed, every other dial does", ok)
	w.gauges(0, 0, 0, 0)
}

// testNegativeMax: it is no maximum, and Stat says so with zero.
func testNegativeMax(w *world) {
	w.check(w.b.Stat().Max == 0, "Stat.Max is %d where there is no maximum", w.b.Stat().Max)
	w.putAll(w.fill(10))
	w.check(w.b.Stat().Max == 0, "Stat.Max is %d where there is no maximum", w.b.Stat().Max)
	w.gauges(10, 0, 0, 0)
}

func testUnbounded(w *world) {
	ls := w.fill(200)
	w.gauges(0, 200, 0, 0)
	w.check(w.b.Stat().Max == 0, "Stat.Max is %d without a maximum", w.b.Stat().Max)
	w.putAll(ls)
	w.gauges(200, 0, 0, 0)
	w.fill(200)
	w.check(w.dialed() == 200, "%d dials for 200 resources", w.dialed())
}

func testMany(w *world) {
	for range 2 {
		ls := w.fill(150)
		w.gauges(0, 150, 0, 0)
		c := w.start()
		w.check(c.pending(), "%v beyond Max", c)
		w.put(ls[77], backend.Keep)
		synctest.Wait()
		w.check(c.served(), "%v after a return", c)
		ls[77] = c.lease
		w.putAll(ls)
		w.gauges(150, 0, 0, 0)
	}
	w.check(w.dialed() == 150, "%d dials for 150 resources", w.dialed())
}

func testOneOwner(w *world) {
	for range 10 {
		ls := w.fill(8) // acquired sees an owner too many
		w.putAll(ls[:4])
		more := w.fill(4)
		w.putAll(append(more, ls[4:]...))
	}
	w.gauges(8, 0, 0, 0)
}

func testIdleFirst(w *world) {
	for range 10 {
		a, b := w.get(), w.get()
		w.put(a, backend.Keep)
		w.put(b, backend.Keep)
	}
	w.check(w.dialed() == 2, "%d dials, though never more than 2 are in use", w.dialed())
}

func testWokenByReturn(w *world) {
	l := w.get()
	c := w.start()
	w.gauges(0, 1, 0, 1)
	time.Sleep(time.Minute)
	w.put(l, backend.Keep)
	synctest.Wait()
	w.check(c.served(), "a resource is returned: %v", c)
	w.check(c.took == time.Minute, "%v after %v, the return was after %v", c, c.took, time.Minute)
	s := w.b.Stat()
	// The first dial took no time, so all the waiting is the second's.
	w.check(s.WaitTime == time.Minute, "Stat.WaitTime is %v after a wait of a minute", s.WaitTime)
	w.check(s.Waits == 2, "Stat.Waits is %d after a dial and a wait", s.Waits)
}

func testWokenByDiscard(w *world) {
	l := w.get()
	c := w.start()
	w.put(l, backend.Discard)
	synctest.Wait()
	w.check(c.served(), "room for a dial: %v", c)
	w.check(c.lease.Value != l.Value, "%v, which was discarded", c)
}

func testWokenByFailure(w *world) {
	w.dial = func(_ context.Context, n int) error {
		if n == 1 {
			time.Sleep(time.Second)
			return errors.New("no")
		}
		return nil
	}
	first, second := w.start(), w.start()
	w.gauges(0, 0, 1, 2)
	time.Sleep(time.Second)
	synctest.Wait()
	w.check(first.done.Load() && first.err != nil, "its dial failed: %v", first)
	w.check(second.served(), "another's dial failed, there is room: %v", second)
}

func testWokenBySweep(w *world) {
	w.put(w.get(), backend.Keep)
	var c *call
	w.sweep(func(*Resource) bool { c = w.start(); return true })
	synctest.Wait()
	w.check(c != nil && c.served(), "a sweep gave the only resource back: %v", c)
	w.put(c.lease, backend.Keep)
	w.sweep(func(*Resource) bool { c = w.start(); return false })
	synctest.Wait()
	w.check(c.served(), "a sweep closed the only resource: %v", c)
}

// testReturnRace has Acquire and Return meet, again and again.
func testReturnRace(w *world) {
	l := w.get()
	for range 2000 {
		c := w.launch()
		w.put(l, backend.Keep)
		synctest.Wait()
		w.check(c.served(), "a resource was returned while it came: %v; %v", c, w.stat())
		l = c.lease
	}
}

// orderCases are about promise 4.
var orderCases = []testCase{
	{"04 first come, first served", backend.Limits{Max: 2}, testFIFO},
	{"04 in order through discards", backend.Limits{Max: 1}, testFIFODiscards},
	{"04 no overtaking", backend.Limits{Max: 1}, testOvertaking},
	{"04 in order past those who gave up", backend.Limits{Max: 1}, testFIFOCancelled},
}

// inOrder returns a lease and sees that it goes to the first of waiting that
// has not been cancelled, and to nobody else.
func (w *world) inOrder(l backend.Lease[*Resource], v backend.Verdict, waiting []*call) {
	w.put(l, v)
	synctest.Wait()
	first := true
	for _, c := range waiting {
		if c.ctx.Err() != nil {
			continue
		}
		w.check(c.done.Load() == first, "out of turn: %v", c)
		first = false
	}
}

func testFIFO(w *world) {
	ls := w.fill(2)
	var waiting []*call
	for range 30 {
		waiting = append(waiting, w.start())
	}
	for i, c := range waiting {
		w.inOrder(ls[i%2], backend.Keep, waiting[i:])
		ls[i%2] = c.lease
	}
}

func testFIFODiscards(w *world) {
	l := w.get()
	var waiting []*call
	for range 30 {
		waiting = append(waiting, w.start())
	}
	for i, c := range waiting {
		w.inOrder(l, backend.Verdict(i%2), waiting[i:])
		l = c.lease
	}
}

func testOvertaking(w *world) {
	l := w.get()
	first := w.start()
	for range 200 {
		// All at once: a return, and a caller that did not wait.
		w.put(l, backend.Keep)
		second := w.launch()
		synctest.Wait()
		w.check(first.served() && second.pending(), "%v, came before %v", first, second)
		first, l = second, first.lease
	}
}

func testFIFOCancelled(w *world) {
	l := w.get()
	var waiting []*call
	for i := range 30 {
		waiting = append(waiting, w.start())
		if i%5 == 4 { // the head, the tail, one between
			waiting[i-4].cancel()
			waiting[i-2].cancel()
			waiting[i].cancel()
		}
	}
	synctest.Wait()
	for i, c := range waiting {
		if c.ctx.Err() != nil {
			w.check(c.done.Load() && errors.Is(c.err, context.Canceled), "cancelled: %v", c)
			continue
		}
		w.inOrder(l, backend.Keep, waiting[i:])
		l = c.lease
	}
}
