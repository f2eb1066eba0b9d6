package balance_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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

// value is what the simulation keeps for an endpoint.
type value struct {
	addr   string
	held   int
	closed atomic.Bool
}

// simulation drives a balancer by random steps and keeps a model beside it.
type simulation struct {
	t        *testing.T
	random   *rand.Rand
	b        *balance.Balancer[*value]
	resolver *manual
	set      map[string]bool // the set in use
	broken   map[string]bool
	bad      bool // some servers cannot be opened
	held     []balance.Checkout[*value]

	mu     sync.Mutex // guards values and trace
	values []*value
	trace  []string
}

func simulate(t *testing.T, seed uint64, policy balance.Policy, bad bool) *simulation {
	s := &simulation{
		t: t, bad: bad, random: rand.New(rand.NewPCG(seed, 1)), resolver: &manual{}, set: map[string]bool{}, broken: map[string]bool{},
	}
	picks := rand.New(rand.NewPCG(seed, 2))
	b, err := balance.New(balance.Config[*value]{
		Resolver: s.resolver, Policy: policy, Rand: picks.Uint64, AllowEmpty: seed%2 == 0, Zone: "z0",
		Subset: int(seed%3) * 4, Warm: seed%5 == 0,
		Open: func(e resolve.Endpoint) (*value, error) {
			if e.Meta["bad"] != "" {
				return nil, errDown
			}
			v := &value{addr: e.Addr}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.values = append(s.values, v)
			return v, nil
		},
		Close: func(_ context.Context, v *value) error {
			if v.closed.Swap(true) {
				t.Error("closed twice")
			}
			return nil
		},
		OnChange: func(c balance.Change) {
			s.note("%s %v>%v %s", c.Node.Endpoint().Addr, c.From, c.To, c.Reason)
		},
	})
	require.NoError(t, err)
	s.b = b
	t.Cleanup(func() { _ = b.Close() })
	synctest.Wait()
	return s
}

func (s *simulation) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trace = append(s.trace, fmt.Sprintf(format, args...))
}

func (s *simulation) endpoints(n int) []resolve.Endpoint {
	set := make([]resolve.Endpoint, n)
	for i := range set {
		set[i] = resolve.Endpoint{
			Addr: fmt.Sprintf("s%d", s.random.IntN(12)), Weight: s.random.Uint32N(4),
			Priority: s.random.IntN(8) / 7, Zone: fmt.Sprintf("z%d", s.random.IntN(2)),
		}
		if s.random.IntN(20) == 0 && s.bad {
			set[i].Meta = map[string]string{"bad": "yes"}
		}
	}
	return set
}

func (s *simulation) step() {
	switch k := s.random.IntN(40); {
	case k == 0:
		set := s.endpoints(s.random.IntN(14))
		s.note("set of %d", len(set))
		s.resolver.report(set...)
	case k == 1:
		s.resolver.fail(errDown)
	case k == 2:
		addr := fmt.Sprintf("s%d", s.random.IntN(12))
		s.broken[addr] = !s.broken[addr]
	case k < 6:
		pass(time.Duration(s.random.Int64N(int64(3 * time.Second))))
	case k < 22:
		s.pick()
	default:
		s.done()
	}
	s.check()
}

func (s *simulation) pick() {
	r := balance.Request{Key: []string{"", "a", "b"}[s.random.IntN(3)], Idempotent: s.random.IntN(2) == 0}
	for range s.random.IntN(3) {
		if len(s.held) > 0 {
			r.Tried.Add(s.held[s.random.IntN(len(s.held))].Node)
		}
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Millisecond)
	defer cancel()
	c, err := s.b.Pick(ctx, r)
	synctest.Wait()
	if err != nil {
		var e *balance.Error
		require.ErrorAs(s.t, err, &e)
		require.True(s.t, e.SafeToRetry())
		s.note("pick: %v", err)
		if errors.Is(err, balance.ErrNoEndpoints) {
			require.Zero(s.t, s.b.Stat().Endpoints)
		}
		return
	}
	require.False(s.t, c.Value.closed.Load())
	require.NotEqual(s.t, balance.Removed, c.Node.State())
	c.Value.held++
	s.held = append(s.held, c)
	s.note("pick %s", c.Value.addr)
}

