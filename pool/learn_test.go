package pool_test

import (
	"context"
	"errors"
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

// warmUp has p learn how long a checkout takes. From then on it does not note the
// exact time of each release, where nothing needs it.
func warmUp(t *testing.T, p *pool.Pool) {
	t.Helper()
	for range 20 {
		c := get(t, p)
		time.Sleep(time.Millisecond)
		require.NoError(t, c.Close())
	}
}

// The time of a release is exact where something depends on it: the idle time, and
// what the hooks hear.
func TestReleaseTimeIsExactWhereItMatters(t *testing.T) {
	const hold = 50 * time.Second
	probes := 0
	count := func(context.Context, *conn.Conn) error { probes++; return nil }
	for name, c := range map[string]pool.Config{
		"MaxIdleTime": {MaxIdleTime: time.Minute},
		"KeepAlive":   {KeepAlive: time.Minute, Probe: pool.Probe{Mode: pool.ProbeNever, Func: count}},
		"Probe.After": {Probe: pool.Probe{After: time.Minute, Func: count}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, open opener) {
				s := newMemServer(t, echo)
				c.Backend, c.MaxLifetime = open, -1
				p := newPool(t, conn.Target{Dial: s.dial}, c)
				warmUp(t, p)
				for range 12 {
					c := get(t, p)
					probes = 0
					time.Sleep(hold)
					require.NoError(t, c.Close())
					time.Sleep(50 * time.Second)
					require.Equal(t, 1, p.Stat().Idle)
				}
				require.NoError(t, get(t, p).Close())
				require.Zero(t, probes)
				require.Equal(t, 1, s.dialed())
			})
		})
	}
}

// releaseLog is a hook of releases only.
type releaseLog struct{ events []pool.ReleaseEvent }

func (l *releaseLog) AfterRelease(_ context.Context, e pool.ReleaseEvent) {
	l.events = append(l.events, e)
}

func TestUsedIsExact(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		log := &releaseLog{}
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, Hooks: []any{log}, Probe: pool.Probe{Mode: pool.ProbeByCaller}})
		warmUp(t, p)
		log.events = nil
		for range 12 {
			c := get(t, p)
			roundTrip(t, c)
			time.Sleep(time.Second)
			require.NoError(t, c.Close())
		}
		for _, e := range log.events {
			require.Equal(t, pool.ReleaseEvent{ID: 1, Used: time.Second, BytesRead: 1, BytesWritten: 1, Kept: true}, e)
		}
	})
}

// HoldTime follows when calls take longer, and learns nothing from a checkout that
// took no time.
func TestHoldTimeFollows(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxLifetime: -1, Probe: pool.Probe{Mode: pool.ProbeNever}})
		for range 100 {
			require.NoError(t, get(t, p).Close())
		}
		require.Zero(t, p.Stat().HoldTime)
		warmUp(t, p)
		require.Equal(t, time.Millisecond, p.Stat().HoldTime)
		for range 2000 {
			c := get(t, p)
			time.Sleep(time.Second)
			require.NoError(t, c.Close())
		}
		require.Equal(t, time.Second, p.Stat().HoldTime)
	})
}

// lossy is a transport that fails as it is told.
type lossy struct {
	net.Conn
	err error
}

func (c *lossy) CloseWrite() error {
	return c.Conn.(interface{ CloseWrite() error }).CloseWrite()
}

func (c *lossy) Write(b []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	return c.Conn.Write(b)
}

// failWith ends a checkout by a transport that fails.
func failWith(with error) func(*testing.T, *pool.Conn) {
	return func(t *testing.T, c *pool.Conn) {
		c.NetConn().(*lossy).err = with
		_, err := c.Write([]byte("x"))
		require.Error(t, err)
		c.EvictFor(err)
	}
}

// timeOut has a read time out.
func timeOut(t *testing.T, c *pool.Conn) {
	require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Second)))
	require.Error(t, readByte(&c.Conn))
	require.NoError(t, c.SetReadDeadline(time.Time{}))
}

