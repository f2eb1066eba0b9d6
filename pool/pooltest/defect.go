package pooltest

import (
	"context"
	"errors"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// defectCases are the defects found in other pools, by name, so that it can be
// looked up that they are not repeated. What the promises' own cases show is
// here once more under the name of whom it befell.
var defectCases = []testCase{
	{"defect puddle close hangs after a dial in the background", backend.Limits{Max: 1}, testDefectBackground},
	{"defect puddle destroy then release", backend.Limits{Max: 1}, testReturnDiscarded},
	{"defect puddle stale release", backend.Limits{Max: 1}, testReturnOfNext},
	{"defect puddle close wakes nobody", backend.Limits{Max: 1}, testCloseWakes},
	{"defect puddle slow destructor keeps the slot", backend.Limits{Max: 1}, testSlowClose},
	{"defect puddle no deadline for the constructor", backend.Limits{Max: 1}, testDialDeadline},
	{"defect puddle phantom of a create during close", backend.Limits{Max: 2}, testCloseWarming},
	{"defect puddle served though cancelled", backend.Limits{Max: 1}, testEndedFirst},
	{"defect puddle redis sql own dial waited out", backend.Limits{Max: 2}, testLateBinding},
	{"defect puddle redis sql own dial's error while one is idle", backend.Limits{Max: 2}, testLateFailure},
	{"defect redis turn lost to a hook", backend.Limits{Max: 2}, testDefectHook},
	{"defect redis close leaves waiters asleep", backend.Limits{Max: 2}, testCloseDialing},
	{"defect mongo close spins", backend.Limits{Max: 2}, testCloseDrains}, // fake time would stand still
	{"defect fasthttp wakeup lost between check and queue", backend.Limits{Max: 1}, testReturnRace},
	{"defect sql waiters at random", backend.Limits{Max: 2}, testFIFO},
	{"defect sql pending callers after dials fail", backend.Limits{Max: 1}, testDefectPending},
	{"defect fatih maximum that is none", backend.Limits{Max: 3}, testMax},
	{"defect fatih second close of a connection", backend.Limits{Max: 2}, testReturnTwice},
	{"defect silenceper waiters for ever", backend.Limits{Max: 1}, testDeadline},
}

// testDefectBackground closes while nobody waits for the dial in progress.
func testDefectBackground(w *world) {
	w.dial = func(context.Context, int) error { time.Sleep(time.Second); return nil }
	c := w.start()
	c.cancel()
	synctest.Wait()
	begun := time.Now()
	err := w.b.Close(context.Background())
	w.check(err == nil && time.Since(begun) == time.Second, "Close: %v after %v, the dial takes a second", err, time.Since(begun))
	w.gauges(0, 0, 0, 0) // finish sees what has leaked
}

// testDefectHook has every new connection turned down after it was made, as a
// handshake that fails does.
func testDefectHook(w *world) {
	rejected := errors.New("handshake")
	w.dial = func(context.Context, int) error { time.Sleep(time.Millisecond); return rejected }
	for range 20 {
		c := w.start()
		time.Sleep(time.Second)
		w.check(c.done.Load() && errors.Is(c.err, rejected), "turned down: %v; %v", c, w.stat())
	}
	w.whole()
}

// testDefectPending has callers queue while dials fail one after the other.
func testDefectPending(w *world) {
	w.dial = func(_ context.Context, n int) error {
		time.Sleep(time.Second)
		if n < 5 {
			return errors.New("no")
		}
		return nil
	}
	var calls []*call
	for range 6 {
		calls = append(calls, w.start())
	}
	time.Sleep(5 * time.Second)
	synctest.Wait()
	for i, c := range calls[:5] {
		w.check(c.done.Load() && (c.err == nil) == (i == 4), "dial %d of its own: %v", i+1, c)
	}
	w.inOrder(calls[4].lease, backend.Keep, calls[5:])
}
