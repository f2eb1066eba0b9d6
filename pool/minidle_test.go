package pool_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
)

// settle lets the pool's own goroutine have its turn.
func settle() {
	time.Sleep(50 * time.Millisecond)
	synctest.Wait()
}

func TestMinIdle(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxConns: 5, MinIdle: 3, Probe: pool.Probe{Mode: pool.ProbeNever}})
		settle()
		require.Equal(t, 3, p.Stat().Idle)
		require.Equal(t, 3, p.Stat().MinIdle)

		// Taken out, others take their place, as far as MaxConns allows.
		var held []*pool.Conn
		for i, idle := range []int{3, 3, 2, 1, 0} {
			held = append(held, get(t, p))
			settle()
			require.Equal(t, idle, p.Stat().Idle, i)
		}
		require.Equal(t, 5, s.dialed())
		for _, c := range held {
			c.Evict()
		}
		settle()
		require.Equal(t, 3, p.Stat().Idle)

		// So they do at the end of their lives, at each.
		dialed := s.dialed()
		for i := range 3 {
			time.Sleep(600 * time.Second)
			settle()
			require.Equal(t, 3, p.Stat().Idle)
			require.Equal(t, dialed+3*(i+1), s.dialed())
		}
		p.Clear()
		settle()
		require.Equal(t, 3, p.Stat().Idle)
	})
}

// TestMinIdleOutage has the keeper dial no faster than the backoff allows, and
// sleep meanwhile.
func TestMinIdleOutage(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		s.l.Refuse(true)
		m := &meddler{}
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: m.meddle(open), MinIdle: 1,
			DialBackoff: conn.DialBackoff{After: 2, Min: time.Second, Max: 8 * time.Second}})
		time.Sleep(time.Minute)
		require.LessOrEqual(t, s.dialed(), 62)
		require.Greater(t, s.dialed(), 20)
		require.LessOrEqual(t, int(m.warms.Load()), 3*s.dialed())
		s.l.Refuse(false)
		time.Sleep(9 * time.Second)
		require.Equal(t, 1, p.Stat().Idle)
	})
}

// TestMinIdleClose closes while the keeper dials, and while it waits.
func TestMinIdleClose(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		for _, refuse := range []bool{false, true} {
			s.l.Refuse(refuse)
			for _, after := range []time.Duration{0, time.Millisecond, 40 * time.Second} {
				p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MinIdle: 2})
				time.Sleep(after)
				closePool(t, p)
				closePool(t, p)
			}
		}
		synctest.Wait()
		require.Equal(t, 0, s.open())
	})
}

// Without a backoff MinIdle dials ten times a second in an outage.
func TestMinIdleRestsAfterAFailure(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		s.l.Refuse(true)
		newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MinIdle: 1, DialBackoff: conn.DialBackoff{After: -1}})
		time.Sleep(10*time.Second + time.Millisecond)
		synctest.Wait()
		require.Equal(t, 101, s.dialed())
	})
}
