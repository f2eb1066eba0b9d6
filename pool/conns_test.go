package pool_test

import (
	"context"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/pool"
)

func TestConns(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, Probe: pool.Probe{Mode: pool.ProbeNever}})
		require.Empty(t, slices.Collect(p.Conns()))
		created := time.Now()
		a, b := get(t, p), get(t, p)
		roundTrip(t, a)
		require.NoError(t, a.Replace(t.Context()))
		roundTrip(t, a)
		roundTrip(t, a)
		time.Sleep(time.Minute)
		require.NoError(t, b.Close())
		idle := time.Now()
		time.Sleep(time.Minute)

		all := slices.Collect(p.Conns())
		require.Len(t, all, 2)
		require.EqualValues(t, []uint64{2, 3}, []uint64{all[0].ID, all[1].ID}, "in order; the first was replaced")
		require.Equal(t, memnet.Addr("mem"), all[0].RemoteAddr)
		require.NotNil(t, all[0].LocalAddr)
		require.False(t, all[0].InUse)
		require.True(t, idle.Equal(all[0].Since))
		require.True(t, created.Equal(all[0].CreatedAt))
		require.True(t, created.Add(600*time.Second).Equal(all[0].ExpiresAt))
		require.EqualValues(t, 1, all[0].Uses)
		require.True(t, all[1].InUse)
		require.True(t, created.Equal(all[1].Since))
		require.EqualValues(t, 1, all[1].Uses)
		require.EqualValues(t, 2, all[1].BytesRead)
		require.EqualValues(t, 2, all[1].BytesWritten)
		require.EqualValues(t, 3, p.Stat().BytesRead, "ended ones included")

		for c := range p.Conns() {
			require.EqualValues(t, 2, c.ID)
			break
		}
		require.NoError(t, a.Close())
	})
}

// spans is a hook that begins and ends.
type spans struct {
	begun  atomic.Int32
	ended  atomic.Int32
	values atomic.Int32
}

type spanKey struct{}

func (s *spans) BeforeGet(ctx context.Context, _ string) context.Context {
	s.begun.Add(1)
	return context.WithValue(ctx, spanKey{}, s)
}

func (s *spans) see(ctx context.Context) {
	if ctx.Value(spanKey{}) == s {
		s.values.Add(1)
	}
}

func (s *spans) AfterGet(ctx context.Context, e pool.GetEvent)         { s.ended.Add(1); s.see(ctx) }
func (s *spans) AfterDial(ctx context.Context, e conn.DialEvent)       { s.see(ctx) }
func (s *spans) AfterRelease(ctx context.Context, _ pool.ReleaseEvent) { s.see(ctx) }
func (s *spans) BeforeDial(ctx context.Context, addr string) context.Context {
	s.begun.Add(1)
	return ctx
}

// Several hooks at once; the context of one that begins is seen by all that
// follow.
func TestHooksThatBegin(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		first, second := &spans{}, &spans{}
		log := &hookLog{}
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, Hooks: []any{first, second, log}})
		c := get(t, p)
		roundTrip(t, c)
		require.NoError(t, c.Close())
		time.Sleep(time.Second)
		require.NoError(t, get(t, p).Close())
		for _, s := range []*spans{first, second} {
			require.EqualValues(t, 3, s.begun.Load(), "two gets and a dial")
			require.EqualValues(t, 2, s.ended.Load())
		}
		require.EqualValues(t, 5, second.values.Load(), "two gets, two releases, a dial")
		require.EqualValues(t, 1, log.gets[1].ID)
		require.Equal(t, time.Second, log.gets[1].IdleFor)
		require.EqualValues(t, 1, log.releases[0].BytesRead)
		require.EqualValues(t, 1, log.releases[0].BytesWritten)
	})
}

// sampler is a hook that wants to hear of every second Get.
type sampler struct{ n, told int }

func (s *sampler) BeforeGet(ctx context.Context, _ string) context.Context {
	if s.n++; s.n%2 == 0 {
		return nil
	}
	return ctx
}

func (s *sampler) AfterGet(context.Context, pool.GetEvent) { s.told++ }

// A hook that returns no context is not told of the end, and the others are.
func TestHookThatIsNotInterested(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		first, all := &sampler{}, &spans{}
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, Hooks: []any{first, all}})
		alone := &sampler{}
		q := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, Hooks: []any{alone}})
		for range 4 {
			require.NoError(t, get(t, p).Close())
			require.NoError(t, get(t, q).Close())
		}
		require.Equal(t, []int{2, 2}, []int{first.told, alone.told})
		require.EqualValues(t, 4, all.ended.Load())

		last := &sampler{n: 1} // it begins with no interest
		p = newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, Hooks: []any{all, last}})
		require.NoError(t, get(t, p).Close())
		require.Zero(t, last.told)
		require.EqualValues(t, 5, all.ended.Load())
	})
}

