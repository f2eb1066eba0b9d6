package pool_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
)

// TestAllocs shows that a checkout allocates nothing but, once in 64, the next
// handles; with the probe and without.
func TestAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, c := range []pool.Config{{}, {Probe: pool.Probe{Mode: pool.ProbeNever}}} {
		overBackends(t, func(t *testing.T, open opener) {
			s := newTCPServer(t, echo)
			c := c
			c.Backend = open
			p := newPool(t, conn.Target{Address: s.addr}, c)
			ctx := t.Context()
			checkout := func() {
				c, err := p.Get(ctx)
				if err != nil {
					t.Fatal(err)
				}
				_ = c.Close()
			}
			for range 200 { // the chunks of handles grow at first
				checkout()
			}
			require.Zero(t, testing.AllocsPerRun(1000, checkout), "per checkout, rounded down")
			chunks := testing.AllocsPerRun(100, func() {
				for range 640 {
					checkout()
				}
			})
			require.LessOrEqual(t, chunks, 11.0, "per 640 checkouts")
		})
	}
}
