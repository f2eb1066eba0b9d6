package pool_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
)

// TestProbe lets the peer do something to idle connections on real sockets:
// each is replaced within the Get, and the caller sees nothing of it.
func TestProbe(t *testing.T) {
	for _, tc := range []struct {
		name  string
		spoil func(c *net.TCPConn)
		count func(pool.Evictions) uint64
	}{
		{"closed", func(c *net.TCPConn) { _ = c.Close() }, func(e pool.Evictions) uint64 { return e[pool.Dead] }},
		{"half closed", func(c *net.TCPConn) { _ = c.CloseWrite() }, func(e pool.Evictions) uint64 { return e[pool.Dead] }},
		{"reset", func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() }, func(e pool.Evictions) uint64 { return e[pool.Dead] }},
		{"unread bytes", func(c *net.TCPConn) { _, _ = c.Write([]byte("late")) }, func(e pool.Evictions) uint64 { return e[pool.Dirty] }},
		{"unread bytes, then closed", func(c *net.TCPConn) { _, _ = c.Write([]byte("late")); _ = c.Close() },
			func(e pool.Evictions) uint64 { return e[pool.Dirty] }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			overBackends(t, func(t *testing.T, open opener) {
				s := newTCPServer(t, echo)
				p := newPool(t, conn.Target{Address: s.addr}, pool.Config{Backend: open})
				c := get(t, p)
				roundTrip(t, c)
				// A second handle sees when the peer's doing has arrived.
				nc := c.NetConn()
				require.NoError(t, c.Close())
				s.each(tc.spoil)
				arrived(t, nc)

				c = get(t, p)
				require.False(t, c.Reused())
				roundTrip(t, c)
				require.NoError(t, c.Close())
				require.Equal(t, uint64(2), p.Stat().Dials)
				closePool(t, p)
				e := p.Stat().Evictions
				require.Equal(t, uint64(1), tc.count(e), "%+v", e)
				require.Equal(t, uint64(1), e[pool.PoolClosed])
			})
		})
	}
}

// arrived waits until the socket has something to say, without reading it.
func arrived(t *testing.T, nc net.Conn) {
	t.Helper()
	require.Eventually(t, func() bool { return conn.New(nc).Check() != nil }, 5*time.Second, time.Millisecond)
}

// TestProbeManyDead has more dead connections idle than a Get looks at: it is
// bounded, and succeeds.
func TestProbeManyDead(t *testing.T) {
	overBackends(t, func(t *testing.T, open opener) {
		s := newTCPServer(t, echo)
		p := newPool(t, conn.Target{Address: s.addr}, pool.Config{Backend: open, MaxConns: 40})
		held := make([]*pool.Conn, 40)
		for i := range held {
			held[i] = get(t, p)
			roundTrip(t, held[i])
		}
		ncs := make([]net.Conn, len(held))
		for i, c := range held {
			ncs[i] = c.NetConn()
			require.NoError(t, c.Close())
		}
		s.each(func(c *net.TCPConn) { _ = c.Close() })
		for _, nc := range ncs {
			arrived(t, nc)
		}
		c := get(t, p)
		require.False(t, c.Reused())
		roundTrip(t, c)
		require.Less(t, p.Stat().Open, 40)
		require.Greater(t, p.Stat().Open, 20, "one Get has not looked at all of them")
		require.NoError(t, c.Close())
		closePool(t, p)
		require.Equal(t, uint64(16), p.Stat().Evictions[pool.Dead])
	})
}

// TestProbeOff gives out what the peer has closed: the caller reads io.EOF, and
// Close then evicts.
func TestProbeOff(t *testing.T) {
	overBackends(t, func(t *testing.T, open opener) {
		s := newTCPServer(t, func(c net.Conn) { _, _ = io.CopyN(c, c, 1) })
		p := newPool(t, conn.Target{Address: s.addr}, pool.Config{Backend: open, Probe: pool.Probe{Mode: pool.ProbeNever}})
		for i := range 6 {
			c := get(t, p)
			require.Equal(t, i%2 == 1, c.Reused())
			if i%2 == 0 {
				roundTrip(t, c)
				arrived(t, c.NetConn())
			} else {
				_, err := c.Read(make([]byte, 1))
				require.Equal(t, io.EOF, err)
			}
			require.NoError(t, c.Close())
		}
		require.Equal(t, uint64(3), p.Stat().Dials)
	})
}