// KeepAlive probes what is idle, on a timer with jitter, never what is in use,
// and closes what does not reply.
func TestKeepAlive(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		var mute atomic.Bool
		seen := map[string]int{}
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, KeepAlive: 10 * time.Second, MaxLifetime: -1,
			Probe: pool.Probe{Mode: pool.ProbeNever, Timeout: time.Second, Func: func(_ context.Context, c *conn.Conn) error {
				seen[c.LocalAddr().String()]++
				if mute.Load() {
					return readByte(c)
				}
				roundTrip(t, c)
				return nil
			}}})
		idle := getMany(t, p, 3)
		used := get(t, p)
		release(t, idle...)
		time.Sleep(time.Minute + time.Second/2) // between two rounds
		require.Len(t, seen, 3)
		require.NotContains(t, seen, used.LocalAddr().String(), "it is in use")
		for _, n := range seen {
			require.GreaterOrEqual(t, n, 5)
			require.LessOrEqual(t, n, 7)
		}
		require.Equal(t, 3, p.Stat().Idle)
		require.Equal(t, 4, s.dialed())

		mute.Store(true)
		time.Sleep(time.Minute)
		require.Zero(t, p.Stat().Idle)
		require.Equal(t, 1, s.open(), "the one in use was not touched")
		require.EqualValues(t, 3, p.Stat().Evictions[pool.Dead])
		roundTrip(t, used)
		require.NoError(t, used.Close())
	})
}

// KeepAlive does not make an idle connection less idle.
func TestKeepAliveAndMaxIdleTime(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, KeepAlive: time.Second, MaxIdleTime: time.Minute,
			Probe: pool.Probe{Func: func(_ context.Context, c *conn.Conn) error { return nil }}})
		require.NoError(t, get(t, p).Close())
		time.Sleep(50*time.Second + 50*time.Millisecond) // between two rounds, which are each 100 ms
		require.Equal(t, 1, p.Stat().Idle)
		time.Sleep(11 * time.Second)
		require.Zero(t, p.Stat().Idle)
		require.EqualValues(t, 1, p.Stat().Evictions[pool.IdleTooLong])
	})
}

// Close ends a KeepAlive probe that is in progress.
func TestCloseEndsKeepAlive(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, nil)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, KeepAlive: 100 * time.Second,
			Probe: pool.Probe{Timeout: time.Hour, Func: func(_ context.Context, c *conn.Conn) error { return readByte(c) }}})
		require.NoError(t, get(t, p).Close())
		time.Sleep(150 * time.Second)
		start := time.Now()
		require.NoError(t, p.Close())
		require.Zero(t, time.Since(start))
		require.Zero(t, p.Stat().Evictions[pool.Dead])
	})
}

// dialStartPanic is a BeforeDial hook that panics as often as it is told to, or ends
// its goroutine.
type dialStartPanic struct {
	left atomic.Int32
	end  func()
}

func (d *dialStartPanic) BeforeDial(ctx context.Context, _ string) context.Context {
	if d.left.Add(-1) >= 0 {
		d.end()
	}
	return ctx
}

// A BeforeDial that panics gives up its place among MaxDialing: it had kept it, and
// no dial began any more.
func TestBeforeDialThatPanicsKeepsNoPlace(t *testing.T) {
	for name, end := range map[string]func(){"panic": func() { panic("on purpose") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, open opener) {
				s := newMemServer(t, echo)
				hook := &dialStartPanic{end: end}
				hook.left.Store(1)
				p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxDialing: 1, Hooks: []any{hook}})
				done := make(chan struct{})
				go func() { // a backend may let the panic through to the caller
					defer close(done)
					defer func() { _ = recover() }()
					_, _ = p.Get(t.Context())
				}()
				<-done
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				c, err := p.Get(ctx)
				require.NoError(t, err)
				require.NoError(t, c.Close())
			})
		})
	}
}

// getLog is a hook of Gets only.
type getLog struct{ idle []time.Duration }

func (l *getLog) AfterGet(_ context.Context, e pool.GetEvent) { l.idle = append(l.idle, e.IdleFor) }

// Where nothing else depends on when a connection was released, IdleFor still
// does: it must not include the checkout before.
func TestIdleForIsExact(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		log := &getLog{}
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, Hooks: []any{log},
			MaxLifetime: -1, MaxIdleTime: -1, KeepAlive: -1, Probe: pool.Probe{Mode: pool.ProbeNever}})
		for range 100 {
			c := get(t, p)
			time.Sleep(time.Minute)
			require.NoError(t, c.Close())
			time.Sleep(time.Second)
		}
		for _, idle := range log.idle[1:] {
			require.Equal(t, time.Second, idle)
		}
	})
}
