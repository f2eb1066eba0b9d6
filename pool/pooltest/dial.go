package pooltest

import (
	"context"
	"errors"
	"math"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// dialCases are about promises 11, 12 and 13.
var dialCases = []testCase{
	{"11 a return beats the dial", backend.Limits{Max: 2}, testLateBinding},
	{"11 a return beats a dial that fails", backend.Limits{Max: 2}, testLateFailure},
	{"11 in turn while dialing", backend.Limits{Max: 3}, testLateOrder},
	{"12 the dial of a cancelled caller", backend.Limits{Max: 2}, testCancelledDial},
	{"12 the dial of a cancelled caller serves the next", backend.Limits{Max: 1}, testCancelledDialNext},
	{"12 the dial of a cancelled caller is taken over", backend.Limits{Max: 8}, testTakenOver},
	{"12 the failed dial of a cancelled caller", backend.Limits{Max: 1}, testCancelledDialFails},
	{"12 the context of a dial", backend.Limits{Max: 1, DialTimeout: 3 * time.Second}, testDialContext},
	{"12 the deadline of a dial by default", backend.Limits{Max: 1}, testDialDeadline},
	{"13 a dial fails", backend.Limits{Max: 2}, testDialFails},
	{"13 a dial times out", backend.Limits{Max: 1, DialTimeout: time.Second}, testDialTimeout},
}

// late skips the case unless the backend declares late binding.
func (w *world) late() {
	if _, ok := w.b.(backend.LateBinder); !ok {
		w.t.Skip("no late binding")
	}
}

func testLateBinding(w *world) {
	w.late()
	held := w.get()
	w.dial = func(context.Context, int) error { time.Sleep(500 * time.Millisecond); return nil }
	c := w.start()
	w.gauges(0, 1, 1, 1)
	time.Sleep(10 * time.Millisecond)
	w.put(held, backend.Keep)
	synctest.Wait()
	w.check(c.served() && c.lease.Value == held.Value, "a resource came free while it dials: %v", c)
	w.check(c.took == 10*time.Millisecond, "it came free after 10ms: %v after %v", c, c.took)
	w.gauges(0, 1, 1, 0)
	time.Sleep(490 * time.Millisecond)
	w.gauges(1, 1, 0, 0)
	w.put(w.get(), backend.Keep)
	w.check(w.dialed() == 2, "the dial was wasted: %d dials", w.dialed())
}

func testLateFailure(w *world) {
	w.late()
	held := w.get()
	w.dial = func(context.Context, int) error { time.Sleep(500 * time.Millisecond); return errors.New("no") }
	c := w.start()
	w.put(held, backend.Keep)
	synctest.Wait()
	w.check(c.served(), "%v", c)
	time.Sleep(time.Second)
	w.gauges(0, 1, 0, 0)
	w.put(c.lease, backend.Keep)
	w.whole()
}

// testLateOrder has three callers dial, each dial faster than the one before:
// the first made is for the first who came.
func testLateOrder(w *world) {
	w.late()
	w.dial = func(_ context.Context, n int) error { time.Sleep(time.Duration(4-n) * time.Second); return nil }
	calls := []*call{w.start(), w.start(), w.start()}
	for i, c := range calls {
		w.check(c.pending(), "%v before any dial has ended", c)
		time.Sleep(time.Second)
		synctest.Wait()
		w.check(c.served(), "dial %d has ended, and it is first: %v", 3-i, c)
	}
	w.gauges(0, 3, 0, 0)
}

func testCancelledDial(w *world) {
	w.dial = func(ctx context.Context, _ int) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
			return nil
		}
	}
	c := w.start()
	c.cancel()
	synctest.Wait()
	w.check(c.done.Load() && errors.Is(c.err, context.Canceled), "cancelled while it dials: %v", c)
	w.gauges(0, 0, 1, 0)
	time.Sleep(time.Second)
	w.gauges(1, 0, 0, 0)
	w.put(w.get(), backend.Keep)
	w.check(w.dialed() == 1, "the dial was wasted: %d dials", w.dialed())
}

func testCancelledDialNext(w *world) {
	w.dial = func(context.Context, int) error { time.Sleep(time.Second); return nil }
	first, second := w.start(), w.start()
	first.cancel()
	synctest.Wait()
	w.check(first.done.Load(), "cancelled while it dials: %v", first)
	time.Sleep(time.Second)
	synctest.Wait()
	w.check(second.served(), "a cancelled caller's dial succeeded: %v; %v", second, w.stat())
	w.check(w.dialed() == 1, "the dial was wasted: %d dials", w.dialed())
}

