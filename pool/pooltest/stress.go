package pooltest

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// stressTime is how long the stress takes unless POOLTEST_STRESS says.
const stressTime = 250 * time.Millisecond

var errStress = errors.New("a dial fails now and then")

// testStress does everything at once, in real time.
func testStress(t *testing.T, open backend.OpenFunc[*Resource]) {
	length := durationOf(t, "POOLTEST_STRESS", stressTime)
	for _, shape := range []struct {
		name         string
		max, callers int
		clears       bool
		resizes      bool
	}{
		{"few for many", 4, 64, false, false},
		{"few for many, cleared", 3, 32, true, false},
		{"one for many", 1, 16, false, false},
		{"enough, cleared", 64, 16, true, false},
		{"few for many, cleared and resized", 4, 16, true, true},
	} {
		t.Run(shape.name, func(t *testing.T) {
			w := newWorld(t, open, backend.Limits{Max: shape.max})
			s := &stress{world: w, end: time.Now().Add(length / 5), clears: shape.clears}
			if shape.resizes {
				s.resizer = w.resizer()
			}
			// A dial that a Clear made useless cannot be told from one begun
			// after it, so Max is checked where there is none.
			w.loose.Store(shape.clears)
			stuck := time.AfterFunc(length+patience(t), func() {
				panic("pooltest: callers are stuck: " + w.stat())
			})
			defer stuck.Stop()
			s.run(shape.callers)
		})
	}
}

// stress is a world with many callers.
type stress struct {
	*world
	end    time.Time
	clears bool
	calm   atomic.Bool // dials fail no more

	resizer backend.Resizer // nil: the maximum stays

	mu        sync.Mutex
	served    int
	cancelled int
	failed    int
}

func (s *stress) run(callers int) {
	s.dial = func(context.Context, int) error {
		if s.calm.Load() {
			return nil
		}
		switch rand.IntN(50) {
		case 0:
			return errStress
		case 1:
			panic(errStress)
		case 2:
			time.Sleep(time.Millisecond)
		}
		return nil
	}
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			// Once at least: on a busy machine the time may be over before it begins.
			for more := true; more; more = time.Now().Before(s.end) {
				s.once()
			}
		})
	}
	wg.Go(s.disturb)
	wg.Wait()

	st := s.b.Stat()
	if st.Used != 0 || st.Waiting != 0 {
		s.t.Errorf("nobody has or wants anything: %v", s.stat())
	}
	s.calm.Store(true)
	for s.b.Stat().Dialing > 0 { // begun before the calm, and may fail yet
		runtime.Gosched()
	}
	if s.resizer != nil {
		s.resize(s.resizer, s.limits.Max)
	}
	if s.limits.Max > 0 {
		ls := s.fill(s.limits.Max) // no room was lost
		s.putAll(ls)
	}
	s.finish()
	if s.served == 0 {
		s.t.Error("nobody was served")
	}
	s.t.Logf("%d served, %d gave up, %d failed, %d dials", s.served, s.cancelled, s.failed, s.dialed())
}

// once acquires and returns.
func (s *stress) once() {
	ctx := s.ctx
	if rand.IntN(4) == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(rand.IntN(300))*time.Microsecond)
		defer cancel()
	}
	l, err := s.acquire(ctx)
	if err != nil {
		s.refused(ctx, err)
		return
	}
	l.Value.touch++ // the race detector sees two owners
	if rand.IntN(8) == 0 {
		runtime.Gosched()
	}
	l.Value.touch++
	v := backend.Keep
	if rand.IntN(100) == 0 {
		v = backend.Discard
	}
	s.put(l, v)
	if rand.IntN(20) == 0 { // once more: no effect on who has it now
		if err := s.b.Return(l, backend.Discard); !errors.Is(err, backend.ErrStale) {
			s.t.Errorf("Return of a lease returned before: %v", err)
		}
	}
	s.mu.Lock()
	s.served++
	s.mu.Unlock()
}

// refused counts the errors that must be expected.
func (s *stress) refused(ctx context.Context, err error) {
	var p *backend.PanicError
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case errors.Is(err, errStress), errors.As(err, &p):
		s.failed++
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		s.cancelled++
	default:
		s.t.Errorf("Acquire: %v", err)
	}
}

// disturb sweeps, clears, resizes, warms and looks, all the time.
func (s *stress) disturb() {
	for time.Now().Before(s.end) {
		if s.resizer != nil {
			s.resize(s.resizer, rand.IntN(2*s.limits.Max))
		}
		switch rand.IntN(8) {
		case 0:
			if s.clears {
				s.clear()
			}
		case 1:
			ctx, cancel := context.WithTimeout(s.ctx, time.Millisecond)
			err := s.b.Warm(ctx, 1+rand.IntN(4))
			var p *backend.PanicError
			if err != nil && !errors.Is(err, errStress) && !errors.As(err, &p) && ctx.Err() == nil {
				s.t.Errorf("Warm: %v", err)
			}
			cancel()
		case 2, 3:
			s.sweep(func(*Resource) bool { return rand.IntN(10) > 0 })
		default:
			if st := s.b.Stat(); st.Idle < 0 || st.Used < 0 || st.Dialing < 0 || st.Waiting < 0 {
				s.t.Errorf("Stat: %+v", st)
			}
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// testForce closes without patience, again and again, while callers come and
// go: each resource must be closed once, and nothing may hang or panic.
func testForce(t *testing.T, open backend.OpenFunc[*Resource]) {
	end := time.Now().Add(durationOf(t, "POOLTEST_STRESS", stressTime) / 4)
	stuck := time.AfterFunc(time.Until(end)+patience(t), func() {
		panic("pooltest: stuck at a Close whose context had ended")
	})
	defer stuck.Stop()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for time.Now().Before(end) && !t.Failed() {
		w := newWorld(t, open, backend.Limits{Max: 3})
		w.forced.Store(true)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { w.untilClosed() })
		}
		for range rand.IntN(100) {
			runtime.Gosched()
		}
		if err := w.b.Close(ended); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("Close: %v", err)
		}
		wg.Wait()
		w.finish()
	}
}

// untilClosed acquires and returns until it is told ErrClosed.
func (w *world) untilClosed() {
	for {
		l, err := w.acquire(w.ctx)
		if err != nil {
			if !errors.Is(err, backend.ErrClosed) {
				w.t.Errorf("Acquire while Close goes on: %v", err)
			}
			return
		}
		w.forget(l)
		if err := w.b.Return(l, backend.Keep); err != nil && !errors.Is(err, backend.ErrStale) {
			w.t.Errorf("Return while Close goes on: %v", err)
		}
	}
}
