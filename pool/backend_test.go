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
	"github.com/seed-99d6a01a/gtcp/pool/backend"
)

// meddler is a backend with something done at a critical place.
type meddler struct {
	backend.Backend[*pool.Member]
	beforeReturn func()
	afterReturn  func()
	afterNew     func()
	beforeClose  func() // of a connection
	afterSweep   func()
	afterWarm    func()
	sweepless    bool
	holdUp       bool
	warms        atomic.Int32 // calls of Warm
	sweeps       atomic.Int32 // calls of Sweep
}

func (m *meddler) Warm(ctx context.Context, n int) error {
	m.warms.Add(1)
	defer callAny(m.afterWarm)
	return m.Backend.Warm(ctx, n)
}

// callAny calls f, if there is one.
func callAny(f func()) {
	if f != nil {
		f()
	}
}

// Acquire, if holdUp is set, has what it gets until the caller gives up, and a
// moment longer: as if it came at that moment.
func (m *meddler) Acquire(ctx context.Context) (backend.Lease[*pool.Member], error) {
	l, err := m.Backend.Acquire(ctx)
	if !m.holdUp || err != nil {
		return l, err
	}
	<-ctx.Done()
	time.Sleep(time.Second)
	_ = m.Backend.Return(l, backend.Keep)
	return backend.Lease[*pool.Member]{}, ctx.Err()
}

func (m *meddler) Return(l backend.Lease[*pool.Member], v backend.Verdict) error {
	callAny(m.beforeReturn)
	defer callAny(m.afterReturn)
	return m.Backend.Return(l, v)
}

func (m *meddler) Sweep(keep func(*pool.Member) bool) {
	m.sweeps.Add(1)
	defer callAny(m.afterSweep)
	if !m.sweepless {
		m.Backend.Sweep(keep)
	}
}

// meddle opens a pool over open with m in between.
func (m *meddler) meddle(open opener) backend.OpenFunc[*pool.Member] {
	return func(f backend.Factory[*pool.Member], l backend.Limits) (b backend.Backend[*pool.Member], err error) {
		m.Backend, err = open(backend.Factory[*pool.Member]{
			New: func(ctx context.Context) (*pool.Member, error) {
				defer callAny(m.afterNew)
				return f.New(ctx)
			},
			Close: func(c *pool.Member) {
				callAny(m.beforeClose)
				f.Close(c)
			},
		}, l)
		return m, err
	}
}

// TestExpiresDuringReturn has a connection's life end just as it comes back,
// after it was found young and before a sweep can see it: the sweep is
// repeated.
func TestExpiresDuringReturn(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		m := &meddler{beforeReturn: func() { time.Sleep(2 * time.Second) }}
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: m.meddle(open), Probe: pool.Probe{Mode: pool.ProbeNever}})
		c := get(t, p)
		time.Sleep(599 * time.Second)
		require.NoError(t, c.Close())
		require.Equal(t, 1, p.Stat().Idle)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Zero(t, s.open())
		require.Equal(t, uint64(1), p.Stat().Evictions[pool.Expired])
	})
}

// TestExpiresInNobodysHands has a connection's life end while it is on the way
// to a caller who has given up: it does not stay open unseen.
func TestExpiresInNobodysHands(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		m := &meddler{}
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: m.meddle(open), Probe: pool.Probe{Mode: pool.ProbeNever}})
		require.NoError(t, get(t, p).Close())
		m.holdUp = true
		ctx, cancel := context.WithTimeout(t.Context(), 600*time.Second)
		defer cancel()
		_, err := p.Get(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 1, s.open())
		time.Sleep(time.Second)
		synctest.Wait()
		require.Zero(t, s.open())
	})
}

// TestCloseDuringReturn closes the pool while a connection is being released
// and has just been handed on: it is closed.
func TestCloseDuringReturn(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		m := &meddler{beforeReturn: func() { time.Sleep(2 * time.Second) }}
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: m.meddle(open), Probe: pool.Probe{Mode: pool.ProbeNever}})
		c := get(t, p)
		go func() { _ = c.Close() }()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, p.Shutdown(ctx), context.DeadlineExceeded)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Zero(t, s.open())
	})
}

// TestCheckoutChecksAge does not rely on the sweep: with a backend that
// neglects it, an old connection is not given out.
func TestCheckoutChecksAge(t *testing.T) {
	for _, idle := range []time.Duration{0, time.Minute} {
		inBubbles(t, func(t *testing.T, open opener) {
			s := newMemServer(t, echo)
			m := &meddler{sweepless: true}
			p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: m.meddle(open), Probe: pool.Probe{Mode: pool.ProbeNever}, MaxIdleTime: idle})
			require.NoError(t, get(t, p).Close())
			time.Sleep(600 * time.Second)
			synctest.Wait()
			require.Equal(t, 1, s.open())
			c := get(t, p)
			require.False(t, c.Reused())
			require.NoError(t, c.Close())
			synctest.Wait()
			require.Equal(t, 2, s.dialed())
		})
	}
}

// TestManyDeadServerGone has more dead connections idle than one Get looks at,
// and no server: the Get fails and costs no place.
func TestManyDeadServerGone(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxConns: 20,
			DialBackoff: conn.DialBackoff{After: -1}})
		held := make([]*pool.Conn, 20)
		for i := range held {
			held[i] = get(t, p)
		}
		for _, c := range held {
			require.NoError(t, c.Close())
		}
		time.Sleep(time.Second)
		s.closeConns()
		s.l.Refuse(true)
		_, err := p.Get(t.Context())
		require.ErrorContains(t, err, "refused")
		synctest.Wait()
		require.Equal(t, 4, p.Stat().Open)
		require.Zero(t, p.Stat().Used)
		require.Equal(t, uint64(16), p.Stat().Evictions[pool.Dead])
	})
}

// TestNetworks dials with a Dialer, over a unix socket and over a net.Conn that
// is no conn.Conn.
func TestNetworks(t *testing.T) {
	s := newTCPServer(t, echo)
	l, err := net.Listen("unix", t.TempDir()+"/s")
	require.NoError(t, err)
	defer l.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if c, err := l.Accept(); err == nil {
			echo(c)
			_ = c.Close()
		}
	}()
	for _, target := range []conn.Target{
		{Network: "tcp4", Address: s.addr, Dialer: &conn.Dialer{Timeout: time.Minute}},
		{Network: "unix", Address: l.Addr().String()},
		{Dial: func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", s.addr)
		}},
	} {
		p := newPool(t, target, pool.Config{})
		for i := range 3 {
			born := time.Now()
			c := get(t, p)
			require.Equal(t, i > 0, c.Reused())
			if i == 0 {
				require.WithinRange(t, c.CreatedAt(), born, time.Now())
			}
			roundTrip(t, c)
			require.NoError(t, c.Close())
		}
		require.Equal(t, uint64(1), p.Stat().Dials)
		closePool(t, p)
	}
	<-done
}