// testTakenOver has callers give up one after the other, with room for more
// dials: each takes over the dial of the one before. Without late binding the
// result of a dial could only be its caller's, so there it is not asked for.
func testTakenOver(w *world) {
	w.late()
	w.dial = func(context.Context, int) error { time.Sleep(2 * time.Second); return nil }
	for range 5 {
		c := w.start()
		time.Sleep(100 * time.Millisecond)
		c.cancel()
		synctest.Wait()
		w.check(c.done.Load(), "cancelled while it dials: %v", c)
	}
	last := w.start()
	w.check(w.dialed() == 1, "%d dials for one caller after the other", w.dialed())
	time.Sleep(1500 * time.Millisecond)
	synctest.Wait()
	w.check(last.served(), "the dial it took over has ended: %v; %v", last, w.stat())
	w.put(last.lease, backend.Keep)
	w.gauges(1, 0, 0, 0)
}

func testCancelledDialFails(w *world) {
	w.dial = func(_ context.Context, n int) error {
		time.Sleep(time.Second)
		if n == 1 {
			return errors.New("no")
		}
		return nil
	}
	first, second := w.start(), w.start()
	first.cancel()
	time.Sleep(3 * time.Second)
	synctest.Wait()
	// It is told of the failure, or has another dial begun for it.
	w.check(second.done.Load(), "a cancelled caller's dial failed: %v; %v", second, w.stat())
	if second.served() {
		w.put(second.lease, backend.Keep)
	}
	w.whole()
}

func testDialContext(w *world) {
	type key struct{}
	ctx, cancel := context.WithTimeout(context.WithValue(w.ctx, key{}, "value"), time.Second)
	defer cancel()
	begun := time.Now()
	var ended time.Duration
	w.dial = func(ctx context.Context, _ int) error {
		d, ok := ctx.Deadline()
		w.check(ok && d.Sub(begun) == 3*time.Second, "the deadline of a dial is after %v, DialTimeout is 3s", d.Sub(begun))
		w.check(ctx.Value(key{}) == "value", "the values of the caller's context are lost")
		<-ctx.Done()
		ended = time.Since(begun)
		return context.Cause(ctx)
	}
	_, err := w.acquire(ctx)
	w.check(errors.Is(err, context.DeadlineExceeded), "Acquire past its deadline: %v", err)
	w.check(time.Since(begun) == time.Second, "Acquire waits for a dial beyond its deadline")
	time.Sleep(5 * time.Second)
	synctest.Wait()
	w.check(ended == 3*time.Second, "a dial's context ended after %v, DialTimeout is 3s", ended)
	w.whole()
}

func testDialDeadline(w *world) {
	w.dial = func(ctx context.Context, _ int) error {
		d, _ := ctx.Deadline()
		w.check(time.Until(d) == 30*time.Second, "the deadline of a dial is after %v", time.Until(d))
		return nil
	}
	w.get()
	w.check(w.dialed() == 1, "no dial")
}

func testDialFails(w *world) {
	cause := errors.New("refused")
	held := w.get()
	w.dial = func(context.Context, int) error { time.Sleep(time.Second); return cause }
	first := w.start()
	second := w.start() // waits: Max is 2
	time.Sleep(time.Second)
	synctest.Wait()
	w.check(first.done.Load() && errors.Is(first.err, cause), "its dial failed: %v", first)
	w.check(first.took == time.Second, "told %v after its dial began, which took a second", first.took)
	w.check(second.pending(), "another's dial failed: %v", second)
	w.gauges(0, 1, 1, 1) // and a dial for it has begun
	time.Sleep(time.Second)
	synctest.Wait()
	w.check(second.done.Load() && errors.Is(second.err, cause), "its dial failed: %v", second)
	w.put(held, backend.Keep)
	w.whole()
}

func testDialTimeout(w *world) {
	w.dial = func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() }
	c := w.start()
	time.Sleep(time.Second)
	synctest.Wait()
	w.check(c.done.Load() && errors.Is(c.err, context.DeadlineExceeded), "its dial timed out: %v", c)
	w.whole()
}

