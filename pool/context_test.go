package pool_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
)

// hostileContext panics from its second Err on.
type hostileContext struct {
	context.Context
	calls atomic.Int32
}

func (c *hostileContext) Err() error {
	if c.calls.Add(1) > 1 {
		panic("Err")
	}
	return c.Context.Err()
}

// harmless calls f, which may panic.
func harmless(f func()) {
	defer func() { _ = recover() }()
	f()
}

// A context that is nil, or whose methods panic, harms its caller alone.
func TestHostileContext(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxConns: 1})
		for range 3 {
			var none context.Context
			harmless(func() { _, _ = p.Get(none) })
			harmless(func() { _ = p.Do(none, func(*pool.Conn) error { return nil }) })
			c := get(t, p)
			harmless(func() { _ = c.Replace(none) })
			require.NoError(t, c.Close())
		}
		c := get(t, p)
		ctx, cancel := context.WithCancel(t.Context())
		for range 3 {
			go harmless(func() { _, _ = p.Get(&hostileContext{Context: ctx}) })
		}
		synctest.Wait()
		require.Equal(t, 3, p.Stat().Waiting)
		cancel()
		synctest.Wait()
		go harmless(func() { // served, and then its own context panics
			c, err := p.Get(&hostileContext{Context: context.Background()})
			if err == nil {
				_ = c.Close()
			}
		})
		synctest.Wait()
		require.NoError(t, c.Close())
		synctest.Wait()
		require.NoError(t, get(t, p).Close())
		require.Zero(t, p.Stat().Waiting)
		require.Zero(t, p.Stat().Used)
	})
}

// watchedContext never ends, and counts the functions that wait for its end.
type watchedContext struct {
	context.Context
	done    chan struct{}
	waiting atomic.Int32
}

func (c *watchedContext) Done() <-chan struct{} { return c.done }
func (c *watchedContext) Value(any) any         { return nil }

// AfterFunc is what package context looks for.
func (c *watchedContext) AfterFunc(func()) (stop func() bool) {
	c.waiting.Add(1)
	var stopped atomic.Bool
	return func() bool {
		if stopped.Swap(true) {
			return false
		}
		c.waiting.Add(-1)
		return true
	}
}

// A context that lives long, as that of a server, keeps nothing of calls that have
// returned.
func TestNothingStaysWithTheContext(t *testing.T) {
	for _, getTimeout := range []time.Duration{0, time.Hour} {
		inBubbles(t, func(t *testing.T, open opener) {
			s := newMemServer(t, echo)
			wrong := false
			p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, GetTimeout: getTimeout,
				AfterConnect: func(context.Context, *conn.Conn) (any, error) {
					if wrong {
						panic("AfterConnect")
					}
					return nil, nil
				},
				Probe: pool.Probe{Timeout: time.Hour, Func: func(context.Context, *conn.Conn) error {
					if wrong {
						panic("probe")
					}
					return nil
				}}})
			ctx := &watchedContext{Context: context.Background(), done: make(chan struct{})}
			for range 3 {
				c, err := p.Get(ctx)
				require.NoError(t, err)
				require.Zero(t, ctx.waiting.Load())
				require.NoError(t, c.Replace(ctx))
				require.Zero(t, ctx.waiting.Load())
				require.NoError(t, c.Close())
				require.NoError(t, p.Do(ctx, func(c *pool.Conn) error {
					require.NoError(t, c.Replace(ctx))
					return c.Replace(ctx)
				}))
				synctest.Wait()
				require.Zero(t, ctx.waiting.Load())
				time.Sleep(time.Second) // idle, so that it is probed
				wrong = true
				require.PanicsWithValue(t, "probe", func() { _, _ = p.Get(ctx) })
				wrong = false
				c, err = p.Get(ctx)
				require.NoError(t, err)
				wrong = true
				require.PanicsWithValue(t, "AfterConnect", func() { _ = c.Replace(ctx) })
				wrong = false
				synctest.Wait()
				require.Zero(t, ctx.waiting.Load())
			}
		})
	}
}
