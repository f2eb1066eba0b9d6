package balance_test

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/pool/balance"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

// refusal is the error of a server that has replied that it has too much to do.
type refusal struct{ kindError }

func (refusal) Overloaded() bool { return true }

var errRefusal = refusal{kindError{kind: "overloaded"}}

// limits makes some servers refuse a call at once if they have too many.
type limits struct {
	at       map[string]int64 // those not named have no limit
	inFlight map[string]*atomic.Int64

	handled, refused sync.Map // of each address, an *atomic.Int64
}

func newLimits(at map[string]int64) *limits {
	l := &limits{at: at, inFlight: map[string]*atomic.Int64{}}
	for addr := range at {
		l.inFlight[addr] = &atomic.Int64{}
	}
	return l
}

func count(m *sync.Map, addr string) *atomic.Int64 {
	n, _ := m.LoadOrStore(addr, &atomic.Int64{})
	return n.(*atomic.Int64)
}

// call is one call, repeated once on another server.
func (l *limits) call(t *testing.T, b *balance.Balancer[*server]) error {
	r := balance.Request{Idempotent: true}
	for range 2 {
		c, err := b.Pick(t.Context(), r)
		if err != nil {
			return err
		}
		addr := c.Value.addr
		if n := l.inFlight[addr]; n != nil && n.Add(1) > l.at[addr] {
			n.Add(-1)
			count(&l.refused, addr).Add(1)
			c.Done(balance.Classify(errRefusal))
			r.Tried.Add(c.Node)
			continue
		}
		time.Sleep(8*ms + rand.N(4*ms))
		if n := l.inFlight[addr]; n != nil {
			n.Add(-1)
		}
		count(&l.handled, addr).Add(1)
		c.Done(balance.Outcome{})
		return nil
	}
	return errRefusal
}

// run makes calls from so many goroutines for a time.
func (l *limits) run(t *testing.T, b *balance.Balancer[*server], callers int, pause, d time.Duration) {
	l.handled.Clear()
	l.refused.Clear()
	var wg sync.WaitGroup
	end := time.Now().Add(d)
	for i := range callers {
		wg.Go(func() {
			time.Sleep(pause * time.Duration(i) / time.Duration(callers))
			for time.Now().Before(end) {
				if err := l.call(t, b); err != nil && err != error(errRefusal) {
					t.Error(err)
				}
				time.Sleep(pause/2 + rand.N(pause))
			}
		})
	}
	wg.Wait()
}

// A server that refuses calls because it has too much to do gets fewer of them,
// but as many as it can handle. It is never ejected.
func TestOverloadedServer(t *testing.T) {
	for _, c := range policies[:2] {
		bubble(t, c.name, func(t *testing.T) {
			f := newFleet()
			config := f.config(resolve.Static(names(3)))
			config.Policy = c.policy
			b := start(t, config)
			l := newLimits(map[string]int64{"s00:1": 5})
			l.run(t, b, 150, 10*ms, 10*time.Second)
			handled, refused := count(&l.handled, "s00:1").Load(), count(&l.refused, "s00:1").Load()
			others := count(&l.handled, "s01:1").Load() + count(&l.handled, "s02:1").Load()
			t.Logf("handled %d of 5000, refused %d, the others handled %d", handled, refused, others)
			require.Empty(t, f.seen(), "it is not ejected")
			require.Less(t, refused, others/100)
			require.Greater(t, handled, int64(2500))
		})
	}
}

var overloaded = balance.Outcome{Result: balance.Overloaded}

// Refusals alone never take a server out, also if it is the last one.
func TestOverloadedServerStays(t *testing.T) {
	for _, c := range policies {
		for _, n := range []int{1, 2} {
			bubble(t, c.name, func(t *testing.T) {
				f := newFleet()
				config := f.config(resolve.Static(names(n)))
				config.Policy = c.policy
				b := start(t, config)
				for range 200 {
					l, err := b.Pick(t.Context(), balance.Request{})
					require.NoError(t, err)
					l.Done(overloaded)
					pass(10 * ms)
				}
				require.Empty(t, f.seen())
				require.False(t, b.Stat().Panic)
				refused := uint64(0)
				for s := range b.Nodes() {
					require.Zero(t, s.Failed)
					refused += s.Refused
				}
				require.EqualValues(t, 200, refused)
			})
		}
	}
}

