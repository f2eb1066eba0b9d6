package pool_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
)

// load is an open loop: calls begin at a rate, whatever becomes of them. Each
// holds a connection for the time of the work; one whose time is over meanwhile
// has cost its connection.
type load struct {
	p        *pool.Pool
	work     time.Duration
	deadline time.Duration

	mu      sync.Mutex
	wg      sync.WaitGroup
	good    []time.Duration
	refused int
	late    int
}

func (l *load) run(every, length time.Duration) {
	for end := time.Now().Add(length); time.Now().Before(end); time.Sleep(every) {
		l.wg.Go(l.call)
	}
	l.wg.Wait()
}

func (l *load) call() {
	ctx, cancel := context.WithTimeout(context.Background(), l.deadline)
	defer cancel()
	begun := time.Now()
	c, err := l.p.Get(ctx)
	if err == nil {
		time.Sleep(min(l.work, l.deadline-time.Since(begun)))
		if err = ctx.Err(); err != nil || time.Since(begun) >= l.deadline {
			err = context.DeadlineExceeded
			c.EvictFor(err)
		} else {
			_ = c.Close()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.good = append(l.good, time.Since(begun))
	case errors.Is(err, pool.ErrOverloaded):
		l.refused++
	default:
		l.late++
	}
}

// At 1.5, 2 and 5 times the capacity goodput stays within 10 % of it, the good
// calls are in time, and no connection is lost to callers with no time left.
func TestOverloadKeepsGoodput(t *testing.T) {
	for _, times := range []float64{1.5, 2, 5} {
		inBubbles(t, func(t *testing.T, open opener) {
			const conns, work, length = 2, 2 * time.Millisecond, 3 * time.Second
			s := newMemServer(t, echo)
			p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxConns: conns, Probe: pool.Probe{Mode: pool.ProbeNever}})
			l := &load{p: p, work: work, deadline: 200 * time.Millisecond}
			every := time.Duration(float64(work) / conns / times)
			l.run(every, length)
			capacity := float64(conns * length / work)
			require.GreaterOrEqual(t, float64(len(l.good)), 0.9*capacity, "refused %d, late %d", l.refused, l.late)
			slices.Sort(l.good)
			require.Less(t, l.good[len(l.good)*99/100], 200*time.Millisecond)
			require.LessOrEqual(t, s.dialed(), conns+3, "dials in 3 s")
		})
	}
}

// Without overload nobody is refused, and the first to come is the first to be
// served, though the queue is never empty.
func TestBusyIsNotOverloaded(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxConns: 2, Probe: pool.Probe{Mode: pool.ProbeNever}})
		var wg sync.WaitGroup
		var mu sync.Mutex
		served := make([]int, 20)
		for i := range served {
			wg.Go(func() {
				for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
					c, err := p.Get(context.Background())
					if err != nil {
						t.Errorf("Get: %v", err)
						return
					}
					time.Sleep(time.Millisecond)
					_ = c.Close()
					mu.Lock()
					served[i]++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		require.InDelta(t, slices.Min(served), slices.Max(served), 2, "each gets its turn")
	})
}

// A waiter without a deadline is served in the end, though newer ones with a
// deadline go first.
func TestOverloadStarvesNobody(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxConns: 1, Probe: pool.Probe{Mode: pool.ProbeNever}})
		l := &load{p: p, work: 2 * time.Millisecond, deadline: 100 * time.Millisecond}
		done := make(chan error)
		time.AfterFunc(2*time.Second, func() {
			c, err := p.Get(context.Background())
			if err == nil {
				err = c.Close()
			}
			done <- err
		})
		ended := make(chan struct{})
		go func() { l.run(time.Millisecond, 4*time.Second); close(ended) }()
		require.NoError(t, <-done)
		select {
		case <-ended:
			require.Fail(t, "served only when the load was over")
		default:
		}
		<-ended
	})
}

// StrictFIFO serves in order and refuses nobody early.
func TestStrictFIFO(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxConns: 1, StrictFIFO: true, Probe: pool.Probe{Mode: pool.ProbeNever}})
		for range 20 { // the pool learns that a call takes a second
			c := get(t, p)
			time.Sleep(time.Second)
			require.NoError(t, c.Close())
		}
		c := get(t, p)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := p.Get(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 500*time.Millisecond, time.Since(start))
		require.NoError(t, c.Close())
	})
}

// A waiter that has no time for a call fails at once, safe to retry and without
// a connection.
func TestOverloadedAtOnce(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxConns: 1, Probe: pool.Probe{Mode: pool.ProbeNever}})
		for range 20 {
			c := get(t, p)
			time.Sleep(time.Second)
			require.NoError(t, c.Close())
		}
		require.Equal(t, time.Second, p.Stat().HoldTime)
		c := get(t, p)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := p.Get(ctx)
		require.Zero(t, time.Since(start))
		require.ErrorIs(t, err, pool.ErrOverloaded)
		var perr *pool.Error
		require.ErrorAs(t, err, &perr)
		require.True(t, perr.SafeToRetry())
		require.True(t, perr.Timeout())
		require.Equal(t, conn.KindOverloaded, conn.KindOf(err))
		require.EqualValues(t, 1, p.Stat().Overloaded)
		require.Zero(t, p.Stat().Waiting)
		require.NoError(t, c.Close())

		c, err = p.Get(ctx)
		require.NoError(t, err, "an idle one is given to whoever asks")
		synctest.Wait()
		require.NoError(t, c.Close())
	})
}

// A caller who has less time than checkouts take is served all the same as long as
// there is room to dial: nobody holds it up.
func TestRoomIsNoOverload(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxConns: 64, Probe: pool.Probe{Mode: pool.ProbeNever}})
		for range 20 { // the pool learns that a call takes a second
			c := get(t, p)
			time.Sleep(time.Second)
			require.NoError(t, c.Close())
		}
		for range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			c, err := p.Get(ctx)
			cancel()
			require.NoError(t, err)
			defer c.Close()
		}
	})
}

// While the queue does not empty, one waiter that runs out of time, or is refused
// since it would, has the newest served first.
func TestNewestFirstAfterAWaiterRanOutOfTime(t *testing.T) {
	for name, c := range map[string]struct {
		learn   bool // that a call takes a second
		patient bool // nobody runs out of time
		err     error
		newest  bool
	}{
		"timed out":  {err: context.DeadlineExceeded, newest: true},
		"overloaded": {learn: true, err: pool.ErrOverloaded, newest: true},
		"neither":    {patient: true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, open opener) {
				s := newMemServer(t, echo)
				p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxConns: 1, Probe: pool.Probe{Mode: pool.ProbeNever}})
				held := get(t, p)
				for range 20 {
					if c.learn {
						time.Sleep(time.Second)
						require.NoError(t, held.Close())
						held = get(t, p)
					}
				}
				served := make(chan string, 2)
				wait := func(name string) {
					c, err := p.Get(context.Background())
					if err == nil {
						served <- name
						_ = c.Close()
					}
				}
				go wait("oldest")
				time.Sleep(200 * time.Millisecond)
				if !c.patient {
					ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
					defer cancel()
					_, err := p.Get(ctx)
					require.ErrorIs(t, err, c.err)
				}
				go wait("newest")
				synctest.Wait()
				require.NoError(t, held.Close())
				first, second := <-served, <-served
				if !c.newest {
					first, second = second, first
				}
				require.Equal(t, []string{"newest", "oldest"}, []string{first, second})
			})
		})
	}
}
