package balance_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/pool/balance"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

// outcome makes picks until one is of the server, and tells its outcome; the
// other picks succeed.
func outcome(t *testing.T, b *balance.Balancer[*server], addr string, o balance.Outcome) {
	t.Helper()
	outcomes(t, b, addr, o, balance.Outcome{})
}

// outcomes is outcome with an outcome for the other picks.
func outcomes(t *testing.T, b *balance.Balancer[*server], addr string, o, others balance.Outcome) {
	t.Helper()
	for range 10_000 {
		l, err := b.Pick(t.Context(), balance.Request{Idempotent: true})
		require.NoError(t, err)
		if l.Value.addr == addr {
			l.Done(o)
			synctest.Wait()
			return
		}
		l.Done(others)
	}
	require.Fail(t, addr+" is not picked")
}

var failed = balance.Outcome{Result: balance.Failure}

// states returns the state of each endpoint.
func states(b *balance.Balancer[*server]) (all []balance.State) {
	for s := range b.Nodes() {
		all = append(all, s.State)
	}
	return all
}

func TestEjectionGrows(t *testing.T) {
	bubble(t, "1, 2, 4 … 30 s, without the early trials of a busy client", func(t *testing.T) {
		f := newFleet()
		config := f.config(resolve.Static(names(3)))
		config.Policy = balance.RoundRobin
		b := start(t, config)
		for range 5 {
			outcome(t, b, "s00:1", failed)
		}
		require.Equal(t, []string{"s00:1 ready to ejected: failures in a row"}, f.seen())
		for _, wait := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
			pass(wait*time.Second - 10*ms)
			require.Len(t, addrs(t, b, 30, balance.Request{Idempotent: true}), 2, "%d s", wait)
			pass(20 * ms)
			outcome(t, b, "s00:1", failed)
		}
		require.Empty(t, f.seen())
		pass(31 * time.Second)
		outcome(t, b, "s00:1", balance.Outcome{})
		require.Equal(t, []string{"s00:1 ejected to warming: trial succeeded"}, f.seen())
		pass(3 * time.Second)
		require.Equal(t, []string{"s00:1 warming to ready: slow start over"}, f.seen())
		require.InDelta(t, 100, addrs(t, b, 300, balance.Request{})["s00:1"], 2)
	})
	bubble(t, "one that has been well for long begins anew", func(t *testing.T) {
		f := newFleet()
		b := start(t, f.config(resolve.Static(names(3))))
		for range 5 {
			outcome(t, b, "s00:1", failed)
		}
		pass(time.Second)
		outcome(t, b, "s00:1", failed)
		pass(2 * time.Second)
		outcome(t, b, "s00:1", balance.Outcome{})
		pass(time.Minute)
		for range 5 {
			pass(1100 * ms) // the policy avoids what has just failed
			outcome(t, b, "s00:1", failed)
		}
		pass(1001 * ms)
		outcome(t, b, "s00:1", balance.Outcome{})
		require.Equal(t, balance.Warming, states(b)[0])
	})
}

// Only one call at a time tries an endpoint that is out.
func TestOneTrialAtATime(t *testing.T) {
	bubble(t, "and idempotent ones first", func(t *testing.T) {
		b := start(t, newFleet().config(resolve.Static(names(2))))
		for range 5 {
			outcome(t, b, "s00:1", failed)
		}
		pass(1001 * ms)
		require.Len(t, addrs(t, b, 100, balance.Request{}), 1, "a call that cannot be repeated is spared")
		var trial balance.Checkout[*server]
		for range 100 {
			l, err := b.Pick(t.Context(), balance.Request{Idempotent: true})
			require.NoError(t, err)
			if l.Value.addr == "s00:1" {
				require.Nil(t, trial.Node)
				trial = l
			}
		}
		require.NotNil(t, trial.Node)
		trial.Done(balance.Outcome{Result: balance.Ignored}) // says nothing: another tries
		synctest.Wait()
		outcome(t, b, "s00:1", balance.Outcome{})
	})
	bubble(t, "any call after a second more", func(t *testing.T) {
		b := start(t, newFleet().config(resolve.Static(names(2))))
		for range 5 {
			outcome(t, b, "s00:1", failed)
		}
		pass(2002 * ms)
		require.NotZero(t, addrs(t, b, 100, balance.Request{})["s00:1"])
	})
	bubble(t, "a call that never ends does not block it", func(t *testing.T) {
		b := start(t, newFleet().config(resolve.Static(names(2))))
		for range 5 {
			outcome(t, b, "s00:1", failed)
		}
		pass(2002 * ms)
		for range 10 {
			l, err := b.Pick(t.Context(), balance.Request{})
			require.NoError(t, err)
			if l.Value.addr != "s00:1" {
				l.Done(balance.Outcome{})
			}
		}
		pass(35 * time.Second)
		outcome(t, b, "s00:1", balance.Outcome{})
		require.Equal(t, balance.Warming, states(b)[0])
	})
}

