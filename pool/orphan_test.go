package pool_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
)

// outage is a dial that hangs while the server is away.
type outage struct {
	back    chan struct{}
	dial    func(context.Context) (net.Conn, error)
	pending atomic.Int32
	peak    atomic.Int32
}

func (o *outage) connect(ctx context.Context) (net.Conn, error) {
	n := o.pending.Add(1)
	defer o.pending.Add(-1)
	for old := o.peak.Load(); n > old && !o.peak.CompareAndSwap(old, n); old = o.peak.Load() {
	}
	select {
	case <-o.back:
		return o.dial(ctx)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Callers that give up do not pile up dials: the next takes theirs over.
func TestCallersThatGiveUpDoNotPileUpDials(t *testing.T) {
	for _, callers := range []int{1, 20} {
		for _, most := range []int{0, 500, -1} {
			inBubbles(t, func(t *testing.T, open opener) {
				s := newMemServer(t, echo)
				o := &outage{back: make(chan struct{}), dial: s.dial}
				p := newPool(t, conn.Target{Dial: o.connect}, pool.Config{Backend: open, MaxConns: most, MaxDialing: -1})
				var wg sync.WaitGroup
				for range callers {
					wg.Go(func() {
						for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
							ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
							_, err := p.Get(ctx)
							cancel()
							if !errors.Is(err, context.DeadlineExceeded) {
								t.Errorf("not a timeout: %v", err)
							}
						}
					})
				}
				wg.Wait()
				require.LessOrEqual(t, int(o.peak.Load()), 2*callers+3, "each caller's, and slow ones beside them")
				close(o.back)
				synctest.Wait()
				require.LessOrEqual(t, s.open(), callers+callers/2+2)
				require.Equal(t, s.open(), p.Stat().Idle)
			})
		}
	}
}

// A dial that hangs has another begun beside it, which may find the name moved;
// the failure of the first is still told in its time.
func TestSlowDialGetsASecondBeside(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		begun := time.Now()
		p := newPool(t, conn.Target{Dial: func(ctx context.Context) (net.Conn, error) {
			if time.Since(begun) < 2*time.Second { // the name leads to a host that is gone
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return s.dial(ctx)
		}}, pool.Config{Backend: open, MaxConns: 2})
		require.NoError(t, get(t, p).Close())
		require.Equal(t, 3*time.Second, time.Since(begun))
		synctest.Wait()
		require.Equal(t, 1, s.open())
	})
}

// Dialing is suspended, and connections are in use: a caller waits for one of
// them. With none in use it fails at once.
func TestSuspendedDialingWaitsForConnectionsInUse(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, Probe: pool.Probe{Mode: pool.ProbeNever},
			DialBackoff: conn.DialBackoff{After: 1, Min: time.Hour, Max: time.Hour}})
		a, b := get(t, p), get(t, p)
		s.l.Refuse(true) // out of local ports, for instance
		_, err := p.Get(t.Context())
		require.ErrorContains(t, err, "refused")
		start := time.Now()
		waiting := make(chan error, 2)
		for range 2 {
			go func() {
				c, err := p.Get(context.Background())
				if err == nil {
					time.Sleep(time.Second)
					err = c.Close()
				}
				waiting <- err
			}()
		}
		time.Sleep(time.Second)
		require.NoError(t, a.Close())
		require.NoError(t, <-waiting)
		require.NoError(t, <-waiting)
		require.Equal(t, 3*time.Second, time.Since(start))
		require.Equal(t, 3, s.dialed())

		a = get(t, p)
		go func() {
			_, err := p.Get(context.Background())
			waiting <- err
		}()
		synctest.Wait()
		a.Evict()
		synctest.Wait()
		require.Equal(t, 1, p.Stat().Waiting, "another is in use")
		start = time.Now()
		b.Evict()
		var backoff *conn.BackoffError
		require.ErrorAs(t, <-waiting, &backoff)
		require.Zero(t, time.Since(start), "at once")
		_, err = p.Get(t.Context())
		require.ErrorAs(t, err, &backoff)
		require.Positive(t, backoff.Wait)
	})
}

// A caller who waits for a connection in use, since dialing is suspended, gets one
// that is dialed when it goes on.
func TestSuspendedDialingGoesOn(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open,
			DialBackoff: conn.DialBackoff{After: 1, Min: time.Second, Max: time.Second}})
		c := get(t, p)
		s.l.Refuse(true)
		_, err := p.Get(t.Context())
		require.ErrorContains(t, err, "refused")
		s.l.Refuse(false)
		start := time.Now()
		require.NoError(t, get(t, p).Close())
		require.Equal(t, time.Second, time.Since(start))
		require.NoError(t, c.Close())
		require.Equal(t, 3, s.dialed())
	})
}

// Close ends the wait of a dial until dialing goes on.
func TestCloseEndsTheWaitForSuspendedDialing(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open,
			DialBackoff: conn.DialBackoff{After: 1, Min: time.Hour, Max: time.Hour}})
		c := get(t, p)
		s.l.Refuse(true)
		_, err := p.Get(t.Context())
		require.ErrorContains(t, err, "refused")
		got := make(chan error)
		go func() { _, err := p.Get(context.Background()); got <- err }()
		synctest.Wait()
		start := time.Now()
		time.AfterFunc(time.Second, func() { _ = c.Close() })
		require.NoError(t, p.Shutdown(t.Context()))
		require.Equal(t, time.Second, time.Since(start), "only for the one in use")
		require.ErrorIs(t, <-got, pool.ErrClosed)
	})
}

// A peer that accepts and closes is not dialed in a tight loop.
func TestAcceptAndCloseCountsAsAFailedDial(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, func(net.Conn) {})
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open})
		refused := 0
		for range 1000 {
			c, err := p.Get(t.Context())
			if err != nil {
				require.ErrorAs(t, err, new(*conn.BackoffError))
				refused++
			} else {
				_, err = c.Read(make([]byte, 1))
				require.Error(t, err)
				c.EvictFor(err)
			}
			time.Sleep(time.Millisecond)
		}
		require.LessOrEqual(t, s.dialed(), 100)
		require.Greater(t, refused, 800)
	})
}
