package pooltest

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// clearCases are about promise 8.
var clearCases = []testCase{
	{"08 clear idle", backend.Limits{Max: 4}, testClearIdle},
	{"08 clear in use", backend.Limits{Max: 2}, testClearInUse},
	{"08 clear while dialing", backend.Limits{Max: 2}, testClearDialing},
	{"08 clear while warming", backend.Limits{Max: 2}, testClearWarming},
	{"08 clear while a dial hangs", backend.Limits{Max: 1}, testClearHanging},
	{"08 clear while a warming dial hangs", backend.Limits{Max: 2}, testClearWarmHanging},
	{"08 clear and the failure of a dial", backend.Limits{Max: 1}, testClearFailure},
	{"08 clear with waiters", backend.Limits{Max: 2}, testClearWaiters},
	{"08 clear again and again", backend.Limits{Max: 2}, testClearOften},
}

func testClearIdle(w *world) {
	ls := w.fill(4)
	w.putAll(ls)
	w.clear()
	w.gauges(0, 0, 0, 0)
	for _, l := range ls {
		w.check(l.Value.closed.Load() == 1, "resource %d was idle and is not closed by Clear", l.Value.ID)
	}
	w.putAll(w.fill(4)) // acquired sees what is older
	w.gauges(4, 0, 0, 0)
}

func testClearInUse(w *world) {
	ls := w.fill(2)
	w.clear()
	synctest.Wait()
	w.check(ls[0].Value.closed.Load() == 0, "Clear closes what is in use")
	w.gauges(0, 2, 0, 0)
	w.put(ls[0], backend.Keep)
	w.gauges(0, 1, 0, 0)
	w.check(ls[0].Value.closed.Load() == 1, "returned after Clear and not closed")
	l := w.get()
	w.put(ls[1], backend.Keep)
	w.put(l, backend.Keep)
	w.gauges(1, 0, 0, 0)
}

func testClearDialing(w *world) {
	w.dial = func(context.Context, int) error { time.Sleep(time.Second); return nil }
	c := w.start()
	// A clear counts only against calls that come after it, but a dial it
	// made useless must not end up idle, nor with this caller.
	w.clear()
	time.Sleep(3 * time.Second)
	synctest.Wait()
	w.check(c.served(), "stranded by Clear: %v; %v", c, w.stat())
	w.check(c.lease.Value.gen != 0, "%v, whose dial began before Clear", c)
	w.put(c.lease, backend.Keep)
	w.gauges(1, 0, 0, 0)
	w.put(w.get(), backend.Keep)
}

func testClearWarming(w *world) {
	w.dial = func(context.Context, int) error { time.Sleep(time.Second); return nil }
	done := make(chan error, 1)
	go func() { done <- w.b.Warm(w.ctx, 2) }()
	synctest.Wait()
	w.clear()
	w.check(<-done == nil, "Warm fails because of Clear")
	w.dial = nil
	w.putAll(w.fill(2)) // acquired sees what is older
}

// hang is a dial that goes nowhere, as to an address that answers nothing. It
// heeds its context.
func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// hangUntil has the first n dials hang.
func (w *world) hangUntil(n int) {
	w.dial = func(ctx context.Context, k int) error {
		if k <= n {
			return hang(ctx)
		}
		return nil
	}
}

func testClearHanging(w *world) {
	w.hangUntil(1)
	first, second := w.start(), w.start()
	w.gauges(0, 0, 1, 2)
	w.clear()
	synctest.Wait()
	w.check(first.served() && first.took == 0, "its dial hung, and was begun before Clear: %v; %v", first, w.stat())
	w.inOrder(first.lease, backend.Keep, []*call{second})
	w.put(second.lease, backend.Keep)
	w.gauges(1, 0, 0, 0)
	w.check(w.dialed() == 2, "%d dials, one hung", w.dialed())
}

func testClearWarmHanging(w *world) {
	var back atomic.Bool
	w.dial = func(ctx context.Context, _ int) error {
		if back.Load() {
			return nil
		}
		return hang(ctx)
	}
	begun := time.Now()
	done := make(chan error, 1)
	go func() { done <- w.b.Warm(w.ctx, 2) }()
	synctest.Wait()
	back.Store(true)
	w.clear()
	err := <-done
	w.check(err == nil, "Warm fails because of Clear: %v", err)
	w.check(time.Since(begun) == 0, "Warm waits for dials that were begun before Clear")
	w.putAll(w.fill(2)) // acquired sees what is older
	w.whole()
}

// testClearFailure has a dial fail that was begun before Clear: that says nothing
// of what a caller gets after it.
func testClearFailure(w *world) {
	w.dial = func(_ context.Context, n int) error {
		time.Sleep(time.Second)
		if n == 1 {
			return errors.New("no")
		}
		return nil
	}
	c := w.start()
	w.clear()
	time.Sleep(2 * time.Second)
	synctest.Wait()
	w.check(c.served(), "the dial that failed was begun before Clear: %v; %v", c, w.stat())
	w.put(c.lease, backend.Keep)
	w.whole()
}

