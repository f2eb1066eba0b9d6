package pool_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
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
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open,
			DialBackoff: conn.DialBackoff{After: 2, Min: time.Second, Max: 4 * time.Second}})
		for range 2 {
			_, err := p.Get(t.Context())
			require.False(t, errors.As(err, new(*conn.BackoffError)))
		}
		for i := range 4 {
			start := time.Now()
			_, err := p.Get(t.Context())
			require.Zero(t, time.Since(start), "callers fail fast")
			var berr *conn.BackoffError
			require.ErrorAs(t, err, &berr)
			require.Equal(t, time.Second, berr.Wait, "5 % of the outage is less")
			require.ErrorContains(t, berr.Err, "refused")
			require.Equal(t, 2+i, s.dialed())
			stat := p.Stat()
			require.True(t, stat.Suspended)
			require.True(t, start.Add(time.Second).Equal(stat.SuspendedUntil))
			require.ErrorContains(t, stat.LastDialError, "refused")
			text, err := json.Marshal(stat.LastDialError)
			require.NoError(t, err)
			require.Contains(t, string(text), "refused")

			time.Sleep(berr.Wait)
			_, err = p.Get(t.Context()) // the probe
			require.False(t, errors.As(err, new(*conn.BackoffError)))
			require.Equal(t, 3+i, s.dialed())
		}
		s.l.Refuse(false)
		time.Sleep(4 * time.Second)
		require.NoError(t, get(t, p).Close())
		require.False(t, p.Stat().Suspended)
		p.Clear()

		// The next outage begins anew.
		s.l.Refuse(true)
		for range 2 {
			_, err := p.Get(t.Context())
			require.False(t, errors.As(err, new(*conn.BackoffError)))
		}
		_, err := p.Get(t.Context())
		require.ErrorAs(t, err, new(*conn.BackoffError))
	})
}

// TestBackoffOneProbe has callers come while the probe is under way: they do
// not wait for it, and do not dial beside it.
func TestBackoffOneProbe(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		var slow atomic.Bool
		s := newMemServer(t, echo)
		s.l.Refuse(true)
		p := newPool(t, conn.Target{Dial: func(ctx context.Context) (net.Conn, error) {
			if slow.Load() {
				time.Sleep(time.Second)
			}
			return s.dial(ctx)
		}}, pool.Config{Backend: open, DialBackoff: conn.DialBackoff{After: 1, Min: time.Second}})
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
			var berr *conn.BackoffError
			require.ErrorAs(t, err, &berr)
			require.Equal(t, time.Second, berr.Wait, "never zero: callers would spin")
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
		p := newPool(t, conn.Target{Dial: func(context.Context) (net.Conn, error) {
			dials.Add(1)
			time.Sleep(time.Second)
			return nil, errors.New("down")
		}}, pool.Config{Backend: open, MaxDialing: 2, DialBackoff: conn.DialBackoff{After: 1}})
		start := time.Now()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				_, err := p.Get(t.Context())
				assert.ErrorContains(t, err, "down")
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
		p := newPool(t, conn.Target{Dial: func(context.Context) (net.Conn, error) {
			time.Sleep(time.Duration(n.Add(1)) * time.Second)
			return nil, errors.New("down")
		}}, pool.Config{Backend: open, MaxDialing: 3,
			DialBackoff: conn.DialBackoff{After: 1, Min: 10 * time.Second}})
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { _, _ = p.Get(t.Context()) })
		}
		time.Sleep(time.Second)
		synctest.Wait()
		var first, second *conn.BackoffError
		_, err := p.Get(t.Context())
		require.ErrorAs(t, err, &first)
		wg.Wait()
		_, err = p.Get(t.Context())
		require.ErrorAs(t, err, &second)
		require.Equal(t, first.Wait-2*time.Second, second.Wait)
	})
}

