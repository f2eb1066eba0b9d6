package pool_test

import (
	"context"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
)

// A pool that is closed goes, although its connections would have been idle or
// alive for hours: nothing that it has begun refers to it any more.
func TestClosedPoolIsNotKept(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		gone := func() weak.Pointer[pool.Pool] {
			p, err := pool.New(conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxIdleTime: time.Hour, MaxLifetime: 2 * time.Hour})
			require.NoError(t, err)
			c, late := get(t, p), get(t, p)
			require.NoError(t, c.Close())
			time.Sleep(time.Minute) // what is due is an hour away
			require.NoError(t, p.Close())
			require.NoError(t, late.Close())
			return weak.Make(p)
		}()
		time.Sleep(time.Minute)
		for range 3 {
			runtime.GC()
		}
		require.True(t, gone.Value() == nil)
	})
}

// A dial that does not heed the end of the pool, and a Get after it, do not keep the
// pool until the connection would have been due.
func TestClosedPoolIsNotKeptByALateDial(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		dial := s.slowly(time.Minute)
		gone := func() weak.Pointer[pool.Pool] {
			p, err := pool.New(conn.Target{Dial: func(ctx context.Context) (net.Conn, error) {
				return dial(context.WithoutCancel(ctx))
			}}, pool.Config{Backend: open, MaxLifetime: 2 * time.Hour})
			require.NoError(t, err)
			got := make(chan error)
			go func() { _, err := p.Get(context.Background()); got <- err }()
			synctest.Wait()
			require.NoError(t, p.Close())
			require.ErrorIs(t, <-got, pool.ErrClosed)
			return weak.Make(p)
		}()
		time.Sleep(time.Minute)
		for range 3 {
			runtime.GC()
		}
		require.True(t, gone.Value() == nil)
	})
}

// An idle connection does not keep the context of the Get that had it last.
func TestContextOfAGetIsNotKept(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, Hooks: []any{&releaseLog{}}})
		require.NoError(t, get(t, p).Close())
		value := func() weak.Pointer[[1 << 20]byte] {
			big := new([1 << 20]byte)
			c, err := p.Get(context.WithValue(t.Context(), ctxKey{}, big))
			require.NoError(t, err)
			require.NoError(t, c.Close())
			return weak.Make(big)
		}()
		synctest.Wait()
		for range 3 {
			runtime.GC()
		}
		require.True(t, value.Value() == nil)
		require.Equal(t, 1, p.Stat().Idle)
	})
}
