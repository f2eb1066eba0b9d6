package pool_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/faultproxy"
	"github.com/seed-99d6a01a/gtcp/pool"
)

// TestBackoffSteps follows one outage by the clock: when dials are made, what
// callers get meanwhile, and that all is as before afterwards.
func TestBackoffSteps(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		s.l.Refuse(true)
		p := newPool(t, pool.Config{Dial: s.dial, Backend: open,
			DialBackoff: pool.DialBackoff{After: 2, Min: time.Second, Max: 4 * time.Second}})
		for range 2 {
			_, err := p.Get(t.Context())
			require.False(t, errors.As(err, new(*pool.BackoffError)))
		}
		for i, step := range []time.Duration{1, 2, 4, 4} {
			step *= time.Second
			start := time.Now()
			_, err := p.Get(t.Context())
			require.Zero(t, time.Since(start), "callers fail fast")
			var berr *pool.BackoffError
			require.ErrorAs(t, err, &berr)
			require.GreaterOrEqual(t, berr.RetryAfter, step/2)
			require.LessOrEqual(t, berr.RetryAfter, step)
			require.ErrorContains(t, berr.Err, "refused")
			require.Equal(t, 2+i, s.dialed())

			time.Sleep(berr.RetryAfter)
			_, err = p.Get(t.Context()) // the probe
			require.False(t, errors.As(err, new(*pool.BackoffError)))
			require.Equal(t, 3+i, s.dialed())
		}
		s.l.Refuse(false)
		time.Sleep(4 * time.Second)
		c := get(t, p)
		require.NoError(t, c.Close())
		p.Clear()

		// The next outage begins at the first step.
		s.l.Refuse(true)
		for range 2 {
			_, err := p.Get(t.Context())
			require.False(t, errors.As(err, new(*pool.BackoffError)))
		}
		var berr *pool.BackoffError
		_, err := p.Get(t.Context())
		require.ErrorAs(t, err, &berr)
		require.LessOrEqual(t, berr.RetryAfter, time.Second)
	})
}

// TestBackoffJitter shows that waits differ.
func TestBackoffJitter(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		waits := map[time.Duration]bool{}
		for range 20 {
			p := newPool(t, pool.Config{Backend: open, DialBackoff: pool.DialBackoff{After: 1, Min: time.Second},
				Dial: func(context.Context) (net.Conn, error) { return nil, errors.New("down") }})
			_, _ = p.Get(t.Context())
			var berr *pool.BackoffError
			_, err := p.Get(t.Context())
			require.ErrorAs(t, err, &berr)
			waits[berr.RetryAfter] = true
		}
		require.Greater(t, len(waits), 15)
	})
}

// TestBackoffOneProbe has callers come while the probe is under way: they do
// not wait for it, and do not dial beside it.
func TestBackoffOneProbe(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		var slow atomic.Bool
		s := newMemServer(t, echo)
		s.l.Refuse(true)
		p := newPool(t, pool.Config{Backend: open, DialBackoff: pool.DialBackoff{After: 1, Min: time.Second},
			Dial: func(ctx context.Context) (net.Conn, error) {
				if slow.Load() {
					time.Sleep(time.Second)
				}
				return s.dial(ctx)
			}})
		_, err := p.Get(t.Context())
		require.Error(t, err)
		time.Sleep(time.Second)
		slow.Store(true)
		s.l.Refuse(false)
		probe := make(chan *pool.Conn)
		go func() { c, _ := p.Get(t.Context()); probe <- c }()
		synctest.Wait()
		for range 10 {
			_, err := p.Get(t.Context())
			var berr *pool.BackoffError
			require.ErrorAs(t, err, &berr)
			require.Zero(t, berr.RetryAfter)
		}
		c := <-probe
		require.NotNil(t, c)
		require.NoError(t, c.Close())
		require.Equal(t, 2, s.dialed())
	})
}

// TestBackoffFailsQueue has dials wait for their turn when the address is
// found to be down: they fail at once with the cause, and do not each try.
func TestBackoffFailsQueue(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		var dials atomic.Int32
		p := newPool(t, pool.Config{Backend: open, MaxDialing: 2, DialBackoff: pool.DialBackoff{After: 1},
			Dial: func(context.Context) (net.Conn, error) {
				dials.Add(1)
				time.Sleep(time.Second)
				return nil, errors.New("down")
			}})
		start := time.Now()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				_, err := p.Get(t.Context())
				require.ErrorContains(t, err, "down")
			})
		}
		wg.Wait()
		require.Equal(t, time.Second, time.Since(start))
		require.EqualValues(t, 2, dials.Load())
	})
}

// TestBackoffStragglers has dials that were under way when the wait began fail
// during it: they do not lengthen it.
func TestBackoffStragglers(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		var n atomic.Int32
		p := newPool(t, pool.Config{Backend: open, MaxDialing: 3,
			DialBackoff: pool.DialBackoff{After: 1, Min: 10 * time.Second},
			Dial: func(context.Context) (net.Conn, error) {
				time.Sleep(time.Duration(n.Add(1)) * time.Second)
				return nil, errors.New("down")
			}})
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { _, _ = p.Get(t.Context()) })
		}
		time.Sleep(time.Second)
		synctest.Wait()
		var first, second *pool.BackoffError
		_, err := p.Get(t.Context())
		require.ErrorAs(t, err, &first)
		wg.Wait()
		_, err = p.Get(t.Context())
		require.ErrorAs(t, err, &second)
		require.Equal(t, first.RetryAfter-2*time.Second, second.RetryAfter)
	})
}

