package resolve_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

func TestNormalize(t *testing.T) {
	meta := func(kv ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i]] = kv[i+1]
		}
		return m
	}
	for _, c := range []struct {
		name     string
		set, out []resolve.Endpoint
	}{
		{"nothing", nil, nil},
		{"empty", []resolve.Endpoint{}, nil},
		{"sorted, with defaults", []resolve.Endpoint{{Addr: "b:1"}, {Addr: "a:1", Weight: 2}},
			[]resolve.Endpoint{{Network: "tcp", Addr: "a:1", Weight: 2}, {Network: "tcp", Addr: "b:1", Weight: 1}}},
		{"tcp is the default network", []resolve.Endpoint{{Addr: "a:1"}, {Network: "tcp", Addr: "a:1"}},
			[]resolve.Endpoint{{Network: "tcp", Addr: "a:1", Weight: 1}}},
		{"networks differ", []resolve.Endpoint{{Network: "unix", Addr: "/s"}, {Addr: "/s"}},
			[]resolve.Endpoint{{Network: "tcp", Addr: "/s", Weight: 1}, {Network: "unix", Addr: "/s", Weight: 1}}},
		{"lowest priority, then greatest weight", []resolve.Endpoint{{Addr: "a:1", Priority: 1, Weight: 9}, {Addr: "a:1", Weight: 2}, {Addr: "a:1", Weight: 7, Zone: "z"}},
			[]resolve.Endpoint{{Network: "tcp", Addr: "a:1", Weight: 7, Zone: "z"}}},
		{"meta decides last", []resolve.Endpoint{{Addr: "a:1", Meta: meta("k", "2")}, {Addr: "a:1", Meta: meta("k", "1")}, {Addr: "a:1", Meta: meta("l", "1")}, {Addr: "a:1", Meta: meta("k", "1", "l", "0")}},
			[]resolve.Endpoint{{Network: "tcp", Addr: "a:1", Weight: 1, Meta: meta("k", "1")}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := slices.Clone(c.set)
			require.Equal(t, c.out, resolve.Normalize(c.set))
			require.Equal(t, before, c.set, "the argument is not changed")
		})
	}
}

func TestNormalizeHeedsNoOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		set := make([]resolve.Endpoint, random.IntN(12))
		for i := range set {
			set[i] = resolve.Endpoint{
				Network: []string{"", "tcp", "unix"}[random.IntN(3)], Addr: []string{"a", "b"}[random.IntN(2)],
				Zone: []string{"", "z"}[random.IntN(2)], Weight: random.Uint32N(3), Priority: random.IntN(3) - 1,
			}
		}
		want := resolve.Normalize(set)
		require.Equal(t, want, resolve.Normalize(want))
		random.Shuffle(len(set), func(i, j int) { set[i], set[j] = set[j], set[i] })
		require.Equal(t, want, resolve.Normalize(set))
		require.Equal(t, want, resolve.Normalize(append(set, want...)))
	}
}

func TestEndpointEqual(t *testing.T) {
	a := resolve.Endpoint{Addr: "a:1"}
	require.True(t, a.Equal(resolve.Endpoint{Network: "tcp", Addr: "a:1", Weight: 1, Meta: map[string]string{}}))
	for _, b := range []resolve.Endpoint{{Addr: "b:1"}, {Network: "unix", Addr: "a:1"}, {Addr: "a:1", Zone: "z"},
		{Addr: "a:1", Weight: 2}, {Addr: "a:1", Priority: 1}, {Addr: "a:1", Meta: map[string]string{"k": "v"}}} {
		require.False(t, a.Equal(b), "%+v", b)
	}
	require.Equal(t, "a:1", a.String())
	require.Equal(t, "unix!/s", resolve.Endpoint{Network: "unix", Addr: "/s"}.String())
}
