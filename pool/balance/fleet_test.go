package balance_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/pool/balance"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

// 1,000 endpoints of which one is replaced ten times a second, at times by
// nothing that listens, and 64 callers.
func TestChurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, f := &manual{}, newFleet()
		set, next := names(1000), 1000
		seconds := 60
		if detectsRaces {
			seconds = 6 // it is slow
		}
		m.set = append(m.set, set...)
		config := f.config(m)
		config.OnChange = nil
		open := atomic.Int64{}
		inner := config.Open
		config.Open = func(e resolve.Endpoint) (*server, error) { open.Add(1); return inner(e) }
		closed := config.Close
		config.Close = func(ctx context.Context, s *server) error {
			open.Add(-1)
			s.broken.Store(true)
			return closed(ctx, s)
		}
		b := start(t, config)
		var goroutines []int
		var churn sync.WaitGroup
		churn.Go(func() {
			for i := range seconds * 10 {
				time.Sleep(100 * ms)
				set[i%1000].Addr = fmt.Sprintf("n%d:1", next)
				if next++; next%50 == 0 {
					f.at(set[i%1000].Addr).broken.Store(true)
				}
				now := slices.Clone(set)
				m.channel() <- func(update func([]resolve.Endpoint, error)) { update(now, nil) }
				if i%(seconds*10/6) == 0 {
					goroutines = append(goroutines, runtime.NumGoroutine())
				}
			}
		})
		l := run(b, 64, 9*ms, time.Duration(seconds)*time.Second, 3)
		churn.Wait()
		require.Zero(t, l.failed)
		require.Greater(t, l.calls, 5000*seconds)
		synctest.Wait()
		require.LessOrEqual(t, open.Load(), int64(1000))
		require.Zero(t, b.Stat().Draining)
		require.InDelta(t, goroutines[0], goroutines[5], 10, "%v", goroutines)
	})
}

// Each of five servers says goodbye, is away for a second, and comes back.
func TestRollingRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		b := start(t, f.config(resolve.Static(names(5))))
		leaving := make([]atomic.Bool, 5)
		var first, all atomic.Int64
		call := func() {
			r := balance.Request{Idempotent: true}
			for attempt := range 2 {
				c, err := b.Pick(t.Context(), r)
				require.NoError(t, err)
				r.Tried.Add(c.Node)
				o := balance.Outcome{}
				switch s := c.Value; {
				case s.broken.Load():
					o.Result = balance.Failure
				case leaving[s.addr[2]-'0'].Load():
					o.Result = balance.Goodbye
				default:
					time.Sleep(ms)
				}
				c.Done(o)
				if o.Result == balance.Success {
					all.Add(1)
					return
				}
				first.Add(1)
				if attempt == 1 {
					t.Error("a call failed")
				}
			}
		}
		var callers sync.WaitGroup
		end := time.Now().Add(40 * time.Second)
		for range 32 {
			callers.Go(func() {
				for time.Now().Before(end) {
					call()
					time.Sleep(9 * ms)
				}
			})
		}
		for i := range 5 {
			leaving[i].Store(true)
			time.Sleep(500 * ms)
			f.at(names(5)[i].Addr).broken.Store(true)
			leaving[i].Store(false)
			time.Sleep(time.Second)
			f.at(names(5)[i].Addr).broken.Store(false)
			time.Sleep(5 * time.Second)
		}
		callers.Wait()
		t.Logf("%d calls, %d attempts repeated", all.Load(), first.Load())
		require.Equal(t, 5, b.Stat().Available)
	})
}

// 10,000 endpoints: sets are taken, picks work, and a network that is gone for
// all of them and returns leaves nothing behind.
func TestTenThousand(t *testing.T) {
	for _, c := range []int{0, 4} {
		c := policies[c]
		bubble(t, c.name, func(t *testing.T) {
			n := 10_000
			if detectsRaces {
				n = 1000 // it is slow
			}
			set := make([]resolve.Endpoint, n)
			for i := range set {
				set[i] = resolve.Endpoint{Addr: fmt.Sprintf("s%05d:1", i), Weight: uint32(1 + i%3)}
			}
			m, f := &manual{set: set}, newFleet()
			config := f.config(m)
			config.Policy, config.OnChange = c.policy, nil
			b := start(t, config)
			run(b, 10, ms, 100*ms, 1)
			require.Equal(t, n, b.Stat().Available)
			for i := range 15_000 {
				l, err := b.Pick(t.Context(), balance.Request{Key: fmt.Sprint(i % 300)})
				require.NoError(t, err)
				l.Done(failed)
			}
			synctest.Wait()
			ejected := b.Stat().Ejected
			m.report(set[:n/2]...)
			require.Equal(t, n/2, b.Stat().Endpoints)
			run(b, 10, ms, 2*time.Second, 1)
			t.Logf("%d were ejected, %d of %d available", ejected, b.Stat().Available, n/2)
			require.GreaterOrEqual(t, b.Stat().Available, n*2/5)
		})
	}
}