// The count of a balancer keeps the calls that a server refused which has left since: it
// never falls.
func TestRefusedCallsOfServersThatLeft(t *testing.T) {
	bubble(t, "all", func(t *testing.T) {
		m, f := &manual{set: names(2)}, newFleet()
		b := start(t, f.config(m))
		for range 3 {
			outcome(t, b, "s00:1", overloaded)
		}
		outcome(t, b, "s01:1", overloaded)
		require.EqualValues(t, 4, b.Stat().Refused)
		m.report(names(2)[1:]...)
		require.EqualValues(t, 4, b.Stat().Refused)
		outcome(t, b, "s01:1", overloaded)
		outcome(t, b, "s01:1", failed)
		require.EqualValues(t, 5, b.Stat().Refused)
	})
}

// A server that has refused everything since it was known draws no calls, although
// it has none in flight and its latency is not known.
func TestOverloadedFromTheStart(t *testing.T) {
	for _, c := range policies[:2] {
		bubble(t, c.name, func(t *testing.T) {
			config := newFleet().config(resolve.Static(names(3)))
			config.Policy = c.policy
			b := start(t, config)
			l := newLimits(map[string]int64{"s00:1": 0})
			l.run(t, b, 30, 10*ms, 10*time.Second)
			require.Less(t, count(&l.refused, "s00:1").Load(), int64(300), "of 15,000 calls")
			require.Greater(t, count(&l.refused, "s00:1").Load(), int64(10), "it is tried")
		})
	}
}

// A server that can handle its calls again has its share within 5 s.
func TestNoLongerOverloaded(t *testing.T) {
	for _, c := range policies[:2] {
		bubble(t, c.name, func(t *testing.T) {
			config := newFleet().config(resolve.Static(names(3)))
			config.Policy = c.policy
			b := start(t, config)
			l := newLimits(map[string]int64{"s00:1": 0})
			l.run(t, b, 30, 10*ms, 10*time.Second)
			l = newLimits(nil)
			l.run(t, b, 30, 10*ms, 5*time.Second)
			l.run(t, b, 30, 10*ms, 10*time.Second)
			others := float64(count(&l.handled, "s01:1").Load()+count(&l.handled, "s02:1").Load()) / 2
			require.InDelta(t, 1, float64(count(&l.handled, "s00:1").Load())/others, 0.2)
		})
	}
}

// A server that was dead and now refuses calls has replied: it is back.
func TestOverloadedAfterEjection(t *testing.T) {
	bubble(t, "a trial", func(t *testing.T) {
		f := newFleet()
		b := start(t, f.config(resolve.Static(names(2))))
		for range 5 {
			outcome(t, b, "s00:1", failed)
		}
		pass(1001 * ms)
		outcome(t, b, "s00:1", overloaded)
		require.Equal(t, []string{"s00:1 ready to ejected: failures in a row", "s00:1 ejected to warming: trial succeeded"}, f.seen())
	})
	bubble(t, "that asks for quiet", func(t *testing.T) {
		b := start(t, newFleet().config(resolve.Static(names(2))))
		outcome(t, b, "s00:1", balance.Outcome{Result: balance.Overloaded, RetryAfter: 2 * time.Second})
		require.Equal(t, balance.Quiet, states(b)[0])
	})
	bubble(t, "it ends a row of failures", func(t *testing.T) {
		config := newFleet().config(resolve.Static(names(2)))
		config.Policy = balance.RoundRobin
		b := start(t, config)
		for range 4 {
			outcome(t, b, "s00:1", failed)
		}
		outcome(t, b, "s00:1", overloaded)
		outcome(t, b, "s00:1", failed)
		require.Equal(t, balance.Ready, states(b)[0])
	})
}