// TestBackoffGivenUp closes the pool during a dial: that is no failure of the
// address, and the error is ErrClosed.
func TestBackoffGivenUp(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		p := newPool(t, pool.Config{Backend: open, MaxDialing: 1,
			Dial: func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }})
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				_, err := p.Get(t.Context())
				var perr *pool.Error
				require.ErrorAs(t, err, &perr)
				require.ErrorIs(t, err, pool.ErrClosed)
				require.ErrorIs(t, err, net.ErrClosed)
				require.NoError(t, perr.LastDialError)
				require.False(t, perr.SafeToRetry())
			})
		}
		synctest.Wait()
		closePool(t, p)
		wg.Wait()
	})
}

// TestOutage takes a real server away from 200 callers for a while. The dials
// made are counted against what the configuration allows; how long anything
// took is not asserted, but in steps of the backoff.
func TestOutage(t *testing.T) {
	overBackends(t, func(t *testing.T, open opener) {
		const callers, after, dialing = 200, 3, 4
		const step = 20 * time.Millisecond // constant: Min is Max
		s := newTCPServer(t, echo)
		proxy, err := faultproxy.New(s.addr, nil)
		require.NoError(t, err)
		defer func() { require.NoError(t, proxy.Close()) }()
		log := &dialLog{}
		p := newPool(t, pool.Config{Address: proxy.Addr(), Backend: open, MaxConns: 16, MaxDialing: dialing, Hook: log,
			DialBackoff: pool.DialBackoff{After: after, Min: step, Max: step}})

		var ok, suspended, other atomic.Int64
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(time.Millisecond): // what a caller does between calls
					}
					c, err := p.Get(context.Background())
					switch {
					case err == nil:
						ok.Add(1)
						_ = c.Close()
					default:
						var dial *conn.Error // the cause is told, whether this caller dialed or not
						require.ErrorAs(t, err, &dial)
						require.Equal(t, "dial", dial.Op)
						if errors.As(err, new(*pool.BackoffError)) {
							suspended.Add(1)
						} else {
							other.Add(1)
						}
					}
				}
			})
		}
		require.Eventually(t, func() bool { return ok.Load() > callers }, 10*time.Second, time.Millisecond)

		require.NoError(t, proxy.Refuse(true))
		proxy.ResetAll()
		require.Eventually(t, func() bool { return p.Stat().DialErrors >= after }, 10*time.Second, time.Millisecond)
		require.Eventually(t, func() bool { return log.failures() >= after+10 && suspended.Load() > callers },
			20*time.Second, time.Millisecond)
		require.NoError(t, proxy.Refuse(false))
		back := time.Now()
		before := ok.Load()
		require.Eventually(t, func() bool { return ok.Load() > before+callers }, 10*time.Second, time.Millisecond)
		close(stop)
		wg.Wait()

		closePool(t, p)
		log.check(t, after, dialing, step, back)
		// A caller who is not told at once is one whose dial it was.
		require.LessOrEqual(t, other.Load(), int64(log.failures()))
	})
}

// dialLog is a DialHook that notes every dial but those given up.
type dialLog struct {
	mu     sync.Mutex
	events []pool.DialEvent
}

func (l *dialLog) AfterDial(_ context.Context, e pool.DialEvent) {
	if errors.Is(e.Err, context.Canceled) {
		return // by the Close at the end
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}

func (l *dialLog) failures() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if e.Err != nil {
			n++
		}
	}
	return n
}

// check holds the log against the configured rate: in the outage, up to after
// failures and those under way beside them, then one dial a step at most, the
// shortest a step can be being half of it. The server was back at the given
// time, and the first dial after that succeeds: as a wait is no longer than a
// step and there are always callers, that is within a step.
func (l *dialLog) check(t *testing.T, after, dialing int, step time.Duration, back time.Time) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var failed []pool.DialEvent
	var down time.Time // when the last dial before the outage succeeded
	for _, e := range l.events {
		if end := e.Start.Add(e.Duration); e.Err == nil && end.Before(back) && end.After(down) {
			down = end
		}
	}
	for _, e := range l.events {
		if e.Err != nil && e.Start.After(down) {
			failed = append(failed, e)
			require.True(t, e.Start.Before(back), "a dial failed although the server was back: %v", e.Err)
		}
	}
	require.NotEmpty(t, failed)
	slices.SortFunc(failed, func(a, b pool.DialEvent) int { return a.Start.Compare(b.Start) })
	free := after + dialing - 1
	first, last := failed[0].Start, failed[len(failed)-1].Start
	allowed := free + int(last.Sub(first)/(step/2)) + 1
	require.LessOrEqual(t, len(failed), allowed, "dials in %v", last.Sub(first))
	for i := free + 1; i < len(failed); i++ {
		gap := failed[i].Start.Sub(failed[i-1].Start)
		require.GreaterOrEqual(t, gap, step/2, "between probes %d and %d", i-1, i)
	}
}
