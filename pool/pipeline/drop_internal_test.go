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
