package balance_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/pool/balance"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

// over returns a balancer over a fixed set.
func over(t *testing.T, policy balance.Policy, set ...resolve.Endpoint) *balance.Balancer[*server] {
	config := newFleet().config(resolve.Static(set))
	config.Policy = policy
	random := rand.New(rand.NewPCG(7, 7))
	config.Rand = random.Uint64 // the tests pick from one goroutine
	return start(t, config)
}

func TestSharesByWeight(t *testing.T) {
	set := names(4)
	for i, w := range []uint32{0, 2, 3, 10} {
		set[i].Weight = w
	}
	for _, c := range []struct {
		name   string
		policy balance.Policy
		delta  float64
	}{
		{"weighted", balance.Weighted, 4},
		{"least in flight", balance.LeastInFlight, 200},
		{"peak EWMA", nil, 400},
		{"hash of no key", balance.Hash(-1), 200},
	} {
		bubble(t, c.name, func(t *testing.T) {
			b := over(t, c.policy, set...)
			got := addrs(t, b, 16_000, balance.Request{})
			for i, want := range []float64{1000, 2000, 3000, 10_000} {
				require.InDelta(t, want, got[set[i].Addr], c.delta, "%v", got)
			}
		})
	}
	bubble(t, "keys", func(t *testing.T) {
		b := over(t, balance.Hash(-1), set...)
		got := map[string]int{}
		for i := range 16_000 {
			for addr := range addrs(t, b, 1, balance.Request{Key: fmt.Sprint("key", i)}) {
				got[addr]++
			}
		}
		for i, want := range []float64{1000, 2000, 3000, 10_000} {
			require.InDelta(t, want, got[set[i].Addr], 0.15*want+50, "%v", got)
		}
	})
}

// Callers that hold calls share the endpoints by weight.
func TestInFlightByWeight(t *testing.T) {
	bubble(t, "least in flight", func(t *testing.T) {
		set := names(3)
		set[2].Weight = 4
		b := over(t, balance.LeastInFlight, set...)
		held := map[string]int{}
		var all []balance.Checkout[*server]
		for range 600 {
			l, err := b.Pick(t.Context(), balance.Request{})
			require.NoError(t, err)
			held[l.Value.addr]++
			all = append(all, l)
		}
		require.InDelta(t, 400, held["s02:1"], 15)
		require.InDelta(t, 100, held["s01:1"], 15)
		for i := range all {
			all[i].Done(balance.Outcome{})
		}
		for s := range b.Nodes() {
			require.Zero(t, s.InFlight)
		}
	})
}

// Turns by weight are spread evenly: no endpoint waits much longer than its
// share says.
func TestWeightedIsSmooth(t *testing.T) {
	bubble(t, "gaps", func(t *testing.T) {
		set := names(3)
		set[0].Weight, set[1].Weight, set[2].Weight = 5, 1, 1
		b := over(t, balance.Weighted, set...)
		last := 0
		for i := 1; i < 7000; i++ {
			if addrs(t, b, 1, balance.Request{})["s00:1"] == 0 {
				continue
			}
			require.LessOrEqual(t, i-last, 3)
			last = i
		}
	})
}

func TestTriedIsAvoided(t *testing.T) {
	for _, c := range policies {
		bubble(t, c.name, func(t *testing.T) {
			b := over(t, c.policy, names(4)...)
			for range 200 {
				r := balance.Request{Key: "k"}
				seen := map[*balance.Node]bool{}
				for range 4 {
					l, err := b.Pick(t.Context(), r)
					require.NoError(t, err)
					require.False(t, seen[l.Node])
					seen[l.Node] = true
					r.Tried.Add(l.Node)
					l.Done(balance.Outcome{})
				}
				l, err := b.Pick(t.Context(), r) // of four, three are remembered
				require.NoError(t, err)
				require.True(t, seen[l.Node])
				l.Done(balance.Outcome{})
			}
			two := over(t, c.policy, names(2)...)
			r := balance.Request{}
			for range 10 {
				l, err := two.Pick(t.Context(), r)
				require.NoError(t, err, "where all have been tried, one is tried again")
				r.Tried.Add(l.Node)
				l.Done(balance.Outcome{})
			}
		})
	}
}

func TestHashIsSticky(t *testing.T) {
	owners := func(t *testing.T, b *balance.Balancer[*server]) map[string]string {
		all := map[string]string{}
		for i := range 2000 {
			key := fmt.Sprint("user-", i)
			for addr := range addrs(t, b, 1, balance.Request{Key: key}) {
				all[key] = addr
			}
		}
		return all
	}
	bubble(t, "and moves no more than it must", func(t *testing.T) {
		m, f := &manual{set: names(10)}, newFleet()
		config := f.config(m)
		config.Policy = balance.Hash(0)
		config.Health.SlowStart = -1
		b := start(t, config)
		before := owners(t, b)
		require.Equal(t, before, owners(t, b))
		require.Equal(t, before, owners(t, over(t, balance.Hash(0), names(10)...)), "every process agrees")
		m.report(names(9)...)
		moved := 0
		for key, addr := range owners(t, b) {
			if before[key] != "s09:1" {
				require.Equal(t, before[key], addr)
			} else {
				moved++
			}
		}
		require.InDelta(t, 200, moved, 60)
		m.report(names(10)...)
		require.Equal(t, before, owners(t, b))
	})
}

