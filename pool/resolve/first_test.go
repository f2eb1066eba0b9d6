package resolve_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

func TestStatic(t *testing.T) {
	bubble(t, "once", func(t *testing.T) {
		w := watch(t, resolve.Addrs("b:1", "a:1", "b:1"))
		require.Equal(t, []string{"a:1", "b:1"}, w.last())
		requireEnds(t, w, nil)
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := resolve.Addrs("a:1").Watch(ctx, func([]resolve.Endpoint, error) { t.Error("update after the end") })
	require.ErrorIs(t, err, context.Canceled)
}

func TestFilter(t *testing.T) {
	bubble(t, "keeps a part", func(t *testing.T) {
		m := newManual()
		r := resolve.Filter(m, func(e resolve.Endpoint) bool { return e.Addr != "b:1" })
		w := watch(t, r)
		m.set("a:1", "b:1", "c:1")
		require.Equal(t, []string{"a:1", "c:1"}, w.last())
		m.set("b:1")
		require.Empty(t, w.last())
		require.Len(t, w.sets(), 2)
		failure := errors.New("down")
		m.fail(failure)
		require.Equal(t, []error{failure}, w.errs())
		r.(resolve.Refresher).Refresh()
		require.Equal(t, 1, m.refreshed)
		resolve.Filter(resolve.Addrs("a:1"), nil).(resolve.Refresher).Refresh()
		m.giveUp()
		requireEnds(t, w, errGone)
	})
}

func TestFirst(t *testing.T) {
	failure := errors.New("registry down")
	bubble(t, "waits for what comes first", func(t *testing.T) {
		a, b := newManual(), newManual()
		w := watch(t, resolve.First(a, b))
		b.set("b:1")
		require.Empty(t, w.sets(), "the first may have a set yet")
		a.set("a:1")
		require.Equal(t, []string{"a:1"}, w.last())
		b.set("b:2")
		require.Len(t, w.sets(), 1)
		a.fail(failure)
		require.Equal(t, []string{"a:1"}, w.last(), "an error keeps the last set")
		require.Equal(t, []error{failure}, unjoin(w.errs()))
		a.set("a:1")
		require.Len(t, w.sets(), 2, "the error is over")
		a.set()
		require.Equal(t, []string{"b:2"}, w.last(), "an empty set falls back")
		a.set("a:2")
		require.Equal(t, []string{"a:2"}, w.last(), "and back")
	})
	bubble(t, "falls back on an error at start", func(t *testing.T) {
		a := newManual()
		w := watch(t, resolve.First(a, resolve.Addrs("b:1")))
		a.fail(failure)
		require.Equal(t, []string{"b:1"}, w.last())
		require.Empty(t, w.errs(), "the fallback works")
		a.fail(failure)
		require.Len(t, w.sets(), 1)
		a.set("a:1")
		require.Equal(t, []string{"a:1"}, w.last())
	})
	bubble(t, "all fail, all empty", func(t *testing.T) {
		a, b := newManual(), newManual()
		r := resolve.First(a, b)
		w := watch(t, r)
		a.fail(failure)
		require.Empty(t, w.errs())
		b.fail(errGone)
		require.Len(t, w.errs(), 1)
		require.ErrorIs(t, w.errs()[0], failure)
		require.ErrorIs(t, w.errs()[0], errGone)
		a.set()
		b.set()
		require.NotEmpty(t, w.sets())
		require.Empty(t, w.last())
		r.(resolve.Refresher).Refresh()
		require.Equal(t, 1, a.refreshed+b.refreshed-1)
	})
}

func TestFirstEnds(t *testing.T) {
	bubble(t, "ends when all have ended", func(t *testing.T) {
		requireEnds(t, watch(t, resolve.First(resolve.Addrs("a:1"), resolve.Addrs("b:1"))), nil)
		a := newManual()
		w := watch(t, resolve.First(a, resolve.Addrs("b:1")))
		a.giveUp()
		require.Equal(t, []string{"b:1"}, w.last())
		requireEnds(t, w, errGone)
	})
	bubble(t, "waits for its resolvers to end", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		require.ErrorIs(t, resolve.First(slowToEnd{}).Watch(ctx, nil), context.DeadlineExceeded)
		require.Equal(t, 2*time.Second, time.Since(begun))
	})
	bubble(t, "of nothing", func(t *testing.T) {
		var config *resolve.ConfigError
		require.ErrorAs(t, resolve.First().Watch(t.Context(), nil), &config)
	})
	bubble(t, "of a hanging registry behind DNS timeouts", func(t *testing.T) {
		z := &zone{hang: true}
		w := watch(t, resolve.First(&resolve.DNS{Name: "svc:80", Lookup: z.lookup}, resolve.Addrs("b:1")))
		pass(5 * time.Second)
		require.Equal(t, []string{"b:1"}, w.last())
	})
}

// unjoin takes apart what errors.Join made.
func unjoin(errs []error) (all []error) {
	for _, err := range errs {
		joined, ok := err.(interface{ Unwrap() []error })
		if !ok {
			all = append(all, err)
			continue
		}
		all = append(all, joined.Unwrap()...)
	}
	return all
}

// slowToEnd is a resolver that takes a second to end.
type slowToEnd struct{}

func (slowToEnd) Watch(ctx context.Context, _ func([]resolve.Endpoint, error)) error {
	<-ctx.Done()
	time.Sleep(time.Second)
	return ctx.Err()
}

// A resolver that panics has failed, and the others are used.
func TestFirstOfOneThatPanics(t *testing.T) {
	bubble(t, "panics", func(t *testing.T) {
		w := watch(t, resolve.First(panicking{}, resolve.Addrs("b:1")))
		require.Equal(t, []string{"b:1"}, w.last())
	})
}

type panicking struct{}

func (panicking) Watch(context.Context, func([]resolve.Endpoint, error)) error { panic("oops") }
