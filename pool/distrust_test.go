package pool_test

import (
	"context"
	"io"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
)

// release closes all.
func release(t *testing.T, all ...*pool.Conn) {
	t.Helper()
	for _, c := range all {
		require.NoError(t, c.Close())
	}
}

// getMany acquires n at once.
func getMany(t *testing.T, p *pool.Pool, n int) (all []*pool.Conn) {
	t.Helper()
	for range n {
		all = append(all, get(t, p))
	}
	return all
}

// An address moves to another host, unannounced: one call fails, not one for
// each idle connection. What was in use meanwhile and answers is kept.
func TestFailoverCostsOneCall(t *testing.T) {
	for name, fail := range map[string]func(t *testing.T, s *memServer, c *pool.Conn){
		"reset": func(t *testing.T, _ *memServer, c *pool.Conn) {
			require.NoError(t, c.SetDeadline(time.Time{}))
			reset(t, c)
		},
		"timeout": func(t *testing.T, _ *memServer, c *pool.Conn) {
			_, err := c.Write([]byte("s")) // the server is silent about that
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err = c.Do(ctx, func() error { return readByte(&c.Conn) })
			require.ErrorIs(t, err, context.DeadlineExceeded)
			c.EvictFor(err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, open opener) {
				s := newMemServer(t, echoUnless('s'))
				p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, Probe: pool.Probe{Mode: pool.ProbeByCaller}})
				all := getMany(t, p, 8)
				busy := all[7]
				for _, c := range all {
					roundTrip(t, c)
				}
				release(t, all[:7]...)
				time.Sleep(time.Second)
				fail(t, s, get(t, p))
				time.Sleep(time.Millisecond)
				roundTrip(t, busy)
				require.NoError(t, busy.Close())

				c := get(t, p)
				require.True(t, c.Reused(), "it answered after the failure")
				next := get(t, p)
				require.False(t, next.Reused(), "idle since before")
				release(t, c, next)
				time.Sleep(5 * time.Second)
				synctest.Wait()
				require.EqualValues(t, 6, p.Stat().Evictions[pool.Suspect])
				require.Equal(t, 2, p.Stat().Idle)
			})
		})
	}
}

// reset has the transport of c reset by the peer, as the kernel tells it.
func reset(t *testing.T, c *pool.Conn) {
	t.Helper()
	c.NetConn().(*breakable).reset.Store(true)
	_, err := c.Write([]byte("x"))
	require.Error(t, err)
	c.EvictFor(err)
}

// A user's probe is asked about connections that are not trusted, even if it is
// not asked otherwise.
func TestDistrustedConnectionsAreProbed(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echoUnless('s'))
		probes := 0
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, Probe: pool.Probe{Mode: pool.ProbeNever,
			Func: func(context.Context, *conn.Conn) error { probes++; return nil }}})
		release(t, getMany(t, p, 3)...)
		time.Sleep(time.Second)
		c := get(t, p)
		reset(t, c)
		time.Sleep(time.Millisecond)
		require.Zero(t, probes)
		for range 2 {
			release(t, getMany(t, p, 2)...)
			require.Equal(t, 2, probes, "once each: they have been seen alive since")
		}
		require.EqualValues(t, 3, p.Stat().Dials)
	})
}

// A slow reply on a connection that was just dialed says nothing of others.
func TestTimeoutOfANewConnectionIsNoReason(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echoUnless('s'))
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, Probe: pool.Probe{Mode: pool.ProbeNever}})
		a, b := get(t, p), get(t, p)
		roundTrip(t, a)
		require.NoError(t, a.Close())
		time.Sleep(time.Second)
		_, err := b.Write([]byte("s"))
		require.NoError(t, err)
		b.EvictFor(context.DeadlineExceeded)
		require.EqualValues(t, 1, p.Stat().Evictions[pool.TimedOut])
		require.True(t, get(t, p).Reused())
		require.NoError(t, p.Close())
	})
}