// checkoutEnds are ways in which a checkout ends, why its connection is then closed,
// and whether others are distrusted.
var checkoutEnds = map[string]struct {
	end        func(t *testing.T, c *pool.Conn)
	distrusted bool
	why        pool.Reason
}{
	"reset":              {failWith(syscall.ECONNRESET), true, pool.Broken},
	"not acknowledged":   {failWith(syscall.ETIMEDOUT), true, pool.Broken},
	"another error":      {failWith(errors.New("no buffer")), false, pool.Broken},
	"Evict":              {func(_ *testing.T, c *pool.Conn) { c.Evict() }, false, pool.Discarded},
	"the caller's error": {func(_ *testing.T, c *pool.Conn) { c.EvictFor(io.ErrUnexpectedEOF) }, false, pool.Discarded},
	"timeout, nothing came": {func(_ *testing.T, c *pool.Conn) {
		c.EvictFor(context.DeadlineExceeded)
	}, true, pool.TimedOut},
	"timeout, something came": {func(t *testing.T, c *pool.Conn) {
		roundTrip(t, c)
		c.EvictFor(context.DeadlineExceeded)
	}, false, pool.TimedOut},
	"released after a timeout": {func(t *testing.T, c *pool.Conn) {
		timeOut(t, c)
		require.NoError(t, c.Close())
	}, true, pool.TimedOut},
	"released, not acknowledged": {func(t *testing.T, c *pool.Conn) {
		c.NetConn().(*lossy).err = syscall.ETIMEDOUT
		_, err := c.Write([]byte("x"))
		require.Error(t, err)
		require.NoError(t, c.Close())
	}, true, pool.Broken},
	"released after a cancellation": {func(t *testing.T, c *pool.Conn) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		require.Error(t, c.Do(ctx, func() error { return readByte(&c.Conn) }))
		require.NoError(t, c.Close())
	}, false, pool.Unfit},
	"half-closed": {func(t *testing.T, c *pool.Conn) {
		require.NoError(t, c.CloseWrite())
		require.NoError(t, c.Close())
	}, false, pool.Unfit},
	"half a message": {func(t *testing.T, c *pool.Conn) {
		c.SetMidMessage(true)
		require.NoError(t, c.Close())
	}, false, pool.Unfit},
	"a deadline that was left": {func(t *testing.T, c *pool.Conn) {
		require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Hour)))
		require.NoError(t, c.Close())
	}, false, pool.Unfit},
}

// Others are distrusted after a checkout that ended as it would on a dead host, and
// after no other.
func TestWhatCostsTheTrustInOthers(t *testing.T) {
	for name, tc := range checkoutEnds {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, open opener) {
				s := newMemServer(t, echo)
				p := newPool(t, conn.Target{Dial: func(ctx context.Context) (net.Conn, error) {
					c, err := s.dial(ctx)
					return &lossy{Conn: c}, err
				}}, pool.Config{Backend: open, Probe: pool.Probe{Mode: pool.ProbeByCaller}})
				release(t, getMany(t, p, 2)...)
				time.Sleep(time.Minute)
				c := get(t, p)
				require.True(t, c.Reused())
				tc.end(t, c)
				time.Sleep(time.Minute)
				synctest.Wait()
				require.EqualValues(t, 1, p.Stat().Evictions[tc.why])
				if tc.distrusted {
					require.EqualValues(t, 1, p.Stat().Evictions[pool.Suspect])
				} else {
					require.Zero(t, p.Stat().Evictions[pool.Suspect])
					require.Equal(t, 1, p.Stat().Idle)
				}
			})
		})
	}
}

// The bounds of distrust: idle for exactly as long is not trusted, at Get and in the
// background; released at a later moment is, though the pool did not need that
// moment before.
func TestDistrustToTheMoment(t *testing.T) {
	for _, tc := range []struct{ warm, wait bool }{{false, false}, {false, true}, {true, false}, {true, true}} {
		inBubbles(t, func(t *testing.T, open opener) {
			s := newMemServer(t, echo)
			p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxLifetime: -1, Probe: pool.Probe{Mode: pool.ProbeByCaller}})
			if tc.warm {
				warmUp(t, p)
			}
			all := getMany(t, p, 4)
			time.Sleep(time.Second)
			release(t, all...)
			same := getMany(t, p, 3) // one stays idle since that moment
			same[0].EvictFor(context.DeadlineExceeded)
			time.Sleep(time.Second)
			release(t, same[1:]...) // later
			if tc.wait {
				time.Sleep(time.Second)
				synctest.Wait()
				require.Equal(t, 2, p.Stat().Idle)
			}
			fresh := 0
			for _, c := range getMany(t, p, 3) {
				if !c.Reused() {
					fresh++
				}
				defer c.Close()
			}
			require.Equal(t, 1, fresh)
			require.EqualValues(t, 1, p.Stat().Evictions[pool.Suspect])
		})
	}
}