// TestBackoffGivenUp closes the pool during a dial: that is no failure of the
// address, and the error is ErrClosed.
func TestBackoffGivenUp(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		p := newPool(t, conn.Target{Dial: func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }}, pool.Config{Backend: open, MaxDialing: 1})
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				_, err := p.Get(t.Context())
				var perr *pool.Error
				assert.ErrorAs(t, err, &perr)
				assert.ErrorIs(t, err, pool.ErrClosed)
				assert.ErrorIs(t, err, net.ErrClosed)
				assert.NoError(t, perr.LastDialError)
				assert.False(t, perr.SafeToRetry())
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
		p := newPool(t, conn.Target{Address: proxy.Addr()}, pool.Config{Backend: open, MaxConns: 16, MaxDialing: dialing, Hooks: []any{log},
			DialBackoff: conn.DialBackoff{After: after, Min: step, Max: step}})

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
						if !errors.As(err, &dial) || dial.Op != "dial" {
							t.Errorf("not a dial's error: %v", err)
						}
						if errors.As(err, new(*conn.BackoffError)) {
							suspended.Add(1)
						} else {
							other.Add(1)
						}
					}
				}
			})
		}
		require.Eventually(t, func() bool { return ok.Load() > callers }, 10*time.Second, time.Millisecond)

		// As long as one connection lives, callers wait for it.
		require.NoError(t, proxy.Refuse(true))
		require.Eventually(t, func() bool {
			proxy.ResetAll()
			return log.failures() >= after+10 && suspended.Load() > callers
		}, 20*time.Second, time.Millisecond)
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
	events []conn.DialEvent
}

func (l *dialLog) AfterDial(_ context.Context, e conn.DialEvent) {
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
	var failed []conn.DialEvent
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
	slices.SortFunc(failed, func(a, b conn.DialEvent) int { return a.Start.Compare(b.Start) })
	free := after + dialing - 1
	first, last := failed[0].Start, failed[len(failed)-1].Start
	allowed := free + int(last.Sub(first)/(step/2)) + 1
	require.LessOrEqual(t, len(failed), allowed, "dials in %v", last.Sub(first))
	for i := free + 1; i < len(failed); i++ {
		gap := failed[i].Start.Sub(failed[i-1].Start)
		require.GreaterOrEqual(t, gap, step/2, "between probes %d and %d", i-1, i)
	}
}

// The first success after a refused outage comes within 50 ms of one second and
// within 5 % of a longer one, at a bounded rate of dials, with callers that heed
// the error and callers that do not.
func TestRecoveryAfterARefusedOutage(t *testing.T) {
	for _, c := range []struct {
		outage, lag time.Duration
		dials       int
	}{{time.Second, 50 * time.Millisecond, 100}, {20 * time.Second, time.Second, 260}} {
		t.Run(c.outage.String(), func(t *testing.T) {
			inBubbles(t, func(t *testing.T, open opener) {
				s := newMemServer(t, echo)
				p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open})
				release(t, getMany(t, p, 4)...)
				s.l.Refuse(true)
				p.Clear()
				before := s.dialed()
				var back time.Time
				time.AfterFunc(c.outage, func() { back = time.Now(); s.l.Refuse(false) })
				lags := make(chan time.Duration, 8)
				for i := range cap(lags) {
					go func() {
						for {
							c, err := p.Get(context.Background())
							if err == nil {
								lags <- time.Since(back)
								_ = c.Close()
								return
							}
							wait := time.Millisecond
							var after interface{ RetryAfter() time.Duration }
							if i%2 == 0 && errors.As(err, &after) {
								wait = after.RetryAfter()
							}
							time.Sleep(wait)
						}
					}()
				}
				require.LessOrEqual(t, <-lags, c.lag+time.Millisecond)
				for range cap(lags) - 1 { // who waits for another's dial waits for one pause more
					require.LessOrEqual(t, <-lags, 2*c.lag+time.Millisecond)
				}
				require.LessOrEqual(t, s.dialed()-before, c.dials+cap(lags))
			})
		})
	}
}