// warmCases are about Warm.
var warmCases = []testCase{
	{"warm", backend.Limits{Max: 4}, testWarm},
	{"warm all at once", backend.Limits{Max: 8}, testWarmTogether},
	{"warm fails", backend.Limits{Max: 4}, testWarmFails},
	{"warm and the context", backend.Limits{Max: 4}, testWarmContext},
	{"warm serves waiters", backend.Limits{Max: 1}, testWarmWaiters},
	{"warm and clear", backend.Limits{Max: 4}, testWarmCleared},
	{"warm and the values of its context", backend.Limits{Max: 4}, testWarmValues},
}

func (w *world) warm(n int) {
	w.t.Helper()
	if err := w.b.Warm(w.ctx, n); err != nil {
		w.failf("Warm(%d): %v", n, err)
	}
}

func testWarm(w *world) {
	w.warm(2)
	w.gauges(2, 0, 0, 0)
	w.warm(2)
	w.warm(1)
	w.warm(0)
	w.warm(-1)
	w.gauges(2, 0, 0, 0)
	l := w.get()
	w.warm(2)
	w.gauges(2, 1, 0, 0)
	w.warm(math.MinInt)
	w.gauges(2, 1, 0, 0)
	w.warm(100)
	w.gauges(3, 1, 0, 0)
	w.warm(math.MaxInt)
	w.gauges(3, 1, 0, 0)
	w.put(l, backend.Keep)
	w.whole()
	w.check(w.dialed() == 4, "%d dials for 4 resources", w.dialed())
}

func testWarmTogether(w *world) {
	w.dial = func(context.Context, int) error { time.Sleep(time.Second); return nil }
	for range 5 {
		go w.warm(3)
	}
	time.Sleep(5 * time.Second)
	w.gauges(3, 0, 0, 0)
}

func testWarmFails(w *world) {
	cause := errors.New("refused")
	w.dial = func(context.Context, int) error { return cause }
	for range 3 {
		err := w.b.Warm(w.ctx, 4)
		w.check(errors.Is(err, cause), "Warm: %v", err)
	}
	w.gauges(0, 0, 0, 0)
	w.whole()
}

func testWarmContext(w *world) {
	w.dial = func(context.Context, int) error { time.Sleep(time.Second); return nil }
	ctx, cancel := context.WithTimeout(w.ctx, 500*time.Millisecond)
	defer cancel()
	err := w.b.Warm(ctx, 1)
	w.check(errors.Is(err, context.DeadlineExceeded), "Warm past its deadline: %v", err)
	time.Sleep(time.Second)
	w.gauges(1, 0, 0, 0)
	err = w.b.Warm(ctx, 3)
	w.check(errors.Is(err, context.DeadlineExceeded), "Warm with a context that has ended: %v", err)
	w.gauges(1, 0, 0, 0)
}

func testWarmWaiters(w *world) {
	w.dial = func(context.Context, int) error { time.Sleep(time.Second); return nil }
	go w.warm(1)
	synctest.Wait()
	c := w.start()
	w.gauges(0, 0, 1, 1)
	time.Sleep(time.Second)
	synctest.Wait()
	w.check(c.served(), "Warm has made a resource: %v", c)
}

// testWarmCleared has Clear give up the dials of a Warm: when it returns without
// an error, what it was asked for is there.
func testWarmCleared(w *world) {
	w.dial = func(ctx context.Context, _ int) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
			return nil
		}
	}
	warmed := make(chan error, 1)
	go func() { warmed <- w.b.Warm(w.ctx, 2) }()
	time.Sleep(500 * time.Millisecond)
	w.clear()
	err := <-warmed
	w.check(err == nil, "Warm, its dials given up by Clear: %v", err)
	w.check(w.b.Stat().Idle == 2, "Warm(2) has returned, and: %v", w.stat())
	w.gauges(2, 0, 0, 0)
}

func testWarmValues(w *world) {
	type key struct{}
	w.dial = func(ctx context.Context, _ int) error {
		w.check(ctx.Value(key{}) == "value", "New does not see the values of Warm's context")
		return nil
	}
	err := w.b.Warm(context.WithValue(w.ctx, key{}, "value"), 2)
	w.check(err == nil, "Warm: %v", err)
	w.check(w.dialed() == 2, "%d dials", w.dialed())
}