func TestHashIsBounded(t *testing.T) {
	bubble(t, "a popular key spreads", func(t *testing.T) {
		b := over(t, balance.Hash(1.25), names(10)...)
		held := map[string]int{}
		for range 400 {
			l, err := b.Pick(t.Context(), balance.Request{Key: "popular"})
			require.NoError(t, err)
			held[l.Value.addr]++
		}
		for addr, n := range held {
			require.LessOrEqual(t, n, 55, addr)
		}
		require.GreaterOrEqual(t, len(held), 8)
		free := over(t, balance.Hash(-1), names(10)...)
		require.Len(t, addrs(t, free, 100, balance.Request{Key: "popular"}), 1)
		for range 100 {
			l, err := free.Pick(t.Context(), balance.Request{Key: "popular"})
			require.NoError(t, err)
			defer l.Done(balance.Outcome{})
		}
		require.Len(t, addrs(t, free, 100, balance.Request{Key: "popular"}), 1)
	})
	bubble(t, "by weight", func(t *testing.T) {
		set := names(3)
		set[0].Weight = 8
		b := over(t, balance.Hash(1), set...)
		held := map[string]int{}
		for range 500 {
			l, err := b.Pick(t.Context(), balance.Request{Key: "popular"})
			require.NoError(t, err)
			held[l.Value.addr]++
		}
		require.InDelta(t, 400, held["s00:1"], 20)
	})
}

// A key means nothing to the other policies, and no key means any endpoint to
// Hash.
func TestKeyWithoutHash(t *testing.T) {
	bubble(t, "ignored", func(t *testing.T) {
		require.Len(t, addrs(t, over(t, nil, names(4)...), 200, balance.Request{Key: "k"}), 4)
		require.Len(t, addrs(t, over(t, balance.Hash(0), names(4)...), 200, balance.Request{}), 4)
	})
}

// lazy is a picker that finds nothing.
type lazy struct{}

func (lazy) Pick(r balance.Request) *balance.Node { _ = r.Rand(); return nil }

func TestOwnPolicy(t *testing.T) {
	bubble(t, "that finds nothing", func(t *testing.T) {
		b := over(t, func([]*balance.Node) balance.Picker { return lazy{} }, names(3)...)
		_, err := b.Pick(t.Context(), balance.Request{})
		require.ErrorIs(t, err, balance.ErrNoEndpoints)
	})
	bubble(t, "that sees the nodes", func(t *testing.T) {
		var seen []string
		b := over(t, func(nodes []*balance.Node) balance.Picker {
			for _, n := range nodes {
				seen = append(seen, fmt.Sprint(n.Endpoint().Addr, " ", n.InFlight(), n.Latency(), n.State()))
			}
			return balance.RoundRobin(nodes)
		}, names(2)...)
		addrs(t, b, 2, balance.Request{})
		require.Equal(t, []string{"s00:1 0 0s ready", "s01:1 0 0s ready"}, seen)
		require.Equal(t, "unknown", balance.State(9).String())
	})
}

// Without ejection, too, what has just failed is avoided for a second, and then
// looked at again.
func TestWhatHasJustFailedIsAvoided(t *testing.T) {
	for _, c := range policies[:2] {
		bubble(t, c.name, func(t *testing.T) {
			config := newFleet().config(resolve.Static(names(2)))
			config.Policy, config.Health = c.policy, balance.Health{Failures: -1, Rate: -1}
			b := start(t, config)
			run(b, 2, ms, 100*ms, 1)
			outcome(t, b, "s00:1", failed)
			met := 0
			for range 1000 {
				l, err := b.Pick(t.Context(), balance.Request{})
				require.NoError(t, err)
				if l.Value.addr == "s00:1" {
					met++
					l.Done(failed)
				} else {
					l.Done(balance.Outcome{})
				}
			}
			require.LessOrEqual(t, met, 20)
			pass(1001 * ms)
			run(b, 4, ms, 5*time.Second, 1)
			require.InDelta(t, 0.5, run(b, 4, ms, 5*time.Second, 1).share("s00:1"), 0.15)
			require.Equal(t, 2, b.Stat().Available)
		})
	}
}

// A busy client does not time every call, but the first one of an endpoint.
func TestFirstCallIsTimed(t *testing.T) {
	bubble(t, "of a busy client", func(t *testing.T) {
		m, f := &manual{set: names(2)}, newFleet()
		config := f.config(m)
		config.Health.SlowStart = -1
		b := start(t, config)
		addrs(t, b, 10_000, balance.Request{}) // all at the same moment
		for n := 3; n < 20; n++ {
			m.report(names(n)...)
			for i := 0; ; i++ {
				require.Less(t, i, 10_000)
				l, err := b.Pick(t.Context(), balance.Request{})
				require.NoError(t, err)
				fresh := l.Node.Latency() == 0
				if fresh {
					pass(ms)
				}
				l.Done(balance.Outcome{})
				if fresh {
					require.NotZero(t, l.Node.Latency())
					break
				}
			}
		}
	})
}

func TestHashOfNoNumber(t *testing.T) {
	bubble(t, "is the default", func(t *testing.T) {
		for _, load := range []float64{0, 0.5, math.NaN()} {
			b := over(t, balance.Hash(load), names(4)...)
			for range 40 {
				_, err := b.Pick(t.Context(), balance.Request{Key: "popular"})
				require.NoError(t, err)
			}
			for s := range b.Nodes() {
				require.LessOrEqual(t, s.InFlight, 13)
			}
		}
	})
}