// Real goroutines, for the race detector: nothing is lost or used after its end.
func TestStress(t *testing.T) {
	for _, c := range policies {
		t.Run(c.name, func(t *testing.T) { stress(t, c.policy) })
	}
}

func stress(t *testing.T, policy balance.Policy) {
	type thing struct{ users, closed atomic.Int64 }
	var things sync.Map
	m := &manual{}
	b, err := balance.New(balance.Config[*thing]{
		Resolver: m, Policy: policy, Zone: "a",
		Open: func(resolve.Endpoint) (*thing, error) {
			v := &thing{}
			things.Store(v, true)
			return v, nil
		},
		Close: func(ctx context.Context, v *thing) error {
			if closed, users := v.closed.Add(1), v.users.Load(); closed != 1 || users != 0 {
				t.Errorf("closed %d times, in use by %d, %v", closed, users, ctx.Err())
			}
			return nil
		},
	})
	require.NoError(t, err)
	var workers sync.WaitGroup
	stop := make(chan struct{})
	for i := range 6 {
		random := rand.New(rand.NewPCG(uint64(i), 0))
		workers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				l, err := b.Pick(context.Background(), balance.Request{Idempotent: true, Key: fmt.Sprint(random.IntN(9))})
				if err != nil {
					t.Error(err)
					return
				}
				l.Value.users.Add(1)
				if l.Value.closed.Load() != 0 {
					t.Error("used after its end")
				}
				runtime.Gosched()
				l.Value.users.Add(-1)
				o := balance.Outcome{Result: balance.Result(max(0, random.IntN(30)-26))}
				if random.IntN(50) == 0 {
					o.RetryAfter = time.Millisecond
				}
				l.Done(o)
			}
		})
	}
	random := rand.New(rand.NewPCG(9, 0))
	for range 300 {
		set := make([]resolve.Endpoint, 1+random.IntN(20))
		for i := range set {
			set[i] = resolve.Endpoint{Addr: fmt.Sprint("s", random.IntN(30)), Weight: random.Uint32N(3), Zone: []string{"a", "b"}[random.IntN(2)]}
		}
		m.channel() <- func(update func([]resolve.Endpoint, error)) { update(set, nil) }
	}
	close(stop)
	workers.Wait()
	require.NoError(t, b.Shutdown(t.Context()))
	things.Range(func(v, _ any) bool { return v.(*thing).closed.Load() == 1 || !t.Failed() && fail(t) })
}

func fail(t *testing.T) bool { t.Error("a value was not closed"); return false }

// A resolver that cannot make up its mind: every 20 ms another set, and an error or
// an empty set in between. No call fails, and what was opened is closed.
func TestFlappingResolver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, f := &manual{set: names(2)}, newFleet()
		config := f.config(m)
		var open atomic.Int64
		config.Open = func(e resolve.Endpoint) (*server, error) {
			open.Add(1)
			s := &server{addr: e.Addr}
			s.latency.Store(int64(ms))
			return s, nil
		}
		config.Close = func(_ context.Context, s *server) error {
			open.Add(-1)
			s.broken.Store(true) // whoever calls it now sees a failure
			return nil
		}
		b := start(t, config)
		var flaps sync.WaitGroup
		flaps.Go(func() {
			for i := range 500 {
				time.Sleep(20 * ms)
				m.channel() <- func(update func([]resolve.Endpoint, error)) {
					update(nil, errDown)
					update(nil, nil)
					update(names(4)[i%3:i%3+2], nil)
				}
			}
		})
		l := run(b, 16, ms, 10*time.Second, 1)
		flaps.Wait()
		synctest.Wait()
		require.Zero(t, l.failed)
		require.LessOrEqual(t, open.Load(), int64(2))
	})
}
