package pool_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
)

// evictLog is an EvictHook that notes every event.
type evictLog struct {
	mu     sync.Mutex
	events []pool.EvictEvent
}

func (l *evictLog) AfterEvict(e pool.EvictEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}

// ages returns how old those evicted for the reason were.
func (l *evictLog) ages(r pool.Reason) (ages []time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if e.Reason == r {
			ages = append(ages, e.Age)
		}
	}
	return ages
}

// hookLog implements all the hooks.
type hookLog struct {
	evictLog
	gets     []pool.GetEvent
	releases []pool.ReleaseEvent
	dials    []conn.DialEvent
	values   []any
}

type ctxKey struct{}

func (l *hookLog) AfterGet(ctx context.Context, e pool.GetEvent) {
	l.gets = append(l.gets, e)
	l.values = append(l.values, ctx.Value(ctxKey{}))
}
func (l *hookLog) AfterRelease(_ context.Context, e pool.ReleaseEvent) {
	l.releases = append(l.releases, e)
}
func (l *hookLog) AfterDial(ctx context.Context, e conn.DialEvent) {
	l.dials = append(l.dials, e)
	l.values = append(l.values, ctx.Value(ctxKey{}))
}

func TestHooks(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		log := &hookLog{}
		p := newPool(t, conn.Target{Dial: s.slowly(time.Second), Address: "name"}, pool.Config{Backend: open, MaxConns: 1, Hooks: []any{log},
			Probe: pool.Probe{Mode: pool.ProbeNever}})
		ctx := context.WithValue(t.Context(), ctxKey{}, "value")
		start := time.Now()
		c, err := p.Get(ctx)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		require.NoError(t, c.Close())
		c, err = p.Get(ctx)
		require.NoError(t, err)
		late, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, lateErr := p.Get(late)
		require.Error(t, lateErr)
		c.Evict()
		synctest.Wait()

		require.Equal(t, []any{"value", "value", "value", "value"}, log.values)
		require.Equal(t, []conn.DialEvent{{Addr: "name", ID: 1, Start: start, Duration: time.Second}}, clean(log.dials))
		require.Len(t, log.gets, 3)
		require.Equal(t, time.Second, log.gets[0].Duration)
		require.False(t, log.gets[0].Reused)
		require.True(t, log.gets[1].Reused)
		require.Equal(t, lateErr, log.gets[2].Err)
		require.Equal(t, []pool.ReleaseEvent{
			{Addr: "name", ID: 1, Used: time.Minute, Kept: true},
			{Addr: "name", ID: 1, Used: time.Second, Reason: pool.Discarded},
		}, log.releases)
		require.Len(t, log.events, 1)
		require.Equal(t, pool.Discarded, log.events[0].Reason)
		require.Equal(t, uint64(2), log.events[0].Uses)
		require.Equal(t, []time.Duration{time.Second, 0, 0}, []time.Duration{log.gets[0].Dialed, log.gets[1].Dialed, log.gets[2].Dialed})
		require.NotNil(t, log.gets[0].Peer)
		require.Equal(t, log.gets[0].Peer, log.gets[1].Peer)
		require.Nil(t, log.gets[2].Peer)
	})
}

// clean strips the monotonic reading, which equality would see.
func clean(events []conn.DialEvent) []conn.DialEvent {
	for i := range events {
		events[i].Start = events[i].Start.Round(0)
		events[i].Peer = nil
	}
	return events
}

// panicHook panics in AfterGet if it is on.
type panicHook struct{ on bool }

func (h *panicHook) AfterGet(context.Context, pool.GetEvent) {
	if h.on {
		panic("hook")
	}
}

// panicRelease panics in AfterRelease.
type panicRelease struct{}

func (panicRelease) AfterRelease(context.Context, pool.ReleaseEvent) { panic("release") }

// TestHookPanic costs no connection's place.
func TestHookPanic(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		h := &panicHook{on: true}
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxConns: 1, Hooks: []any{h}})
		require.PanicsWithValue(t, "hook", func() { _, _ = p.Get(t.Context()) })
		h.on = false
		require.NoError(t, get(t, p).Close())
		closePool(t, p)

		p = newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxConns: 1, Hooks: []any{panicRelease{}}})
		for range 3 {
			require.PanicsWithValue(t, "release", func() { _ = get(t, p).Close() })
			require.PanicsWithValue(t, "release", func() { get(t, p).Evict() })
		}
	})
}

