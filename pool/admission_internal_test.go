package pool

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// learned is an admission after checkouts that took so long each.
func learned(took ...int64) *admission {
	a := &admission{}
	for _, d := range took {
		a.observe(d)
	}
	return a
}

// alike is n checkouts that took d each.
func alike(n int, d int64) (all []int64) {
	for range n {
		all = append(all, d)
	}
	return all
}

// The estimate is known after 16 checkouts, and each later one moves it by a
// sixteenth at most, so that a few long ones do not matter.
func TestHoldTimeFollowsTheMedian(t *testing.T) {
	for name, c := range map[string]struct {
		took []int64
		want time.Duration
	}{
		"nothing seen":        {nil, 0},
		"too few":             {alike(15, 1600), 0},
		"enough":              {alike(16, 1600), 1600},
		"alike":               {alike(17, 1600), 1600},
		"a longer one":        {append(alike(16, 1600), 1e9), 1701},
		"a little longer one": {append(alike(16, 1600), 1610), 1610},
		"a shorter one":       {append(alike(16, 1600), 1), 1500},
		"a bit shorter one":   {append(alike(16, 1600), 1590), 1590},
		"from small to large": {append(alike(16, 1), 1e9, 1e9), 3},
		"no time at all":      {alike(16, 0), 1},
		"as many of each":     {append(alike(16, 1600), 1e9, 1, 1e9, 1), 1590},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, learned(c.took...).holdTime()) })
	}
}

// A caller waits if it has time for its turn and for one and a half checkouts.
func TestAdmit(t *testing.T) {
	for name, c := range map[string]struct {
		took        []int64
		remaining   time.Duration
		ahead, open int
		want        bool
	}{
		"nothing known":               {nil, 1, 1000, 1, true},
		"time enough":                 {alike(16, 100), 150, 0, 1, true},
		"a little less":               {alike(16, 100), 149, 0, 1, false},
		"behind fewer than are open":  {alike(16, 100), 150, 9, 10, true},
		"behind a turn":               {alike(16, 100), 250, 10, 10, true},
		"behind a turn, less time":    {alike(16, 100), 249, 10, 10, false},
		"behind three turns":          {alike(16, 100), 450, 30, 10, true},
		"behind three, less time":     {alike(16, 100), 449, 30, 10, false},
		"nothing is open":             {alike(16, 100), 250, 1, 0, true},
		"nothing is open, less time":  {alike(16, 100), 249, 1, 0, false},
		"checkouts of no time, ahead": {alike(16, 1), 2, 2, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, learned(c.took...).Admit(c.remaining, c.ahead, c.open))
		})
	}
}

// The newest is first while the queue has not been empty for a tenth of a second,
// and somebody in it has run out of time within the last second.
func TestNewestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := learned(alike(16, 100)...)
		require.False(t, a.NewestFirst(time.Hour), "nobody has run out of time")
		a.missed(time.Now())
		require.False(t, a.NewestFirst(100*time.Millisecond))
		require.False(t, a.Admit(249, 10, 10))
		require.True(t, a.NewestFirst(100*time.Millisecond+1))
		require.True(t, a.Admit(249, 10, 10), "who comes now does not wait for those ahead")
		require.False(t, a.Admit(149, 10, 10))
		time.Sleep(time.Second - 1)
		require.True(t, a.NewestFirst(time.Hour))
		time.Sleep(time.Nanosecond)
		require.False(t, a.NewestFirst(time.Hour))
		require.False(t, a.Admit(249, 10, 10))
	})
}