// TestUnreadAnswer gives a connection back with the answer still in the
// kernel: without a probe at checkout, Close itself must see it.
func TestUnreadAnswer(t *testing.T) {
	for _, probe := range []pool.Probe{{}, {Mode: pool.ProbeNever}, {After: time.Hour}} {
		t.Run(fmt.Sprint(probe.Mode, probe.After), func(t *testing.T) {
			overBackends(t, func(t *testing.T, open opener) {
				s := newTCPServer(t, echo)
				p := newPool(t, conn.Target{Address: s.addr}, pool.Config{Backend: open, Probe: probe})
				c := get(t, p)
				roundTrip(t, c)
				_, err := c.Write([]byte("secret"))
				require.NoError(t, err)
				arrived(t, c.NetConn())
				require.NoError(t, c.Close())

				c = get(t, p)
				require.False(t, c.Reused())
				roundTrip(t, c)
				require.NoError(t, c.Close())
				closePool(t, p)
				require.Equal(t, uint64(1), p.Stat().Evictions[pool.Dirty])
			})
		})
	}
}

// TestClosedWhileLent gives back a connection that its peer has closed
// meanwhile, with a probe that would come too late to see it.
func TestClosedWhileLent(t *testing.T) {
	s := newTCPServer(t, func(c net.Conn) { _, _ = io.CopyN(c, c, 1) })
	p := newPool(t, conn.Target{Address: s.addr}, pool.Config{Probe: pool.Probe{After: time.Hour}})
	c := get(t, p)
	roundTrip(t, c)
	arrived(t, c.NetConn())
	require.NoError(t, c.Close())
	closePool(t, p)
	require.Equal(t, uint64(1), p.Stat().Evictions[pool.Dead])
}

// TestProbeThreshold counts the probes.
func TestProbeThreshold(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		probes := 0
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, Probe: pool.Probe{After: time.Second,
			Func: func(context.Context, *conn.Conn) error { probes++; return nil }}})
		for _, step := range []struct {
			idle   time.Duration
			probes int
		}{{0, 0}, {999 * time.Millisecond, 0}, {time.Second, 1}, {0, 1}, {time.Minute, 2}} {
			time.Sleep(step.idle)
			require.NoError(t, get(t, p).Close())
			require.Equal(t, step.probes, probes)
		}
	})
}

// TestProbeOwn has a probe of the user's do I/O, fail, leave dirt and panic.
func TestProbeOwn(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		var probe func(ctx context.Context, c *conn.Conn) error
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxConns: 1,
			Probe: pool.Probe{Func: func(ctx context.Context, c *conn.Conn) error { return probe(ctx, c) }}})
		require.NoError(t, get(t, p).Close())
		for _, tc := range []struct {
			probe  func(ctx context.Context, c *conn.Conn) error
			reused bool
		}{
			{func(ctx context.Context, c *conn.Conn) error {
				return c.Do(ctx, func() error { roundTrip(t, c); return nil })
			}, true},
			{func(context.Context, *conn.Conn) error { return errors.New("no") }, false},
			{func(_ context.Context, c *conn.Conn) error { return c.SetDeadline(time.Now().Add(time.Hour)) }, false},
		} {
			time.Sleep(time.Second)
			probe = tc.probe
			c := get(t, p)
			require.Equal(t, tc.reused, c.Reused())
			roundTrip(t, c)
			require.NoError(t, c.Close())
		}
		probe = func(context.Context, *conn.Conn) error { panic("probe") }
		require.PanicsWithValue(t, "probe", func() { _, _ = p.Get(t.Context()) })
		c := get(t, p) // the panic cost no place
		require.False(t, c.Reused())
		require.NoError(t, c.Close())
		synctest.Wait()
		require.Equal(t, uint64(3), p.Stat().Evictions[pool.Dead])
	})
}
