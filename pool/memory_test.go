package pool_test

import (
	"runtime"
	"testing"
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
