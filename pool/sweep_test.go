package pool_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
)

// TestMaxIdleTime shows that each connection is closed when it has been idle
// for so long, and not a second later; one in use now and then is kept.
func TestMaxIdleTime(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxIdleTime: time.Minute, Probe: pool.Probe{Mode: pool.ProbeNever}})
		held := []*pool.Conn{get(t, p), get(t, p), get(t, p)}
		for _, c := range held {
			require.NoError(t, c.Close())
			time.Sleep(10 * time.Second)
		}
		// Returned at 0, 10 and 20 s; it is 30 s now.
		for _, step := range []struct {
			to   time.Duration
			open int
		}{{59, 3}, {60, 2}, {69, 2}, {70, 1}, {79, 1}, {80, 0}} {
			until(t, step.to*time.Second)
			require.Equal(t, step.open, s.open(), "at %v s", int(step.to))
		}
		require.Equal(t, uint64(3), p.Stat().Evictions[pool.IdleTooLong])

		for range 12 { // in use now and then, for ten minutes less a little
			require.NoError(t, get(t, p).Close())
			time.Sleep(49 * time.Second)
		}
		require.Equal(t, 4, s.dialed())
		time.Sleep(11 * time.Second)
		synctest.Wait()
		require.Zero(t, s.open())
		require.Equal(t, uint64(4), p.Stat().Evictions[pool.IdleTooLong]+p.Stat().Evictions[pool.Expired])
	})
}

// bubbleEpoch is when a bubble's clock begins.
var bubbleEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// until sleeps until a bubble is so old.
func until(t *testing.T, at time.Duration) {
	t.Helper()
	time.Sleep(time.Until(bubbleEpoch.Add(at)))
	synctest.Wait()
}

// TestMaxIdleTimeAfterALongLoan has no sweep between the dial and the return.
func TestMaxIdleTimeAfterALongLoan(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxIdleTime: time.Minute, MaxLifetime: -1, Probe: pool.Probe{Mode: pool.ProbeNever}})
		c := get(t, p)
		time.Sleep(time.Hour)
		require.NoError(t, c.Close())
		time.Sleep(59 * time.Second)
		require.Equal(t, 1, s.open())
		time.Sleep(time.Second)
		synctest.Wait()
		require.Zero(t, s.open())
	})
}

// TestMaxIdleTimeUnseen has a connection become idle without a caller: a
// dial whose caller gave up.
func TestMaxIdleTimeUnseen(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxIdleTime: time.Minute, MaxLifetime: -1, MinIdle: 1})
		time.Sleep(time.Second)
		require.Equal(t, 1, s.open())
		time.Sleep(59 * time.Second)
		settle()
		require.Equal(t, 2, s.dialed(), "it was closed on time, and replaced")
		require.Equal(t, uint64(1), p.Stat().Evictions[pool.IdleTooLong])
	})
}

// TestLifetimeOff keeps connections for ever.
func TestLifetimeOff(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxLifetime: -1, LifetimeJitter: time.Hour})
		require.NoError(t, get(t, p).Close())
		time.Sleep(10000 * time.Hour)
		require.NoError(t, get(t, p).Close())
		require.Equal(t, 1, s.dialed())
	})
}

// TestLifetimeJitter shows that jitter shortens, spreads, and is rolled once:
// a connection that has outlived the longest jitter unused is not rolled out
// by being used often.
func TestLifetimeJitter(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		log := &evictLog{}
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxConns: 100, Probe: pool.Probe{Mode: pool.ProbeNever}, Hooks: []any{log},
			MaxLifetime: 100 * time.Second, LifetimeJitter: 50 * time.Second})
		held := make([]*pool.Conn, 100)
		for i := range held {
			held[i] = get(t, p)
		}
		for _, c := range held {
			require.NoError(t, c.Close())
		}
		// Checked a hundred times a second: rolled anew each time, all would
		// end soon after the first 50 seconds.
		for time.Since(bubbleEpoch) < 75*time.Second {
			time.Sleep(10 * time.Millisecond)
			require.NoError(t, get(t, p).Close())
		}
		open75 := s.open()
		require.Greater(t, open75, 25)
		require.Less(t, open75, 75)
		until(t, 100*time.Second)
		ages := log.ages(pool.Expired)
		require.GreaterOrEqual(t, len(ages), 100)
		short, long := ages[0], ages[0]
		for _, a := range ages {
			short, long = min(short, a), max(long, a)
		}
		require.GreaterOrEqual(t, short, 49*time.Second)
		require.LessOrEqual(t, long, 100*time.Second)
		require.Greater(t, long-short, 30*time.Second)
	})
}

// TestShortLifetimes has limits far below the sweeper's usual lead.
func TestShortLifetimes(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxLifetime: 10 * time.Millisecond, Probe: pool.Probe{Mode: pool.ProbeNever}})
		require.NoError(t, get(t, p).Close())
		time.Sleep(9 * time.Millisecond)
		c := get(t, p)
		require.NoError(t, c.Close())
		time.Sleep(time.Millisecond)
		synctest.Wait()
		require.Zero(t, s.open())
		require.Equal(t, 1, s.dialed())
	})
}

// TestDialLongerThanLifetime still gives out the connection, once.
func TestDialLongerThanLifetime(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.slowly(time.Second)}, pool.Config{Backend: open, MaxLifetime: time.Millisecond})
		c := get(t, p)
		roundTrip(t, c)
		require.NoError(t, c.Close())
		synctest.Wait()
		require.Zero(t, s.open())
		require.Equal(t, uint64(1), p.Stat().Evictions[pool.Expired])
	})
}