func testClearWaiters(w *world) {
	ls := w.fill(2)
	waiting := []*call{w.start(), w.start(), w.start()}
	w.clear()
	for i, l := range ls {
		w.put(l, backend.Keep) // too old: it is to be replaced
		synctest.Wait()
		w.check(waiting[i].served(), "stranded by Clear: %v; %v", waiting[i], w.stat())
		w.check(waiting[i].lease.Value.gen == 1, "%v, older than Clear", waiting[i])
	}
	w.put(waiting[0].lease, backend.Keep)
	synctest.Wait()
	w.check(waiting[2].served(), "after Clear: %v", waiting[2])
}

func testClearOften(w *world) {
	for range 100 {
		l := w.get()
		c := w.launch()
		w.clear()
		w.put(l, backend.Keep)
		w.clear()
		synctest.Wait()
		w.check(c.served(), "stranded by Clear: %v; %v", c, w.stat())
		w.put(c.lease, backend.Keep)
	}
	w.clear()
	w.gauges(0, 0, 0, 0)
}

// closeCases are about promise 9.
var closeCases = []testCase{
	{"09 close wakes waiters", backend.Limits{Max: 1}, testCloseWakes},
	{"09 close closes all", backend.Limits{Max: 4}, testCloseAll},
	{"09 close drains", backend.Limits{Max: 2}, testCloseDrains},
	{"09 close loses patience", backend.Limits{Max: 3}, testCloseForce},
	{"09 close while dialing", backend.Limits{Max: 2}, testCloseDialing},
	{"09 close while warming", backend.Limits{Max: 2}, testCloseWarming},
	{"09 close while sweeping", backend.Limits{Max: 2}, testCloseSweeping},
	{"09 close twice", backend.Limits{Max: 2}, testCloseTwice},
	{"09 close waits for closers", backend.Limits{Max: 2}, testCloseWaits},
}

// closing calls Close on another goroutine.
func (w *world) closeLater(timeout time.Duration) <-chan error {
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		done <- w.b.Close(ctx)
	}()
	synctest.Wait()
	return done
}

// shut sees that nothing can be had after Close.
func (w *world) shut() {
	w.t.Helper()
	c := w.start()
	w.check(c.done.Load() && errors.Is(c.err, backend.ErrClosed), "after Close: %v", c)
	w.check(errors.Is(c.err, net.ErrClosed), "not net.ErrClosed: %v", c.err)
	err := w.b.Warm(w.ctx, 1)
	w.check(errors.Is(err, backend.ErrClosed), "Warm after Close: %v", err)
	w.clear()
	w.sweep(func(r *Resource) bool {
		w.t.Errorf("Sweep after Close shows resource %d", r.ID)
		return true
	})
}

func testCloseWakes(w *world) {
	l := w.get()
	waiting := []*call{w.start(), w.start(), w.start()}
	closed := w.closeLater(time.Hour)
	for _, c := range waiting {
		w.check(c.done.Load() && errors.Is(c.err, backend.ErrClosed), "Close does not wake at once: %v", c)
		w.check(c.took == 0, "woken %v after Close", c.took)
	}
	w.shut()
	w.put(l, backend.Keep)
	w.check(<-closed == nil, "Close fails")
}

func testCloseAll(w *world) {
	w.putAll(w.fill(4)) // finish sees what is forgotten
	w.put(w.get(), backend.Discard)
	err := w.b.Close(w.ctx)
	w.check(err == nil, "Close: %v", err)
	w.gauges(0, 0, 0, 0)
	w.shut()
}

func testCloseDrains(w *world) {
	ls := w.fill(2)
	w.put(ls[1], backend.Keep)
	closed := w.closeLater(time.Hour)
	w.gauges(0, 1, 0, 0)
	w.check(ls[1].Value.closed.Load() == 1, "what is idle is not closed at once")
	time.Sleep(time.Minute)
	w.check(len(closed) == 0, "Close does not wait for what is in use")
	w.check(ls[0].Value.closed.Load() == 0, "Close closes what is in use before its context ends")
	w.put(ls[0], backend.Keep)
	synctest.Wait()
	w.check(len(closed) == 1, "all has come back and Close waits on")
	w.check(<-closed == nil, "Close fails though all came back")
	w.stale(ls[0], "a lease returned to a closed backend")
}

func testCloseForce(w *world) {
	ls := w.fill(3)
	w.put(ls[2], backend.Keep)
	w.forced.Store(true)
	closed := w.closeLater(time.Minute)
	time.Sleep(30 * time.Second)
	w.put(ls[1], backend.Keep)
	time.Sleep(time.Minute)
	synctest.Wait()
	w.check(len(closed) == 1, "the context of Close has ended and Close waits on")
	err := <-closed
	w.check(errors.Is(err, context.DeadlineExceeded), "Close, out of patience: %v", err)
	for _, l := range ls {
		w.check(l.Value.closed.Load() == 1, "resource %d is closed %d times", l.Value.ID, l.Value.closed.Load())
	}
	w.forget(ls[0])
	w.stale(ls[0], "a lease that Close has ended")
	w.gauges(0, 0, 0, 0)
	w.shut()
}