func TestStat(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.slowly(time.Second)}, pool.Config{Backend: open, MaxConns: 2, MaxWaiters: 1})
		require.Equal(t, pool.Stat{MaxConns: 2}, p.Stat())
		a, b := get(t, p), get(t, p)
		require.Equal(t, pool.Stat{MaxConns: 2, Open: 2, Used: 2, Gets: 2, Waits: 2, WaitTime: 2 * time.Second,
			Dials: 2, DialTime: 2 * time.Second}, figures(p))

		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := p.Get(ctx)
			assert.ErrorIs(t, err, context.Canceled)
			var nerr net.Error
			assert.ErrorAs(t, err, &nerr)
			assert.False(t, nerr.Timeout())
		})
		synctest.Wait()
		require.Equal(t, 1, p.Stat().Waiting)
		_, err := p.Get(t.Context())
		require.ErrorIs(t, err, pool.ErrTooManyWaiters)
		var perr *pool.Error
		require.ErrorAs(t, err, &perr)
		require.Equal(t, []int{2, 2, 0, 0, 1}, []int{perr.MaxConns, perr.Open, perr.Idle, perr.Dialing, perr.Waiting})
		require.ErrorContains(t, err, "(2 open, 0 idle, 0 dialing, 1 waiting, max 2)")
		require.True(t, perr.SafeToRetry())
		require.True(t, perr.Timeout())
		require.True(t, perr.Temporary())
		cancel()
		wg.Wait()

		require.NoError(t, a.Close())
		b.Evict()
		synctest.Wait()
		require.Equal(t, pool.Stat{MaxConns: 2, Open: 1, Idle: 1, Gets: 2, Waits: 3, WaitTime: 2 * time.Second,
			Canceled: 1, Refused: 1, Dials: 2, DialTime: 2 * time.Second,
			Evictions: pool.Evictions{pool.Discarded: 1}}, figures(p))
		closePool(t, p)
		require.Equal(t, uint64(2), p.Stat().Gets)
		require.Equal(t, uint64(2), p.Stat().Evictions.Total())
	})
}

// figures is Stat without what it has learned.
func figures(p *pool.Pool) pool.Stat {
	s := p.Stat()
	s.HoldTime = 0
	return s
}

func TestReasonString(t *testing.T) {
	seen := map[string]bool{}
	for r := pool.Reason(0); r <= pool.PoolClosed; r++ {
		require.NotEmpty(t, r.String())
		require.False(t, seen[r.String()])
		seen[r.String()] = true
	}
	require.Equal(t, "unknown", (pool.PoolClosed + 1).String())
}

// leak is a caller to be found in a stack.
func leak(t *testing.T, p *pool.Pool) *pool.Conn { return get(t, p) }

func TestLeakReport(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		var leaks []pool.Leak
		p := newPool(t, conn.Target{Dial: s.dial, Address: "name"}, pool.Config{Backend: open, Probe: pool.Probe{Mode: pool.ProbeNever},
			LeakAfter: time.Second, LeakReport: func(l pool.Leak) { leaks = append(leaks, l) }})
		c := get(t, p)
		time.Sleep(999 * time.Millisecond)
		require.NoError(t, c.Close())
		time.Sleep(time.Minute)
		require.Empty(t, leaks)

		since := time.Now()
		c = leak(t, p)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Len(t, leaks, 1, "once")
		require.Equal(t, "name", leaks[0].Addr)
		require.True(t, since.Equal(leaks[0].Since))
		lines := strings.Split(leaks[0].Stack, "\n")
		require.True(t, strings.HasSuffix(lines[0], "pool_test.get"), lines[0])
		require.True(t, strings.HasSuffix(lines[2], "pool_test.leak"), lines[2])
		require.Contains(t, lines[3], "watch_test.go:")
		require.NoError(t, c.Close())

		// A Shutdown whose context ends has no report after it.
		c = leak(t, p)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.Error(t, p.Shutdown(ctx))
		time.Sleep(time.Minute)
		require.Len(t, leaks, 1)
		require.NoError(t, c.Close())
	})
}