// The reason of an eviction is what is wrong, and the hook sees the error.
func TestEvictionsTellTheTrueReason(t *testing.T) {
	timeout := &conn.Error{Op: "do", Err: context.DeadlineExceeded}
	for name, tc := range map[string]struct {
		spoil func(t *testing.T, c *pool.Conn)
		err   error // the caller's
		want  pool.Reason
		found error // that the connection knows
	}{
		"nothing is wrong": {func(*testing.T, *pool.Conn) {}, nil, pool.Discarded, nil},
		"the caller knows": {func(*testing.T, *pool.Conn) {}, io.ErrUnexpectedEOF, pool.Discarded, nil},
		"timeout":          {func(*testing.T, *pool.Conn) {}, timeout, pool.TimedOut, nil},
		"the peer closed": {func(t *testing.T, c *pool.Conn) {
			_, err := c.Write([]byte{quit})
			require.NoError(t, err)
			require.Equal(t, io.EOF, readByte(&c.Conn))
		}, timeout, pool.PeerClosed, nil},
		"reset": {func(t *testing.T, c *pool.Conn) {
			c.NetConn().(*breakable).reset.Store(true)
			_, _ = c.Write([]byte("x"))
		}, nil, pool.Broken, syscall.ECONNRESET},
		"unread bytes": {func(t *testing.T, c *pool.Conn) { roundTripPart(t, c) }, nil, pool.Dirty, conn.ErrUnread},
		"an operation timed out": {func(t *testing.T, c *pool.Conn) {
			require.NoError(t, c.SetReadDeadline(time.Now()))
			require.Error(t, readByte(&c.Conn))
			require.NoError(t, c.SetReadDeadline(time.Time{}))
		}, nil, pool.TimedOut, conn.ErrUnfit},
		"half done": {func(_ *testing.T, c *pool.Conn) { c.SetMidMessage(true) }, nil, pool.Unfit, conn.ErrMidMessage},
	} {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, open opener) {
				s := newMemServer(t, echo)
				log := &evictLog{}
				p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, Hooks: []any{log}})
				c := get(t, p)
				tc.spoil(t, c)
				c.EvictFor(tc.err)
				synctest.Wait()
				require.Len(t, log.events, 1)
				require.Equal(t, tc.want, log.events[0].Reason)
				if tc.err != nil {
					require.Equal(t, tc.err, log.events[0].Err)
				} else {
					require.ErrorIs(t, log.events[0].Err, tc.found)
				}
				require.EqualValues(t, 1, p.Stat().Evictions[tc.want])
			})
		})
	}
}

// roundTripPart reads one byte of a reply of two.
func roundTripPart(t *testing.T, c net.Conn) {
	t.Helper()
	_, err := c.Write([]byte("ab"))
	require.NoError(t, err)
	_, err = io.ReadFull(c, make([]byte, 1))
	require.NoError(t, err)
}

// Connections that are not trusted are closed soon, not only when a caller
// comes, and in a pool whose connections live for ever too.
func TestDistrustedConnectionsAreClosedSoon(t *testing.T) {
	for _, lifetime := range []time.Duration{0, -1} {
		inBubbles(t, func(t *testing.T, open opener) {
			s := newMemServer(t, echo)
			log := &evictLog{}
			p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, Hooks: []any{log}, Probe: pool.Probe{Mode: pool.ProbeNever},
				MaxLifetime: lifetime})
			release(t, getMany(t, p, 5)...)
			time.Sleep(time.Second)
			reset(t, get(t, p))
			time.Sleep(time.Second)
			synctest.Wait()
			require.Zero(t, p.Stat().Open)
			require.Zero(t, s.open())
			require.EqualValues(t, 4, p.Stat().Evictions[pool.Suspect])
			require.Len(t, log.ages(pool.Suspect), 4)
		})
	}
}

// A Replace that fails ends the checkout, and the hook is told, once.
func TestFailedReplaceIsARelease(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		log := &hookLog{}
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, Hooks: []any{log}})
		c := get(t, p)
		s.l.Refuse(true)
		time.Sleep(time.Second)
		require.Error(t, c.Replace(t.Context()))
		require.NoError(t, c.Close())
		require.Equal(t, []pool.ReleaseEvent{{ID: 1, Used: time.Second, Reason: pool.Dead}}, log.releases)
	})
}
