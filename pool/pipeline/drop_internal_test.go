package pipeline

import (
	"context"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
)

// A connection goes without a successor only if there are more than MaxConns and enough
// others are sound.
func TestDrop(t *testing.T) {
	const silent, sound = true, false
	for name, tc := range map[string]struct {
		max, enough int
		others      []bool // silent or sound; the connection itself is the second of all
		gone        bool   // it is not among them
		want        bool
	}{
		"one too many":                  {max: 2, enough: 2, others: []bool{sound, sound}, want: true},
		"one too many, one is enough":   {max: 2, enough: 1, others: []bool{sound, silent}, want: true},
		"one too many, none is needed":  {max: 1, enough: 0, others: []bool{silent}, want: true},
		"as many as there may be":       {max: 3, enough: 2, others: []bool{sound, sound}},
		"too few others are sound":      {max: 2, enough: 2, others: []bool{sound, silent}},
		"it does not count for itself":  {max: 1, enough: 1, others: []bool{silent}},
		"it has gone already":           {max: 1, enough: 1, others: []bool{sound, sound}, gone: true},
		"two too many, and one of them": {max: 1, enough: 1, others: []bool{sound, silent}, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := &sharedConn{}
			var live, rest []*sharedConn
			for i, is := range tc.others {
				other := &sharedConn{}
				other.suspect.Store(is)
				live, rest = append(live, other), append(rest, other)
				if i == 0 && !tc.gone {
					live = append(live, s)
				}
			}
			p := &Pipeline{cfg: &Config{MaxConns: tc.max}}
			p.live.Store(&live)
			require.Equal(t, tc.want, p.drop(s, tc.enough))
			if !tc.want {
				rest = live
			}
			require.Equal(t, len(rest), len(*p.live.Load()))
			for i, c := range *p.live.Load() {
				require.Same(t, rest[i], c)
			}
		})
	}
}

// One sound connection is a successor where there is one too many; where all are silent
// another one is dialed.
func TestSuccessorThatIsThere(t *testing.T) {
	for name, tc := range map[string]struct {
		silent []bool
		want   bool
	}{
		"one is sound":   {[]bool{false, true}, true},
		"all are silent": {[]bool{true, true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := New(conn.Target{Dial: func(ctx context.Context) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}}, framing.Format{}, Config{MaxConns: 2})
			require.NoError(t, err)
			defer p.Close()
			s := &sharedConn{}
			live := []*sharedConn{s}
			for _, is := range tc.silent {
				other := &sharedConn{}
				other.suspect.Store(is)
				live = append(live, other)
			}
			p.live.Store(&live)
			d := p.succeed(s)
			require.NotNil(t, d)
			require.Equal(t, tc.want, d == closedDial)
			p.live.Store(&[]*sharedConn{}) // these have nothing that Close could end
		})
	}
}

// Calls go to the connection with the fewest calls of those that are not silent, and
// where all are silent to the one with the fewest.
func TestLeastLoaded(t *testing.T) {
	type at struct {
		load   int32
		silent bool
	}
	for name, tc := range map[string]struct {
		all         []at
		best, sound int
	}{
		"none":                        {all: nil, best: -1},
		"one":                         {all: []at{{7, false}}, best: 0, sound: 1},
		"the first":                   {all: []at{{1, false}, {2, false}}, best: 0, sound: 2},
		"the last":                    {all: []at{{3, false}, {2, false}, {1, false}}, best: 2, sound: 3},
		"after a silent one":          {all: []at{{0, true}, {9, false}}, best: 1, sound: 1},
		"before a silent one":         {all: []at{{9, false}, {0, true}}, best: 0, sound: 1},
		"of two beside silent ones":   {all: []at{{0, true}, {9, false}, {0, true}, {8, false}}, best: 3, sound: 2},
		"all are silent, the first":   {all: []at{{1, true}, {2, true}}, best: 0},
		"all are silent, and another": {all: []at{{2, true}, {1, true}, {3, true}}, best: 1},
	} {
		t.Run(name, func(t *testing.T) {
			var live []*sharedConn
			for _, c := range tc.all {
				s := &sharedConn{}
				s.load.Store(c.load)
				s.suspect.Store(c.silent)
				live = append(live, s)
			}
			p := &Pipeline{}
			p.live.Store(&live)
			best, load, sound, all := p.leastLoaded()
			require.Equal(t, tc.sound, sound)
			require.Equal(t, len(live), all)
			if tc.best < 0 {
				require.Nil(t, best)
				return
			}
			require.Same(t, live[tc.best], best)
			require.Equal(t, tc.all[tc.best].load, load)
		})
	}
}