// A failure that began earlier, and is told later, gives no trust back.
func TestDistrustIsNotTakenBack(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, Probe: pool.Probe{Mode: pool.ProbeByCaller}})
		release(t, getMany(t, p, 4)...)
		time.Sleep(time.Second)
		early := get(t, p)
		time.Sleep(time.Second)
		late, idle := get(t, p), get(t, p)
		require.NoError(t, idle.Close())
		late.EvictFor(context.DeadlineExceeded)
		early.EvictFor(context.DeadlineExceeded)
		c := get(t, p)
		require.False(t, c.Reused())
		require.NoError(t, c.Close())
	})
}

// Connections that are not trusted stay as long as a user's probe can ask them.
func TestDistrustedConnectionsWaitForTheirProbe(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		probes := 0
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, Probe: pool.Probe{Mode: pool.ProbeNever,
			Func: func(context.Context, *conn.Conn) error { probes++; return nil }}})
		release(t, getMany(t, p, 3)...)
		time.Sleep(time.Second)
		reset(t, get(t, p))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Equal(t, 2, p.Stat().Idle)
		require.Zero(t, probes)
		require.NoError(t, get(t, p).Close())
		require.Equal(t, 1, probes)
	})
}

// After an outage the first reply proves that it is over; before that, a connection
// that breaks is one more failure.
func TestFirstReplyEndsAnOutage(t *testing.T) {
	for name, tc := range map[string]struct {
		reply     func(t *testing.T, p *pool.Pool, old *pool.Conn)
		suspended bool
	}{
		"no reply": {func(t *testing.T, p *pool.Pool, _ *pool.Conn) { require.NoError(t, get(t, p).Close()) }, true},
		"a reply": {func(t *testing.T, p *pool.Pool, _ *pool.Conn) {
			c := get(t, p)
			roundTrip(t, c)
			require.NoError(t, c.Close())
		}, false},
		"a reply on a connection from before": {func(t *testing.T, p *pool.Pool, old *pool.Conn) {
			require.NoError(t, get(t, p).Close())
			roundTrip(t, old)
			require.NoError(t, old.Close())
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, open opener) {
				s := newMemServer(t, echo)
				p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxLifetime: -1, Probe: pool.Probe{Mode: pool.ProbeByCaller},
					DialBackoff: conn.DialBackoff{After: 3, Min: time.Hour}})
				warmUp(t, p)
				old := get(t, p)
				roundTrip(t, old)
				require.NoError(t, old.Close())
				old = get(t, p)
				s.l.Refuse(true)
				for range 2 {
					_, err := p.Get(t.Context())
					require.Error(t, err)
				}
				s.l.Refuse(false)
				tc.reply(t, p, old)
				all := getMany(t, p, 3)
				last := all[2]
				require.False(t, last.Reused())
				breakOff(t, last)
				require.Equal(t, tc.suspended, p.Stat().Suspended)
				old.Evict()
				release(t, all...)
			})
		})
	}
}

// breakOff has the peer close c, and reads that.
func breakOff(t *testing.T, c *pool.Conn) {
	t.Helper()
	require.NoError(t, c.NetConn().(*breakable).CloseWrite())
	require.Equal(t, io.EOF, readByte(&c.Conn))
	require.NoError(t, c.Close())
}

// A connection counts as a failed dial if it breaks at its first use, by a close or
// by a reset, and not if it breaks later.
func TestFirstUseThatBreaksIsAFailedDial(t *testing.T) {
	for name, tc := range map[string]struct {
		reused    bool
		end       func(t *testing.T, c *pool.Conn)
		suspended bool
	}{
		"closed":         {false, breakOff, true},
		"reset":          {false, reset, true},
		"closed, reused": {true, breakOff, false},
		"reset, reused":  {true, reset, false},
		"evicted":        {false, func(_ *testing.T, c *pool.Conn) { c.Evict() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, open opener) {
				s := newMemServer(t, echo)
				p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, Probe: pool.Probe{Mode: pool.ProbeByCaller},
					DialBackoff: conn.DialBackoff{After: 1, Min: time.Hour}})
				c := get(t, p)
				if tc.reused {
					require.NoError(t, c.Close())
					c = get(t, p)
				}
				tc.end(t, c)
				require.Equal(t, tc.suspended, p.Stat().Suspended)
			})
		})
	}
}