func TestTooManyFailing(t *testing.T) {
	bubble(t, "all are used", func(t *testing.T) {
		f := newFleet()
		config := f.config(resolve.Static(names(5)))
		config.Policy = balance.RoundRobin
		b := start(t, config)
		for i := range 4 {
			for range 5 {
				outcome(t, b, fmt.Sprintf("s%02d:1", i), failed)
			}
		}
		require.Equal(t, 4, b.Stat().Ejected)
		require.False(t, b.Stat().Panic)
		require.Len(t, addrs(t, b, 100, balance.Request{}), 1)
		for range 5 {
			outcome(t, b, "s04:1", failed)
		}
		require.True(t, b.Stat().Panic)
		got := map[string]int{}
		for range 100 {
			l, err := b.Pick(t.Context(), balance.Request{})
			require.NoError(t, err)
			got[l.Value.addr]++
			l.Done(failed)
		}
		require.Len(t, got, 5, "more than 80 %% fail: all are used")
		outcomes(t, b, "s02:1", balance.Outcome{}, balance.Outcome{Result: balance.Ignored})
		require.Equal(t, balance.Warming, states(b)[2], "a success needs no trial then")
		require.False(t, b.Stat().Panic)
	})
	bubble(t, "by the configured part, or never", func(t *testing.T) {
		for most, want := range map[float64]bool{0.5: false, 0.3: true, -1: false} {
			config := newFleet().config(resolve.Static(names(2)))
			config.Health.MaxEjected = most
			config.Policy = balance.RoundRobin
			b := start(t, config)
			for range 5 {
				outcome(t, b, "s00:1", failed)
			}
			require.Equal(t, want, b.Stat().Panic, "%v", most)
			require.Equal(t, most < 0, b.Stat().Ejected == 0)
		}
	})
	bubble(t, "a set of one", func(t *testing.T) {
		b := start(t, newFleet().config(resolve.Static(names(1))))
		for range 100 {
			outcome(t, b, "s00:1", failed)
		}
		require.Equal(t, balance.Stat{Endpoints: 1, Ejected: 1, Panic: true, Resolved: b.Stat().Resolved}, b.Stat())
		outcome(t, b, "s00:1", balance.Outcome{})
		require.Equal(t, 1, b.Stat().Available)
	})
}

func TestRetryAfterIsHeeded(t *testing.T) {
	bubble(t, "then one call tries it", func(t *testing.T) {
		f := newFleet()
		b := start(t, f.config(resolve.Static(names(3))))
		outcome(t, b, "s00:1", balance.Outcome{Result: balance.Ignored, RetryAfter: 5 * time.Second})
		require.Equal(t, []string{"s00:1 ready to quiet: retry after"}, f.seen())
		pass(4990 * ms)
		require.Len(t, addrs(t, b, 100, balance.Request{Idempotent: true}), 2)
		pass(20 * ms)
		outcome(t, b, "s00:1", balance.Outcome{Result: balance.Failure, RetryAfter: 10 * time.Second})
		require.Equal(t, balance.Ejected, states(b)[0], "a trial that fails ejects")
		pass(9990 * ms)
		require.Len(t, addrs(t, b, 1000, balance.Request{Idempotent: true}), 2, "what asks for quiet is not tried early")
		pass(20 * ms)
		for _, r := range []balance.Result{balance.Success, balance.Ignored} {
			outcome(t, b, "s00:1", balance.Outcome{Result: r, RetryAfter: 3 * time.Second})
			pass(2990 * ms)
			require.Len(t, addrs(t, b, 100, balance.Request{Idempotent: true}), 2, "the trial has asked for quiet")
			pass(20 * ms)
		}
		outcome(t, b, "s00:1", balance.Outcome{})
		require.Equal(t, balance.Warming, states(b)[0])
	})
	bubble(t, "a minute at most", func(t *testing.T) {
		b := start(t, newFleet().config(resolve.Static(names(3))))
		outcome(t, b, "s00:1", balance.Outcome{RetryAfter: 1000 * time.Hour})
		pass(61 * time.Second)
		outcome(t, b, "s00:1", balance.Outcome{})
	})
	bubble(t, "all are quiet: all are used", func(t *testing.T) {
		b := start(t, newFleet().config(resolve.Static(names(2))))
		for _, e := range names(2) {
			outcome(t, b, e.Addr, balance.Outcome{Result: balance.Ignored, RetryAfter: time.Hour})
		}
		require.Len(t, addrs(t, b, 100, balance.Request{}), 2)
	})
}

func TestGoodbye(t *testing.T) {
	bubble(t, "no calls, until one finds it back", func(t *testing.T) {
		f := newFleet()
		b := start(t, f.config(resolve.Static(names(3))))
		outcome(t, b, "s00:1", balance.Outcome{Result: balance.Goodbye})
		require.Len(t, addrs(t, b, 100, balance.Request{Idempotent: true}), 2)
		pass(1001 * ms)
		outcome(t, b, "s00:1", balance.Outcome{Result: balance.Goodbye})
		require.Equal(t, balance.Leaving, states(b)[0])
		pass(1001 * ms)
		outcome(t, b, "s00:1", failed)
		pass(1001 * ms)
		outcome(t, b, "s00:1", balance.Outcome{})
		require.Equal(t, []string{
			"s00:1 ready to leaving: goodbye", "s00:1 leaving to ejected: trial failed", "s00:1 ejected to warming: trial succeeded",
		}, f.seen())
	})
}