func testCloseDialing(w *world) {
	heeds := true
	w.dial = func(ctx context.Context, n int) error {
		if heeds && n == 1 {
			<-ctx.Done()
			return ctx.Err()
		}
		time.Sleep(time.Second) // and then succeeds, after Close has begun
		return nil
	}
	first, second := w.start(), w.start()
	begun := time.Now()
	closed := w.closeLater(time.Hour)
	for _, c := range []*call{first, second} {
		w.check(c.done.Load() && errors.Is(c.err, backend.ErrClosed), "Close does not wake at once: %v", c)
	}
	w.check(<-closed == nil, "Close fails")
	w.check(time.Since(begun) == time.Second, "the last dial took a second, Close %v", time.Since(begun))
	w.gauges(0, 0, 0, 0) // finish sees what is forgotten
	w.shut()
}

func testCloseWarming(w *world) {
	w.dial = func(context.Context, int) error { time.Sleep(time.Second); return nil }
	warmed := make(chan error, 1)
	go func() { warmed <- w.b.Warm(w.ctx, 2) }()
	synctest.Wait()
	w.check(<-w.closeLater(time.Hour) == nil, "Close fails")
	err := <-warmed
	w.check(errors.Is(err, backend.ErrClosed), "Warm, closed meanwhile: %v", err)
	w.gauges(0, 0, 0, 0)
	w.shut()
}

func testCloseSweeping(w *world) {
	w.putAll(w.fill(2))
	swept := make(chan struct{})
	var shown []*Resource
	go func() {
		defer close(swept)
		shown = w.sweep(func(*Resource) bool { time.Sleep(time.Second); return true })
	}()
	synctest.Wait()
	closed := w.closeLater(time.Hour)
	w.check(len(closed) == 0, "Close does not wait for a sweep")
	w.check(<-closed == nil, "Close fails")
	<-swept
	w.check(len(shown) == 1, "Sweep shows %d resources, Close came with the first", len(shown))
	w.gauges(0, 0, 0, 0)
}

func testCloseTwice(w *world) {
	l := w.get()
	w.forced.Store(true)
	first := w.closeLater(time.Hour)
	second := w.closeLater(time.Minute)
	w.check(len(first) == 0 && len(second) == 0, "the second Close does not wait")
	time.Sleep(time.Minute)
	err := <-second // its patience is the shorter
	w.check(errors.Is(err, context.DeadlineExceeded), "the second Close: %v", err)
	w.check(l.Value.closed.Load() == 1, "the second Close does not close what is in use")
	w.check(<-first == nil, "the first Close fails")
	for range 3 {
		err := w.b.Close(w.ctx)
		w.check(err == nil, "Close of what is closed: %v", err)
	}
}

func testCloseWaits(w *world) {
	ended := 0
	w.closing = func(*Resource) { time.Sleep(15 * time.Second); w.mu.Lock(); ended++; w.mu.Unlock() }
	ls := w.fill(2)
	w.put(ls[0], backend.Discard)
	w.put(ls[1], backend.Keep)
	err := w.b.Close(w.ctx)
	w.check(err == nil, "Close: %v", err)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.check(ended == 2, "%d of 2 are closed when Close returns", ended)
}

// returnCases are about promise 10.
var returnCases = []testCase{
	{"10 a slow close delays nobody", backend.Limits{Max: 1}, testSlowClose},
	{"10 a return dials for nobody", backend.Limits{Max: 1}, testReturnDials},
}

// atOnce sees that f takes no time.
func (w *world) atOnce(what string, f func()) {
	w.t.Helper()
	begun := time.Now()
	f()
	if took := time.Since(begun); took != 0 {
		w.t.Errorf("%s takes %v, as long as another's New or Close", what, took)
	}
}

func testSlowClose(w *world) {
	w.closing = func(*Resource) { time.Sleep(15 * time.Second) }
	l := w.get()
	w.atOnce("Return", func() { w.put(l, backend.Discard) })
	w.atOnce("Acquire", func() { l = w.get() })
	c := w.start()
	w.atOnce("Return with a waiter", func() { w.put(l, backend.Discard) })
	synctest.Wait()
	w.check(c.served() && c.took == 0, "a slow close delays %v by %v", c, c.took)
	w.atOnce("Clear", w.clear)
	w.atOnce("Return after Clear", func() { w.put(c.lease, backend.Keep) })
	w.atOnce("Acquire after Clear", func() { w.put(w.get(), backend.Keep) })
	w.atOnce("Sweep", func() { w.sweep(func(*Resource) bool { return false }) })
	w.atOnce("Acquire after Sweep", func() { w.put(w.get(), backend.Keep) })
}

func testReturnDials(w *world) {
	l := w.get()
	c := w.start()
	w.dial = func(context.Context, int) error { time.Sleep(time.Second); return nil }
	w.atOnce("Return", func() { w.put(l, backend.Discard) })
	w.gauges(0, 0, 1, 1)
	time.Sleep(time.Second)
	synctest.Wait()
	w.check(c.served(), "%v", c)
	w.check(c.took == time.Second, "a dial of a second takes %v", c.took)
}
