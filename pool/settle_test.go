package pool_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
)

// A connection that is not kept is closed when Close returns, however long the
// backend takes to close it.
func TestReleaseClosesAtOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil func(t *testing.T, p *pool.Pool, c *pool.Conn)
		want  pool.Reason
	}{
		"too old":  {func(*testing.T, *pool.Pool, *pool.Conn) { time.Sleep(time.Hour) }, pool.Expired},
		"cleared":  {func(_ *testing.T, p *pool.Pool, _ *pool.Conn) { p.Clear() }, pool.Cleared},
		"unwanted": {func(_ *testing.T, p *pool.Pool, c *pool.Conn) { p.EvictConn(c.ID()) }, pool.Discarded},
		"late bytes": {func(t *testing.T, _ *pool.Pool, c *pool.Conn) {
			roundTrip(t, c)
			_, err := c.Write([]byte("x")) // its reply comes after the last look
			require.NoError(t, err)
			synctest.Wait()
		}, pool.Dirty},
	} {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, open opener) {
				s := newMemServer(t, echo)
				var live atomic.Int32
				log := &hookLog{}
				m := &meddler{beforeClose: func() { time.Sleep(time.Minute) }}
				p := newPool(t, conn.Target{Dial: func(ctx context.Context) (net.Conn, error) { return counted(ctx, s, &live) }},
					pool.Config{Backend: m.meddle(open), Hooks: []any{log}, Probe: pool.Probe{Mode: pool.ProbeNever}})
				c := get(t, p)
				tc.spoil(t, p, c)
				require.NoError(t, c.Close())
				require.Zero(t, live.Load())
				require.False(t, log.releases[0].Kept)
				require.Equal(t, tc.want, log.releases[0].Reason)
				if tc.want == pool.Dirty {
					require.ErrorIs(t, log.releases[0].Err, conn.ErrUnread)
				}
			})
		})
	}
}

// Who releases a connection just before its life ends, when the pool has swept for
// that already, is told that it was not kept.
func TestReleaseAfterTheSweepOfItsEnd(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		log := &hookLog{}
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, Hooks: []any{log}, Probe: pool.Probe{Mode: pool.ProbeNever}})
		c := get(t, p)
		time.Sleep(600*time.Second - time.Millisecond)
		require.NoError(t, c.Close())
		require.Equal(t, pool.Expired, log.releases[0].Reason)
	})
}

// A checkout that moves no bytes costs no look at the connection, which takes a
// millisecond where it is not a socket.
func TestReleaseLooksOnlyAfterTraffic(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, Probe: pool.Probe{Mode: pool.ProbeNever}})
		took := func(use bool) time.Duration {
			c := get(t, p)
			if use {
				roundTrip(t, c)
			}
			start := time.Now()
			require.NoError(t, c.Close())
			return time.Since(start)
		}
		for range 3 {
			require.Equal(t, time.Millisecond, took(true))
			require.Zero(t, took(false))
		}
	})
}

// Stat counts the bytes of connections that have ended, were replaced, and are open.
func TestStatCountsAllBytes(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echoUnless('s'))
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, Probe: pool.Probe{Mode: pool.ProbeByCaller}})
		use := func(c *pool.Conn, written, read int) {
			for range written - read {
				_, err := c.Write([]byte("s"))
				require.NoError(t, err)
				synctest.Wait()
			}
			for range read {
				roundTrip(t, c)
			}
		}
		check := func(written, read int) {
			t.Helper()
			synctest.Wait()
			require.EqualValues(t, written, p.Stat().BytesWritten)
			require.EqualValues(t, read, p.Stat().BytesRead)
		}
		c := get(t, p)
		use(c, 7, 3)
		check(7, 3)
		c.Evict()
		check(7, 3)
		c = get(t, p)
		use(c, 20, 10)
		check(27, 13)
		require.NoError(t, c.Replace(t.Context()))
		check(27, 13)
		use(c, 200, 100)
		check(227, 113)
		require.NoError(t, c.Close())
		check(227, 113)
	})
}
