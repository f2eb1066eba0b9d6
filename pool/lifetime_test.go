package pool_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
)

// lifetimes are lives of connections under the default configuration.
var lifetimes = []struct {
	name  string
	steps func(t *testing.T, s *memServer, p *pool.Pool)
}{
	{"599 s is reused", func(t *testing.T, s *memServer, p *pool.Pool) {
		require.NoError(t, get(t, p).Close())
		time.Sleep(599 * time.Second)
		c := get(t, p)
		require.True(t, c.Reused())
		require.NoError(t, c.Close())
		require.Equal(t, 1, s.dialed())
	}},
	{"600 s idle is closed on time", func(t *testing.T, s *memServer, p *pool.Pool) {
		require.NoError(t, get(t, p).Close())
		time.Sleep(599 * time.Second)
		synctest.Wait()
		require.Equal(t, 1, s.open())
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, 0, s.open())
		require.Equal(t, uint64(1), p.Stat().Evictions[pool.Expired])
		c := get(t, p)
		require.False(t, c.Reused())
		require.NoError(t, c.Close())
	}},
	{"600 s is replaced at that very moment", func(t *testing.T, _ *memServer, p *pool.Pool) {
		for range 50 {
			require.NoError(t, get(t, p).Close())
			time.Sleep(600 * time.Second)
			c := get(t, p)
			require.False(t, c.Reused())
			require.NoError(t, c.Close())
			p.Clear()
		}
	}},
	{"600 s in use is closed when it is released", func(t *testing.T, s *memServer, p *pool.Pool) {
		c := get(t, p)
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, 1, s.open(), "the caller that has it is not disturbed")
		require.NoError(t, c.Close())
		synctest.Wait()
		require.Equal(t, 0, s.open())
		require.Equal(t, uint64(1), p.Stat().Evictions[pool.Expired])
	}},
	{"counted from the dial, not the return", func(t *testing.T, s *memServer, p *pool.Pool) {
		c := get(t, p)
		time.Sleep(400 * time.Second)
		require.NoError(t, c.Close())
		time.Sleep(200 * time.Second)
		synctest.Wait()
		require.Equal(t, 0, s.open())
	}},
}

// TestReplacedLifetime shows that the life of a connection that Replace has made
// is counted from its own dial, whenever it comes back.
func TestReplacedLifetime(t *testing.T) {
	for _, tc := range []struct{ replaced, returned time.Duration }{
		{300 * time.Second, 700 * time.Second}, // the old one's life ends while it is in use
		{800 * time.Second, 900 * time.Second}, // it had ended
	} {
		inBubbles(t, func(t *testing.T, open opener) {
			s := newMemServer(t, nil)
			p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, Probe: pool.Probe{Mode: pool.ProbeNever}})
			c := get(t, p)
			until(t, tc.replaced)
			err := c.Replace(t.Context())
			require.NoError(t, err)
			until(t, tc.returned)
			require.NoError(t, c.Close())
			until(t, tc.replaced+599*time.Second)
			require.Equal(t, 1, s.open())
			until(t, tc.replaced+600*time.Second)
			require.Zero(t, s.open())
		})
	}
}

func TestLifetime(t *testing.T) {
	overBackends(t, func(t *testing.T, open opener) {
		for _, tc := range lifetimes {
			t.Run(tc.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newMemServer(t, nil)
					p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, Probe: pool.Probe{Mode: pool.ProbeNever}})
					tc.steps(t, s, p)
				})
			})
		}
	})
}
