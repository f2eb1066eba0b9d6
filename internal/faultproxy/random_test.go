package faultproxy_test

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/internal/faultproxy"
)

func TestRandomDependsOnSeedAndIndexAlone(t *testing.T) {
	rates := faultproxy.Rates{Refuse: 0.1, Truncate: 0.2, HalfClose: 0.2, Reset: 0.3, Stall: 0.3, Split: 0.5, Delay: 0.5}
	one, two, other := faultproxy.Random(7, rates), faultproxy.Random(7, rates), faultproxy.Random(8, rates)
	differ := 0
	for n := 99; n >= 0; n-- {
		require.Equal(t, one(n), two(n))
		if one(n) != other(n) {
			differ++
		}
	}
	require.Greater(t, differ, 50)
}

func TestRandomKeepsItsRates(t *testing.T) {
	const n = 5_000
	for _, c := range []struct {
		name  string
		rates faultproxy.Rates
		is    func(faultproxy.Plan) bool
		want  float64
	}{
		{"none", faultproxy.Rates{}, func(p faultproxy.Plan) bool { return p != faultproxy.Plan{} }, 0},
		{"refuse", faultproxy.Rates{Refuse: 0.25}, func(p faultproxy.Plan) bool { return p.Refuse }, 0.25},
		{"reset", faultproxy.Rates{Reset: 0.5}, func(p faultproxy.Plan) bool {
			return (p.Up.End == faultproxy.Reset) != (p.Down.End == faultproxy.Reset)
		}, 0.5},
		{"stall after truncate", faultproxy.Rates{Truncate: 0.5, Stall: 1}, func(p faultproxy.Plan) bool {
			return p.Up.End == faultproxy.Stall || p.Down.End == faultproxy.Stall
		}, 0.5},
		{"split bounded", faultproxy.Rates{Split: 1, MaxChunk: 3}, func(p faultproxy.Plan) bool {
			return p.Up.Chunk >= 1 && p.Up.Chunk <= 3 && p.Down.Chunk >= 1 && p.Down.Chunk <= 3
		}, 1},
		{"delay bounded", faultproxy.Rates{Delay: 1, MaxDelay: time.Second}, func(p faultproxy.Plan) bool {
			return p.Up.Delay+p.Up.Jitter <= time.Second
		}, 1},
		{"bytes bounded", faultproxy.Rates{HalfClose: 1, MaxBytes: 9}, func(p faultproxy.Plan) bool {
			return p.Up.After <= 9 && p.Down.After <= 9
		}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			plan := faultproxy.Random(1, c.rates)
			hits := 0
			for i := range n {
				if c.is(plan(i)) {
					hits++
				}
			}
			require.InDelta(t, c.want, float64(hits)/n, 0.03)
		})
	}
}

// Whatever the faults, what a receiver gets is a prefix of what was sent.
func TestRandomFaultsNeverCorrupt(t *testing.T) {
	const conns = 200
	p := start(t, echo(t), faultproxy.Random(3, faultproxy.Rates{
		Refuse: 0.1, Truncate: 0.15, HalfClose: 0.15, Reset: 0.15, Split: 0.3, Delay: 0.3,
		MaxBytes: 600, MaxDelay: 20 * time.Microsecond,
	}))
	sent := pattern(400)
	for range conns {
		c, err := net.Dial("tcp", p.Addr())
		if err != nil {
			continue // refused so early that the dial was told
		}
		require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
		got, _ := exchange(t, c.(*net.TCPConn), sent)
		require.Equal(t, sent[:len(got)], got)
		_ = c.Close()
	}
	c := p.Counts()
	require.Equal(t, uint64(conns), c.Conns)
	for _, n := range []uint64{c.Refused, c.Truncates, c.HalfCloses, c.Resets, c.Splits, c.Delays} {
		require.Positive(t, n)
	}
}