func TestFailureRate(t *testing.T) {
	for _, n := range []int{2, 5, 200} {
		bubble(t, fmt.Sprint(n, " endpoints"), func(t *testing.T) {
			f := newFleet()
			config := f.config(resolve.Static(names(n)))
			config.Policy = balance.RoundRobin
			b := start(t, config)
			for i := range n * 60 {
				l, err := b.Pick(t.Context(), balance.Request{})
				require.NoError(t, err)
				o := balance.Outcome{}
				if l.Value.addr == "s00:1" && l.Value.calls.Add(1)%3 == 0 {
					o = failed // every third: never five in a row
				}
				l.Done(o)
				if i%n == 0 {
					time.Sleep(50 * ms)
				}
			}
			synctest.Wait()
			require.Equal(t, []string{"s00:1 ready to ejected: failure rate"}, f.seen())
		})
	}
	bubble(t, "not where all fail as often", func(t *testing.T) {
		f := newFleet()
		config := f.config(resolve.Static(names(5)))
		config.Policy = balance.RoundRobin
		b := start(t, config)
		for i := range 5000 {
			l, err := b.Pick(t.Context(), balance.Request{})
			require.NoError(t, err)
			l.Done(balance.Outcome{Result: balance.Result(i / 5 % 2)})
			time.Sleep(5 * ms)
		}
		require.Empty(t, f.seen())
	})
	bubble(t, "a quiet client stops comparing", func(t *testing.T) {
		b := start(t, newFleet().config(resolve.Static(names(5))))
		outcome(t, b, "s00:1", failed)
		pass(time.Hour)
		require.Zero(t, b.Stat().Ejected)
	})
}

func TestSlowStart(t *testing.T) {
	for _, c := range policies {
		bubble(t, c.name, func(t *testing.T) {
			m, f := &manual{set: names(4)}, newFleet()
			config := f.config(m)
			config.Policy = c.policy
			b := start(t, config)
			run(b, 8, 9*ms, time.Second, 1)
			m.report(names(5)...)
			require.Equal(t, balance.Warming, states(b)[4])
			early := run(b, 8, 9*ms, 500*ms, 1).share("s04:1")
			pass(time.Second)
			middle := run(b, 8, 9*ms, 500*ms, 1).share("s04:1")
			pass(time.Second)
			late := run(b, 8, 9*ms, 5*time.Second, 1).share("s04:1")
			t.Logf("shares %.3f %.3f %.3f", early, middle, late)
			require.Less(t, early, 0.1)
			require.Greater(t, middle, early)
			require.InDelta(t, 0.2, late, 0.05)
		})
	}
	bubble(t, "a keyed call under Hash keeps to its endpoint", func(t *testing.T) {
		m, f := &manual{set: names(2)}, newFleet()
		config := f.config(m)
		config.Policy = balance.Hash(0)
		b := start(t, config)
		m.report(names(3)...)
		for i := range 50 {
			require.Len(t, addrs(t, b, 20, balance.Request{Key: fmt.Sprint(i)}), 1)
		}
	})
	bubble(t, "none where it is off", func(t *testing.T) {
		m, f := &manual{set: names(1)}, newFleet()
		config := f.config(m)
		config.Health.SlowStart = -1
		b := start(t, config)
		m.report(names(2)...)
		require.Equal(t, []balance.State{balance.Ready, balance.Ready}, states(b))
		for range 5 {
			outcome(t, b, "s00:1", failed)
			pass(1100 * ms)
		}
		pass(time.Second)
		outcome(t, b, "s00:1", balance.Outcome{})
		require.Equal(t, balance.Ready, states(b)[0])
	})
}

// An ejection says that the set may be out of date.
func TestEjectionRefreshes(t *testing.T) {
	bubble(t, "once", func(t *testing.T) {
		m := &manual{set: names(3)}
		b := start(t, newFleet().config(m))
		for range 5 {
			outcome(t, b, "s00:1", failed)
		}
		require.Equal(t, int64(1), m.refreshed.Load())
	})
}

func TestRemovedWhileOut(t *testing.T) {
	bubble(t, "the counts stay right", func(t *testing.T) {
		m, f := &manual{set: names(3)}, newFleet()
		b := start(t, f.config(m))
		for range 5 {
			outcome(t, b, "s00:1", failed)
		}
		pass(1001 * ms) // it is on offer
		m.report(names(3)[1:]...)
		require.Equal(t, 2, b.Stat().Available)
		require.Len(t, addrs(t, b, 100, balance.Request{Idempotent: true}), 2)
		m.report(names(3)...)
		require.Equal(t, 3, b.Stat().Available)
		require.False(t, errors.Is(b.Stat().ResolveError, errDown))
	})
}
