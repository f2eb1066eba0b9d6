package pooltest

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// scenarioCases are longer stories, after the tests of other pools: net/http's
// transport, MongoDB's connection monitoring, database/sql.
var scenarioCases = []testCase{
	{"scenario great queue", backend.Limits{Max: 4}, testGreatQueue},
	{"scenario connections break one by one", backend.Limits{Max: 3}, testBreaking},
	{"scenario pool exhausted and callers give up", backend.Limits{Max: 3}, testExhausted},
	{"scenario server is away for a while", backend.Limits{Max: 4}, testAway},
	{"scenario failover", backend.Limits{Max: 4}, testFailover},
	{"scenario waiting out a dial that hangs", backend.Limits{Max: 2, DialTimeout: 10 * time.Second}, testHanging},
}

// testGreatQueue has ten thousand callers (under the race detector fewer) wait
// for four resources while every tenth gives up at some moment, often the very
// one at which it is served. All others are served, in order.
func testGreatQueue(w *world) {
	seed := seedOf(w.t)
	rnd := rand.New(rand.NewPCG(seed, 1))
	free := w.fill(4)
	waiting := make([]*call, crowd)
	for i := range waiting {
		waiting[i] = w.start()
	}
	w.gauges(0, 4, 0, crowd)

	next, cancelled, late := 0, 0, 0
	cancel := func(c *call) {
		if c.ctx.Err() == nil {
			c.cancel()
			cancelled++
		}
	}
	for next < crowd {
		if rnd.IntN(10) == 0 { // someone in the queue
			cancel(waiting[next+rnd.IntN(min(1000, crowd-next))])
		}
		head := waiting[next]
		w.put(free[0], backend.Verdict(rnd.IntN(20)/19))
		if head.ctx.Err() == nil && rnd.IntN(50) == 0 { // while it is served
			cancel(head)
			late++
		}
		synctest.Wait()
		for ; next < crowd && waiting[next].ctx.Err() != nil; next++ {
			c := waiting[next]
			w.check(c.done.Load(), "gave up: %v", c)
			if c.served() { // it was served first
				w.put(c.lease, backend.Keep)
				synctest.Wait()
			}
		}
		if next == crowd {
			break
		}
		c := waiting[next]
		w.check(c.served(), "lost or out of turn: %v; %v", c, w.stat())
		free = append(free[1:], c.lease)
		if next++; next < crowd {
			w.check(!waiting[next].served(), "out of turn: %v", waiting[next])
		}
	}
	w.check(cancelled > crowd/20, "only %d gave up", cancelled)
	w.t.Logf("%d callers, %d gave up, %d of them while being served", crowd, cancelled, late)
	for _, c := range waiting {
		w.check(c.served() || errors.Is(c.err, context.Canceled), "%v", c)
	}
}

// testBreaking is a pool whose connections break, one after the other, while
// more callers than connections want one: each break makes room for a dial.
func testBreaking(w *world) {
	ls := w.fill(3)
	var waiting []*call
	for range 9 {
		waiting = append(waiting, w.start())
	}
	for i, c := range waiting {
		w.put(ls[0], backend.Discard)
		synctest.Wait()
		w.check(c.served(), "connection %d broke: %v; %v", i, c, w.stat())
		ls = append(ls[1:], c.lease)
	}
	w.check(w.dialed() == 12, "%d dials for 12 connections", w.dialed())
}

// testExhausted: callers time out while all are in use; nothing is lost by it.
func testExhausted(w *world) {
	ls := w.fill(3)
	for range 100 {
		ctx, cancel := context.WithTimeout(w.ctx, time.Millisecond)
		_, err := w.acquire(ctx)
		cancel()
		w.check(errors.Is(err, context.DeadlineExceeded), "all are in use: %v", err)
	}
	w.gauges(0, 3, 0, 0)
	w.putAll(ls)
	w.whole()
	w.check(w.dialed() == 3, "%d dials for 3 connections", w.dialed())
}

// testAway: dials fail for a while. Callers fail with the cause; those who
// wait are not stranded by the failures of others; then all is well.
func testAway(w *world) {
	away := errors.New("connection refused")
	w.dial = func(context.Context, int) error { time.Sleep(10 * time.Millisecond); return away }
	var calls []*call
	for range 40 {
		calls = append(calls, w.launch())
	}
	time.Sleep(time.Second)
	synctest.Wait()
	for _, c := range calls {
		w.check(c.done.Load() && errors.Is(c.err, away), "the server is away: %v; %v", c, w.stat())
	}
	w.gauges(0, 0, 0, 0)
	w.whole()
}

// testFailover: the pool is cleared while connections are in use, idle and being
// dialed, and callers wait; every caller goes on with the new server.
func testFailover(w *world) {
	ls := w.fill(3)
	w.put(ls[2], backend.Keep)
	idle := ls[2].Value
	w.dial = func(context.Context, int) error { time.Sleep(time.Second); return nil }
	got := w.get() // the idle one
	w.put(got, backend.Keep)
	w.check(got.Value == idle, "dialed while resource %d is idle", idle.ID)
	held := w.get()
	dialing, waiting := w.start(), w.start()
	w.clear()
	for _, l := range append(ls[:2], held) {
		w.put(l, backend.Keep)
	}
	time.Sleep(10 * time.Second)
	synctest.Wait()
	for _, c := range []*call{dialing, waiting} {
		w.check(c.served(), "stranded by the failover: %v; %v", c, w.stat())
		w.check(c.lease.Value.gen != 0, "%v, of the old server", c)
		w.put(c.lease, backend.Keep)
	}
}

// testHanging: the dial of a caller hangs; its own patience is short. The next
// caller takes the dial over, and gets a resource, or an error in good time.
func testHanging(w *world) {
	w.dial = func(ctx context.Context, n int) error {
		if n > 1 {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}
	first := w.start()
	first.cancel()
	synctest.Wait()
	c := w.start()
	time.Sleep(time.Minute)
	synctest.Wait()
	w.check(c.done.Load(), "a dial has hung, and its time is over: %v; %v", c, w.stat())
	if c.served() {
		w.put(c.lease, backend.Keep)
	}
	w.whole()
}
