package pool_test

import (
	"context"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
)

// A checkout that a failed Replace has ended counts, even if the connection's end
// is told at that very moment: it had been missing in Gets and Uses now and then.
func TestFailedReplaceCountsItsCheckout(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		log := &evictLog{}
		m := &meddler{afterReturn: synctest.Wait}
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: m.meddle(open), Hooks: []any{log}})
		c := get(t, p)
		s.l.Refuse(true)
		require.Error(t, c.Replace(t.Context()))
		require.EqualValues(t, 1, p.Stat().Gets)
		require.EqualValues(t, 1, log.events[0].Uses)
	})
}

// A checkout that a failed Replace has ended is of no more use, and its end is
// told once, whether it failed with an error or with a panic.
func TestFailedReplaceEndsTheCheckout(t *testing.T) {
	for _, panics := range []bool{false, true} {
		inBubbles(t, func(t *testing.T, open opener) {
			s := newMemServer(t, echo)
			log := &hookLog{}
			wrong := false
			p := newPool(t, conn.Target{Dial: func(ctx context.Context) (net.Conn, error) {
				if wrong && panics {
					panic("dial")
				}
				return s.dial(ctx)
			}}, pool.Config{Backend: open, Hooks: []any{log}, DialBackoff: conn.DialBackoff{After: -1},
				AfterConnect: func(context.Context, *conn.Conn) (any, error) { return "session", nil }})
			c := get(t, p)
			require.Equal(t, "session", c.Session())
			wrong = true
			s.l.Refuse(true)
			if panics {
				require.PanicsWithValue(t, "dial", func() { _ = c.Replace(t.Context()) })
			} else {
				require.Error(t, c.Replace(t.Context()))
			}
			require.Nil(t, c.Session())
			dials := p.Stat().Dials
			require.ErrorIs(t, c.Replace(t.Context()), net.ErrClosed)
			require.Equal(t, dials, p.Stat().Dials, "the second Replace dials nothing")
			c.Evict()
			require.NoError(t, c.Close())
			synctest.Wait()
			require.Equal(t, []pool.ReleaseEvent{{ID: 1, Reason: pool.Dead}}, log.releases)
			require.EqualValues(t, 1, p.Stat().Gets)
			require.Zero(t, p.Stat().Used)
		})
	}
}

// A Close while Replace dials ends the checkout as Evict does, once.
func TestCloseDuringReplaceIsARelease(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		log := &hookLog{}
		p := newPool(t, conn.Target{Dial: s.slowly(time.Second)}, pool.Config{Backend: open, Hooks: []any{log},
			AfterConnect: func(context.Context, *conn.Conn) (any, error) { return "session", nil }})
		c := get(t, p)
		replaced := make(chan error)
		go func() { replaced <- c.Replace(context.Background()) }()
		time.Sleep(500 * time.Millisecond)
		require.NoError(t, c.Close())
		require.ErrorIs(t, <-replaced, net.ErrClosed)
		require.Nil(t, c.Session())
		require.ErrorIs(t, c.Replace(t.Context()), net.ErrClosed)
		require.NoError(t, c.Close())
		synctest.Wait()
		require.Equal(t, []pool.ReleaseEvent{{ID: 2, Used: time.Second, Reason: pool.Discarded}}, log.releases)
		require.EqualValues(t, 2, log.events[1].ID)
		require.Equal(t, pool.Discarded, log.events[1].Reason)
		require.EqualValues(t, 1, log.events[1].Uses)
		require.EqualValues(t, 1, p.Stat().Gets)
		require.EqualValues(t, 2, s.dialed())
	})
}

// What a checkout has moved is that of the connection it has at its end.
func TestBytesOfACheckoutWithReplace(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		log := &hookLog{}
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, Hooks: []any{log}, Probe: pool.Probe{Mode: pool.ProbeByCaller}})
		c := get(t, p)
		roundTrip(t, c)
		roundTrip(t, c)
		require.NoError(t, c.Close())
		c = get(t, p)
		require.NoError(t, c.Replace(t.Context()))
		roundTrip(t, c)
		require.NoError(t, c.Close())
		require.Equal(t, []pool.ReleaseEvent{
			{ID: 1, BytesRead: 2, BytesWritten: 2, Kept: true},
			{ID: 2, BytesRead: 1, BytesWritten: 1, Kept: true},
		}, log.releases)
	})
}

// remoteConn calls a function when it is asked for its peer's address.
type remoteConn struct {
	net.Conn
	asked func()
}

func (c *remoteConn) RemoteAddr() net.Addr {
	callAny(c.asked)
	return c.Conn.RemoteAddr()
}

// The pool is closed when the dial of a Replace has succeeded and the connection is
// not in its place yet: it is closed.
func TestCloseJustAfterTheDialOfReplace(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		var asked func()
		p := newPool(t, conn.Target{Dial: func(ctx context.Context) (net.Conn, error) {
			c, err := s.dial(ctx)
			return &remoteConn{c, asked}, err
		}}, pool.Config{Backend: open})
		c := get(t, p)
		closed := make(chan error)
		once := false
		asked = func() {
			if !once {
				once = true
				go func() { closed <- p.Close() }()
				synctest.Wait()
			}
		}
		require.ErrorIs(t, c.Replace(t.Context()), pool.ErrClosed)
		require.NoError(t, <-closed)
		synctest.Wait()
		require.Zero(t, s.open())
		require.Equal(t, 2, s.dialed())
	})
}

// A connection that ends between its dial and its first use is a failed dial,
// which names no connection.
func TestConnectionLostJustAfterItsDial(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		log := &hookLog{}
		var fresh *conn.Conn
		asked := func() {
			if c := fresh; c != nil {
				fresh = nil // its error asks as well
				_ = c.Close()
			}
		}
		p := newPool(t, conn.Target{Dial: func(ctx context.Context) (net.Conn, error) {
			c, err := s.dial(ctx)
			return &remoteConn{c, asked}, err
		}}, pool.Config{Backend: open, Hooks: []any{log}, AfterConnect: func(_ context.Context, c *conn.Conn) (any, error) {
			fresh = c
			return nil, nil
		}})
		_, err := p.Get(t.Context())
		require.ErrorIs(t, err, net.ErrClosed)
		require.Len(t, log.dials, 1)
		require.Error(t, log.dials[0].Err)
		require.Zero(t, log.dials[0].ID)
		require.Nil(t, log.dials[0].Peer)
		require.Empty(t, slices.Collect(p.Conns()))
	})
}

// A Stat meanwhile sees nothing half done of a Get that dials in place of a
// connection past use. (It takes the race detector to see that.)
func TestStatWhileAGetDialsInPlace(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		const n = 20
		var slow time.Duration
		p := newPool(t, conn.Target{Dial: func(ctx context.Context) (net.Conn, error) {
			time.Sleep(slow)
			return s.dial(ctx)
		}}, pool.Config{Backend: open, MaxConns: n})
		release(t, getMany(t, p, n)...)
		synctest.Wait() // the server has all of them
		s.closeConns()
		time.Sleep(2 * time.Second)
		slow = 2 * time.Second
		time.AfterFunc(time.Second, func() { _ = slices.Collect(p.Conns()) })
		c := get(t, p)
		require.EqualValues(t, n+1, c.ID())
		require.EqualValues(t, 1, slices.Collect(p.Conns())[n-16].Uses)
		require.NoError(t, c.Close())
		require.EqualValues(t, n+1, p.Stat().Gets)
	})
}
