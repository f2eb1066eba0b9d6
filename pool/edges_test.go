package pool_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
)

// Small promises that a small mistake would break without another test to notice.

func TestErrorSaysAllOfIt(t *testing.T) {
	cause, dial := errors.New("cause"), errors.New("refused")
	for _, c := range []struct {
		err  pool.Error
		want string
	}{
		{pool.Error{Op: "get", Err: cause}, "pool: get: cause (0 open, 0 idle, 0 dialing, 0 waiting, unbounded)"},
		{pool.Error{Op: "replace", Addr: "a:1", Err: cause, MaxConns: 9, Open: 4, Idle: 1, Dialing: 2, Waiting: 3},
			"pool: replace a:1: cause (4 open, 1 idle, 2 dialing, 3 waiting, max 9)"},
		{pool.Error{Op: "get", Addr: "a:1", Err: cause, LastDialError: dial},
			"pool: get a:1: cause (0 open, 0 idle, 0 dialing, 0 waiting, unbounded; last dial error: refused)"},
		{pool.Error{Op: "get", Addr: "a:1", Err: dial, LastDialError: dial},
			"pool: get a:1: refused (0 open, 0 idle, 0 dialing, 0 waiting, unbounded)"},
	} {
		require.Equal(t, c.want, c.err.Error())
		require.ErrorIs(t, &c.err, c.err.Err)
	}
	require.True(t, (&pool.Error{Err: context.DeadlineExceeded}).Timeout())
	require.False(t, (&pool.Error{Err: cause}).Timeout())
}

// After an outage the Stat has no trace of a suspension.
func TestSuspendedUntilIsZeroAfterAnOutage(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open,
			DialBackoff: conn.DialBackoff{After: 1, Min: time.Second, Max: time.Second}})
		require.Zero(t, p.Stat().SuspendedUntil)
		s.l.Refuse(true)
		_, err := p.Get(t.Context())
		require.Error(t, err)
		require.NotZero(t, p.Stat().SuspendedUntil)
		s.l.Refuse(false)
		time.Sleep(2 * time.Second)
		require.NoError(t, get(t, p).Close())
		require.False(t, p.Stat().Suspended)
		require.Zero(t, p.Stat().SuspendedUntil)
	})
}

func TestLeakAfterNeedsALeakReport(t *testing.T) {
	require.NoError(t, pool.Config{LeakAfter: time.Second, LeakReport: func(pool.Leak) {}}.Validate())
	require.NoError(t, pool.Config{LeakReport: func(pool.Leak) {}}.Validate())
	require.Error(t, pool.Config{LeakAfter: time.Second}.Validate())
}

// A panic of the user's code in a Replace ends the checkout: its place is free.
func TestReplaceThatPanicsFreesItsPlace(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		calls := 0
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, MaxConns: 1,
			AfterConnect: func(context.Context, *conn.Conn) (any, error) {
				if calls++; calls == 2 {
					panic("user's")
				}
				return nil, nil
			}})
		c := get(t, p)
		func() {
			defer func() { _ = recover() }()
			_ = c.Replace(t.Context())
		}()
		_ = c.Close() // it may say that the checkout has ended
		require.Zero(t, p.Stat().Used)
		require.NoError(t, get(t, p).Close())
	})
}

// panicsAfterGet is a hook.
type panicsAfterGet struct{}

func (panicsAfterGet) AfterGet(context.Context, pool.GetEvent) { panic("the hook's") }

// A hook that panics is its caller's to hear of, whatever it was told of; the
// connection that nobody got is not left checked out.
func TestHookThatPanicsAfterGet(t *testing.T) {
	inBubbles(t, func(t *testing.T, open opener) {
		s := newMemServer(t, echo)
		p := newPool(t, conn.Target{Dial: s.dial}, pool.Config{Backend: open, Hooks: []any{panicsAfterGet{}}})
		for _, refuse := range []bool{false, true} {
			s.l.Refuse(refuse)
			p.Clear()
			require.PanicsWithValue(t, "the hook's", func() { _, _ = p.Get(t.Context()) })
			require.Zero(t, p.Stat().Used)
		}
	})
}

func TestEvictionsInWords(t *testing.T) {
	var e pool.Evictions
	require.Equal(t, "none", e.String())
	e[pool.Dead], e[pool.Expired] = 1, 3
	require.Equal(t, "expired 3, dead 1", fmt.Sprint(e))
}
