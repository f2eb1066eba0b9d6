package pool_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
)

// The text of an error names Config.MaxConns where a Get found all connections in
// use, and nowhere else.
func TestErrorNamesMaxConns(t *testing.T) {
	full := pool.Error{Op: "get", Err: context.DeadlineExceeded, MaxConns: 2, Open: 2}
	for name, c := range map[string]struct {
		change func(e *pool.Error)
		want   bool
	}{
		"full":              {func(*pool.Error) {}, true},
		"more than full":    {func(e *pool.Error) { e.Open = 3 }, true},
		"one connection":    {func(e *pool.Error) { e.MaxConns, e.Open = 1, 1 }, true},
		"too many waiters":  {func(e *pool.Error) { e.Err = pool.ErrTooManyWaiters }, true},
		"overloaded":        {func(e *pool.Error) { e.Err = pool.ErrOverloaded }, true},
		"not full":          {func(e *pool.Error) { e.Open = 1 }, false},
		"unbounded":         {func(e *pool.Error) { e.MaxConns = 0 }, false},
		"unbounded, empty":  {func(e *pool.Error) { e.MaxConns, e.Open = 0, 0 }, false},
		"one is idle":       {func(e *pool.Error) { e.Idle = 1 }, false},
		"one is dialed":     {func(e *pool.Error) { e.Dialing = 1 }, false},
		"of another method": {func(e *pool.Error) { e.Op = "replace" }, false},
		"cancelled":         {func(e *pool.Error) { e.Err = context.Canceled }, false},
		"another cause":     {func(e *pool.Error) { e.Err = errors.New("refused") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			e := full
			c.change(&e)
			if c.want {
				require.Contains(t, e.Error(), "see Config.MaxConns")
			} else {
				require.NotContains(t, e.Error(), "see Config.MaxConns")
			}
		})
	}
	full.MaxConns = 1
	require.Contains(t, full.Error(), "max 1)")
}

// Without LeakAfter a leak is reported after a minute.
func TestLeakAfterDefaultsToAMinute(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		reported := make(chan time.Time, 9)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open,
			LeakReport: func(pool.Leak) { reported <- time.Now() }})
		begun := time.Now()
		c := get(t, p)
		time.Sleep(time.Hour)
		require.Equal(t, time.Minute, (<-reported).Sub(begun))
		require.Empty(t, reported)
		require.NoError(t, c.Close())
	})
}

// What is off shows as zero.
func TestStatOfWhatIsOff(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MinIdle: -1})
		require.Zero(t, p.Stat().MinIdle)
	})
}

// One connection more than MinIdle, or exactly as many, is no mistake.
func TestMinIdleUpToMaxConns(t *testing.T) {
	for _, c := range []pool.Config{
		{MaxConns: 1, MinIdle: 1}, {MaxConns: -1, MinIdle: 65536}, {MaxConns: 65536, MinIdle: 65536},
	} {
		require.NoError(t, c.Validate())
	}
	for _, c := range []pool.Config{{MaxConns: 1, MinIdle: 2}, {MaxConns: -1, MinIdle: 65537}} {
		var wrong *pool.ConfigError
		require.ErrorAs(t, c.Validate(), &wrong)
		require.Equal(t, "MinIdle", wrong.Field)
	}
}

// Times that are too short to make sense do no harm.
func TestTimesOfNanoseconds(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, LifetimeJitter: 1, KeepAlive: 15,
			Probe: pool.Probe{Func: func(context.Context, *conn.Conn) error { return nil }}})
		require.NoError(t, get(t, p).Close())
		time.Sleep(time.Second + time.Millisecond/2) // between two rounds of KeepAlive, which has the connection for itself
		require.NoError(t, get(t, p).Close())
		require.Equal(t, 1, s.dialed())
	})
}

func TestProbeModesAreChecked(t *testing.T) {
	for mode := pool.ProbeDefault; mode <= pool.ProbeByCaller; mode++ {
		require.NoError(t, pool.Config{Probe: pool.Probe{Mode: mode}}.Validate())
	}
	var wrong *pool.ConfigError
	require.ErrorAs(t, pool.Config{Probe: pool.Probe{Mode: pool.ProbeByCaller + 1}}.Validate(), &wrong)
	require.Equal(t, "Probe.Mode", wrong.Field)
	require.NoError(t, pool.Config{Probe: pool.Probe{Mode: pool.ProbeOnGet, After: 1}}.Validate())
	require.ErrorAs(t, pool.Config{Probe: pool.Probe{Mode: pool.ProbeNever, After: 1}}.Validate(), &wrong)
	require.Equal(t, "Probe.After", wrong.Field)
}

// A Replace with a nil context panics, and the checkout goes on.
func TestReplaceWithNilContext(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open})
		c := get(t, p)
		var none context.Context
		require.Panics(t, func() { _ = c.Replace(none) })
		roundTrip(t, c)
		require.NoError(t, c.Close())
		require.Equal(t, 1, s.dialed())
		require.Equal(t, 1, p.Stat().Idle)
	})
}

// The uses of a connection do not count those of the one that it replaced.
func TestUsesAfterReplace(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		log := &evictLog{}
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, Hooks: []any{log}})
		for range 3 {
			require.NoError(t, get(t, p).Close())
		}
		for range 2 {
			c := get(t, p)
			require.NoError(t, c.Replace(t.Context()))
			require.EqualValues(t, 1, slices.Collect(p.Conns())[0].Uses)
			require.NoError(t, c.Close())
			require.EqualValues(t, 1, slices.Collect(p.Conns())[0].Uses)
			require.NoError(t, get(t, p).Close())
			require.EqualValues(t, 2, slices.Collect(p.Conns())[0].Uses)
		}
		require.EqualValues(t, 4, log.events[0].Uses)
		require.EqualValues(t, 3, log.events[1].Uses)
	})
}

// A Get that no hook wants to hear of returns its error all the same.
func TestErrorOfAGetThatNobodyHearsOf(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		refused := errors.New("refused")
		p := newPool(t, conn.Target{Dial: func(context.Context) (net.Conn, error) { return nil, refused }},
			pool.Config{Backend: open, Hooks: []any{&sampler{}}})
		for range 4 {
			_, err := p.Get(t.Context())
			require.ErrorIs(t, err, refused)
			time.Sleep(time.Hour)
		}
	})
}
