package engine_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
	"github.com/seed-99d6a01a/gtcp/pool/engine"
)

// ints is a factory whose dials succeed at once.
var ints = backend.Factory[int]{
	New:   func(context.Context) (int, error) { return 1, nil },
	Close: func(int) {},
}

// interrupted is a store in which something comes between a Return that has
// looked for waiters and the moment its entry can be seen.
type interrupted struct {
	stack[int]
	between func()
}

func (s *interrupted) Put(e *engine.Entry[int]) {
	if f := s.between; f != nil {
		s.between = nil
		f()
	}
	s.stack.Put(e)
}

// Return looks again after it has published its entry: what came between gets
// its due.
func TestReturnLooksAgain(t *testing.T) {
	for _, c := range []struct {
		name    string
		between func(b backend.Backend[int]) (after func(t *testing.T))
	}{
		{"a caller", func(b backend.Backend[int]) func(t *testing.T) {
			second := acquire(b)
			return func(t *testing.T) {
				g := <-second
				require.NoError(t, g.err)
				require.NoError(t, b.Return(g.l, backend.Keep))
			}
		}},
		{"a Clear", func(b backend.Backend[int]) func(t *testing.T) {
			b.Clear()
			return func(t *testing.T) { require.Zero(t, b.Stat().Open()) }
		}},
		{"a Resize", func(b backend.Backend[int]) func(t *testing.T) {
			_ = b.(backend.Resizer).Resize(1)
			return func(t *testing.T) { require.Equal(t, 1, b.Stat().Open()) }
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &interrupted{}
				b, err := engine.Open(ints, backend.Limits{Max: 2}, s)
				require.NoError(t, err)
				var held []backend.Lease[int]
				if c.name != "a Clear" {
					held = append(held, (<-acquire(b)).l)
				}
				l := (<-acquire(b)).l
				var after func(t *testing.T)
				s.between = func() { after = c.between(b) }
				require.NoError(t, b.Return(l, backend.Keep))
				after(t)
				for _, l := range held {
					require.NoError(t, b.Return(l, backend.Keep))
				}
				require.NoError(t, b.Close(t.Context()))
			})
		})
	}
}

// A lease of another backend is none of this one's.
func TestReturnElsewhere(t *testing.T) {
	bubble(t, backend.Limits{}, func(t *testing.T, b backend.Backend[int], _ *script) {
		other, err := open(ints, backend.Limits{})
		require.NoError(t, err)
		l := (<-acquire(other)).l
		require.ErrorIs(t, b.Return(l, backend.Keep), backend.ErrStale)
		require.NoError(t, other.Return(l, backend.Keep), "it has not ended")
		require.NoError(t, other.Close(t.Context()))
	})
}
