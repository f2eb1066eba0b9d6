package balance_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/pool/balance"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

// levels returns four levels of two: s00 and s01 are of the first priority and
// this zone, s02 and s03 of the other zone, and so on.
func levels() []resolve.Endpoint {
	set := names(8)
	for i := range set {
		set[i].Priority = i / 4
		set[i].Zone = []string{"here", "there"}[i/2%2]
	}
	return set
}

func overLevels() balance.Config[*server] {
	c := newFleet().config(resolve.Static(levels()))
	c.Zone, c.Policy = "here", balance.RoundRobin
	return c
}

func TestPriorityAndZone(t *testing.T) {
	bubble(t, "the own zone of the first priority", func(t *testing.T) {
		b := start(t, overLevels())
		require.Equal(t, map[string]int{"s00:1": 50, "s01:1": 50}, addrs(t, b, 100, balance.Request{}))
	})
	bubble(t, "spills over as they are ejected", func(t *testing.T) {
		c := overLevels()
		c.Health.SlowStart = -1
		b := start(t, c)
		for range 5 {
			outcome(t, b, "s00:1", failed)
		}
		got := addrs(t, b, 1000, balance.Request{})
		require.InDelta(t, 700, got["s01:1"], 60, "half of the level, times 1.4")
		require.InDelta(t, 150, got["s02:1"], 50)
		require.Zero(t, got["s04:1"])
		for range 5 {
			outcome(t, b, "s01:1", failed)
		}
		require.Equal(t, map[string]int{"s02:1": 50, "s03:1": 50}, addrs(t, b, 100, balance.Request{}))
		for _, addr := range []string{"s02:1", "s03:1", "s04:1"} {
			for range 5 {
				outcome(t, b, addr, failed)
			}
		}
		got = addrs(t, b, 1000, balance.Request{})
		require.InDelta(t, 700, got["s05:1"], 60)
		require.InDelta(t, 150, got["s07:1"], 50, "and so to the last level")
	})
	bubble(t, "all levels have too few", func(t *testing.T) {
		set := names(6)
		for i := range set {
			set[i].Priority = i / 3
		}
		c := newFleet().config(resolve.Static(set))
		c.Policy = balance.RoundRobin
		b := start(t, c)
		for _, addr := range []string{"s00:1", "s01:1", "s03:1", "s04:1"} {
			for range 5 {
				outcome(t, b, addr, failed)
			}
		}
		got := addrs(t, b, 1000, balance.Request{})
		require.InDelta(t, 500, got["s02:1"], 60)
		require.InDelta(t, 500, got["s05:1"], 60)
	})
}

func TestSpillOver(t *testing.T) {
	bubble(t, "by load", func(t *testing.T) {
		c := overLevels()
		c.SpillAbove = 3
		b := start(t, c)
		held := map[string]int{}
		for range 25 {
			l, err := b.Pick(t.Context(), balance.Request{})
			require.NoError(t, err)
			held[l.Value.addr]++
		}
		for i := range 8 {
			require.InDelta(t, 3, held[levels()[i].Addr], 1, "%v", held)
		}
	})
	bubble(t, "a retry goes on to the next level", func(t *testing.T) {
		b := start(t, overLevels())
		r := balance.Request{}
		for i := range 3 {
			l, err := b.Pick(t.Context(), r)
			require.NoError(t, err)
			require.Equal(t, i == 2, l.Value.addr >= "s02:1", l.Value.addr)
			r.Tried.Add(l.Node)
			l.Done(balance.Outcome{})
		}
	})
	bubble(t, "measures latency in each level", func(t *testing.T) {
		c := overLevels()
		c.Policy = nil
		b := start(t, c)
		run(b, 2, ms, 100*ms, 1)
		for s := range b.Nodes() {
			require.Equal(t, s.Endpoint.Addr < "s02:1", s.Latency == ms, "%+v", s)
		}
	})
}

func TestSubset(t *testing.T) {
	bubble(t, "stable and spread", func(t *testing.T) {
		m, f := &manual{set: names(60)}, newFleet()
		config := f.config(m)
		config.Subset = 12
		used := map[string]int{}
		for range 50 {
			b := start(t, config)
			synctest.Wait()
			require.Equal(t, 12, b.Stat().Endpoints)
			for s := range b.Nodes() {
				used[s.Endpoint.Addr]++
			}
		}
		require.Len(t, used, 60)
		for addr, n := range used {
			require.InDelta(t, 10, n, 12, addr)
		}
	})
	bubble(t, "changes with its members only", func(t *testing.T) {
		m, f := &manual{set: names(60)}, newFleet()
		config := f.config(m)
		config.Subset = 12
		b := start(t, config)
		synctest.Wait()
		members := func() map[string]bool {
			all := map[string]bool{}
			for s := range b.Nodes() {
				all[s.Endpoint.Addr] = true
			}
			return all
		}
		for n := 59; n >= 30; n-- {
			before := members()
			m.report(names(n)...)
			lost, after := 0, members()
			require.Len(t, after, 12)
			for addr := range before {
				if !after[addr] {
					lost++
				}
			}
			if before[names(n + 1)[n].Addr] {
				require.Equal(t, 1, lost)
			} else {
				require.Zero(t, lost)
			}
		}
	})
	bubble(t, "of each priority", func(t *testing.T) {
		set := names(20)
		for i := range set {
			set[i].Priority = i / 10
		}
		config := newFleet().config(resolve.Static(set))
		config.Subset = 3
		b := start(t, config)
		synctest.Wait()
		perPriority := map[int]int{}
		for s := range b.Nodes() {
			perPriority[s.Endpoint.Priority]++
		}
		require.Equal(t, map[int]int{0: 3, 1: 3}, perPriority)
	})
}