func (s *simulation) done() {
	if len(s.held) == 0 {
		return
	}
	i := s.random.IntN(len(s.held))
	c := s.held[i]
	s.held = slices.Delete(s.held, i, i+1)
	o := balance.Outcome{}
	switch k := s.random.IntN(100); {
	case s.broken[c.Value.addr]:
		o.Result = balance.Failure
	case k < 5:
		o.Result = balance.Result(k)
	case k == 5:
		o.RetryAfter = time.Duration(s.random.Int64N(int64(10 * time.Second)))
	}
	c.Value.held--
	s.note("done %s %v", c.Value.addr, o)
	c.Done(o)
	c.Done(o)
	synctest.Wait()
}

// check compares what the balancer shows with the model.
func (s *simulation) check() {
	synctest.Wait()
	stat := s.b.Stat()
	nodes, available, held := 0, 0, 0
	for n, v := range s.b.Nodes() {
		nodes++
		if n.State == balance.Ready || n.State == balance.Warming {
			available++
		}
		require.NotEqual(s.t, balance.Removed, n.State)
		if n.Opened {
			require.Equal(s.t, v.held, n.InFlight)
			held += n.InFlight
		} else {
			require.Zero(s.t, n.InFlight)
		}
	}
	require.Equal(s.t, stat.Endpoints, nodes)
	require.Equal(s.t, stat.Available, available)
	require.LessOrEqual(s.t, held, len(s.held))
}

// end lets everything become well, and then closes.
func (s *simulation) end() {
	set := make([]resolve.Endpoint, 3)
	for i := range set {
		set[i].Addr = fmt.Sprintf("s%d", i)
	}
	s.resolver.report(set...)
	clear(s.broken)
	for len(s.held) > 0 {
		s.done()
	}
	for range 2000 {
		c, err := s.b.Pick(s.t.Context(), balance.Request{Idempotent: true})
		require.NoError(s.t, err)
		pass(50 * ms)
		c.Done(balance.Outcome{})
	}
	pass(time.Minute)
	require.Equal(s.t, 3, s.b.Stat().Available, "%v", states2(s.b))
	require.False(s.t, s.b.Stat().Panic)
	require.NoError(s.t, s.b.Close())
	for _, v := range s.values {
		require.True(s.t, v.closed.Load(), v.addr)
	}
}

func states2(b *balance.Balancer[*value]) (all []string) {
	for s := range b.Nodes() {
		all = append(all, fmt.Sprint(s.Endpoint.Addr, " ", s.State))
	}
	return all
}

// simulated runs one simulation to its end and returns its trace.
func simulated(t *testing.T, seed uint64, steps int, bad bool) (trace []string) {
	policy := policies[seed%uint64(len(policies))].policy
	synctest.Test(t, func(t *testing.T) {
		s := simulate(t, seed, policy, bad)
		for range steps {
			s.step()
		}
		s.end()
		trace = s.trace
	})
	return trace
}

func TestSimulation(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { simulated(t, seed, 400, true) })
	}
}

// The same seed gives the same run, to the last pick. Where a server cannot be opened,
// the pick tries another while the balancer takes note of that, so there it may not.
func TestSimulationIsDeterministic(t *testing.T) {
	for seed := range uint64(5) {
		one, two := simulated(t, seed, 400, false), simulated(t, seed, 400, false)
		require.Len(t, two, len(one))
		for i := range one {
			require.Equal(t, one[i], two[i])
		}
	}
}

func FuzzSimulation(f *testing.F) {
	f.Add(uint64(1), uint16(50))
	f.Fuzz(func(t *testing.T, seed uint64, steps uint16) { simulated(t, seed, int(steps%2000), true) })
}
