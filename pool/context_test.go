package pool_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"

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
