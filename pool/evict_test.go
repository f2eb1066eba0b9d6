package pool_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
)

// numbers are those of the pool's connections.
func numbers(p *pool.Pool) (all []uint64) {
	for c := range p.Conns() {
		all = append(all, c.ID)
	}
	return all
}

func TestEvictConn(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		m := &meddler{}
		// No lifetime: nothing else sweeps.
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: m.meddle(open), MaxLifetime: -1})
		require.False(t, p.EvictConn(0))
		require.False(t, p.EvictConn(1), "there is none yet")
		a, b, c := get(t, p), get(t, p), get(t, p)
		require.NoError(t, a.Close())
		require.NoError(t, b.Close())

		require.True(t, p.EvictConn(a.ID()))
		synctest.Wait()
		require.Equal(t, []uint64{b.ID(), c.ID()}, numbers(p), "idle: closed at once")
		require.Equal(t, 2, s.open())
		require.False(t, p.EvictConn(a.ID()), "it has ended")

		require.True(t, p.EvictConn(c.ID()))
		require.True(t, p.EvictConn(c.ID()), "again")
		synctest.Wait()
		require.Equal(t, []uint64{b.ID(), c.ID()}, numbers(p))
		roundTrip(t, c)
		require.NoError(t, c.Close())
		synctest.Wait()
		require.Equal(t, []uint64{b.ID()}, numbers(p), "in use: closed when it was released")
		require.Equal(t, 1, s.open())
		require.Equal(t, pool.Evictions{pool.Discarded: 2}, p.Stat().Evictions)

		d := get(t, p)
		require.Equal(t, b.ID(), d.ID(), "the others go on")
		roundTrip(t, d)
		require.NoError(t, d.Close())
		require.Equal(t, []uint64{b.ID()}, numbers(p))

		swept := m.sweeps.Load()
		for range 3 {
			require.NoError(t, get(t, p).Close())
		}
		synctest.Wait()
		require.Equal(t, swept, m.sweeps.Load(), "nothing is unwanted any more")
	})
}

// A connection that Replace puts in the place of an unwanted one is wanted.
func TestEvictConnThenReplace(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open})
		c := get(t, p)
		require.True(t, p.EvictConn(c.ID()))
		require.NoError(t, c.Replace(t.Context()))
		id := c.ID()
		require.NoError(t, c.Close())
		synctest.Wait()
		require.Equal(t, []uint64{id}, numbers(p))
	})
}

func TestEvictConnAfterClose(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open})
		c := get(t, p)
		require.NoError(t, p.Close())
		require.False(t, p.EvictConn(c.ID()))
	})
}

// A connection that is evicted when it is found healthy, and is not idle yet, is in
// no list: nobody but its release can close it.
func TestEvictConnInRelease(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		m := &meddler{}
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{MaxLifetime: -1, Backend: m.meddle(open)})
		c := get(t, p)
		id := c.ID()
		m.beforeReturn = func() {
			m.beforeReturn = nil
			require.True(t, p.EvictConn(id))
			synctest.Wait() // its sweep finds nothing
		}
		require.NoError(t, c.Close())
		synctest.Wait()
		require.Empty(t, numbers(p))
	})
}

// Whatever a connection does at that moment, it ends: every connection that was
// evicted is gone once it is released.
func TestEvictConnRaces(t *testing.T) {
	overBackends(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxConns: 8, MaxLifetime: -1})
		var callers, evictor sync.WaitGroup
		stop, evicted := make(chan struct{}), map[uint64]bool{}
		for range 4 {
			callers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if c, err := p.Get(t.Context()); err == nil {
						_ = c.Close()
					}
				}
			})
		}
		evictor.Go(func() {
			for len(evicted) < 200 {
				for c := range p.Conns() {
					if p.EvictConn(c.ID) {
						evicted[c.ID] = true
					}
				}
			}
		})
		evictor.Wait()
		close(stop)
		callers.Wait()
		require.Eventually(t, func() bool {
			return !slices.ContainsFunc(numbers(p), func(id uint64) bool { return evicted[id] })
		}, 10*time.Second, time.Millisecond)
	})
}
