package pooltest

import (
	"context"
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// testCase is one subtest about a promise, run in a bubble.
type testCase struct {
	name   string
	limits backend.Limits
	run    func(w *world)
}

// Run proves that the backends open makes keep the promises of package
// backend. It takes about a second, and is to be run with -race.
func Run(t *testing.T, open backend.OpenFunc[*Resource]) {
	t.Helper()
	t.Run("arguments", func(t *testing.T) { testArguments(t, open) })
	if !t.Run("locks", func(t *testing.T) { testLocks(t, open) }) {
		t.Fatal("a lock is held while New, Close or a callback runs: the rest of the suite would hang")
	}
	for _, group := range [][]testCase{
		lendCases, orderCases, contextCases, staleCases, capacityCases,
		clearCases, closeCases, returnCases, dialCases, warmCases, sweepCases,
		limitCases, scenarioCases, defectCases,
	} {
		for _, c := range group {
			t.Run(c.name, func(t *testing.T) { c.bubble(t, open) })
		}
	}
	t.Run("model", func(t *testing.T) { testModel(t, open) })
	t.Run("stress", func(t *testing.T) { testStress(t, open) })
	t.Run("force", func(t *testing.T) { testForce(t, open) })
}

// bubble runs the case where time is fake.
func (c testCase) bubble(t *testing.T, open backend.OpenFunc[*Resource]) {
	stop := watch(t)
	defer stop()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, open, c.limits)
		defer w.finish()
		c.run(w)
	})
}

// watch ends the process if a bubble hangs. In a bubble a goroutine blocked on
// a mutex is not idle, so fake time stands still and nothing else would.
func watch(t *testing.T) (stop func()) {
	name := t.Name()
	timer := time.AfterFunc(patience(t), func() {
		panic("pooltest: " + name + " is stuck: is a lock held while something waits?")
	})
	return func() { timer.Stop() }
}

// patience is how long, in real time, a bubble may take, or the end of a
// stress.
func patience(t *testing.T) time.Duration {
	return durationOf(t, "POOLTEST_STALL", 2*time.Minute)
}

// durationOf reads an environment variable.
func durationOf(t *testing.T, name string, otherwise time.Duration) time.Duration {
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return d
}

// testArguments sees that Open refuses what it cannot work with.
func testArguments(t *testing.T, open backend.OpenFunc[*Resource]) {
	ok := backend.Factory[*Resource]{
		New:   func(context.Context) (*Resource, error) { return &Resource{}, nil },
		Close: func(*Resource) {},
	}
	for name, c := range map[string]struct {
		f backend.Factory[*Resource]
		l backend.Limits
	}{
		"no New":               {backend.Factory[*Resource]{Close: ok.Close}, backend.Limits{Max: 1}},
		"no Close":             {backend.Factory[*Resource]{New: ok.New}, backend.Limits{Max: 1}},
		"negative DialTimeout": {ok, backend.Limits{Max: 1, DialTimeout: -1}},
	} {
		if b, err := open(c.f, c.l); err == nil {
			t.Errorf("%s: Open succeeds", name)
			if err := b.Close(t.Context()); err != nil {
				t.Errorf("%s: Close: %v", name, err)
			}
		}
	}
}

// testLocks sees that the backend can be used while New, Close and keep are
// blocked. It runs in real time: a goroutine that waits for a mutex would stop
// a bubble for ever.
func testLocks(t *testing.T, open backend.OpenFunc[*Resource]) {
	w := newWorld(t, open, backend.Limits{Max: 4})
	free := make(chan struct{})
	release := func() {
		select {
		case <-free:
		default:
			close(free)
		}
	}
	blocked := make(chan struct{}, 100)
	block := func() { blocked <- struct{}{}; <-free }
	held := w.get()
	spare := w.get()
	idle := w.get()
	w.put(idle, backend.Keep)
	w.dial = func(context.Context, int) error { block(); return nil }
	w.closing = func(*Resource) { block() }
	done := make(chan struct{}, 3)
	async := func(f func()) { go func() { defer func() { done <- struct{}{} }(); f() }() }

	defer w.finish()
	defer func() {
		release()
		for range cap(done) {
			<-done
		}
	}()
	async(func() { w.put(spare, backend.Discard) })
	async(func() { w.sweep(func(*Resource) bool { block(); return true }) })
	wait := func(f func()) {
		t.Helper()
		ended := make(chan struct{})
		go func() { defer close(ended); f() }()
		select {
		case <-ended:
		case <-time.After(lockLimit):
			t.Error("blocked by a New, a Close or a callback that is blocked")
			release()
			<-ended
		}
	}
	wait(func() { <-blocked; <-blocked })
	async(func() {
		ctx, cancel := context.WithTimeout(w.ctx, 2*lockLimit)
		defer cancel()
		if l, err := w.acquire(ctx); err == nil {
			w.put(l, backend.Keep)
		} else if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Acquire: %v", err)
		}
	})
	wait(func() { <-blocked })
	wait(func() { w.b.Stat() })
	wait(func() { w.put(held, backend.Keep) })
	wait(func() {
		ctx, cancel := context.WithCancel(w.ctx)
		cancel()
		if _, err := w.acquire(ctx); err == nil {
			t.Error("Acquire succeeds with a context that has ended")
		}
	})
	wait(func() { w.clear() })
}

// lockLimit is how long, in real time, a call that must not block may take.
const lockLimit = 5 * time.Second
