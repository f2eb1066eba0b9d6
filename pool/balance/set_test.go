package balance_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/pool/balance"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

// addrs makes picks that are done at once and returns how often each address
// was picked.
func addrs(t *testing.T, b *balance.Balancer[*server], n int, r balance.Request) map[string]int {
	t.Helper()
	got := map[string]int{}
	for range n {
		l, err := b.Pick(t.Context(), r)
		require.NoError(t, err)
		got[l.Value.addr]++
		l.Done(balance.Outcome{})
	}
	return got
}

func TestPickBeforeTheFirstSet(t *testing.T) {
	bubble(t, "waits", func(t *testing.T) {
		m, f := &manual{}, newFleet()
		b := start(t, f.config(m))
		picked := make(chan error, 1)
		go func() {
			l, err := b.Pick(context.Background(), balance.Request{})
			l.Done(balance.Outcome{})
			picked <- err
		}()
		pass(time.Hour)
		require.Empty(t, picked)
		require.Zero(t, b.Stat())
		m.report(names(1)...)
		require.NoError(t, <-picked)
	})
	bubble(t, "until the context ends", func(t *testing.T) {
		b := start(t, newFleet().config(&manual{}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := b.Pick(ctx, balance.Request{})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		var e *balance.Error
		require.ErrorAs(t, err, &e)
		require.True(t, e.Timeout())
		require.True(t, e.SafeToRetry())
		require.Equal(t, "timeout", e.Kind())
	})
	bubble(t, "or the resolver fails", func(t *testing.T) {
		m := &manual{}
		b := start(t, newFleet().config(m))
		synctest.Wait()
		m.fail(errDown)
		_, err := b.Pick(t.Context(), balance.Request{})
		require.ErrorIs(t, err, errDown)
		var e *balance.Error
		require.ErrorAs(t, err, &e)
		require.True(t, e.SafeToRetry())
		require.Equal(t, "resolve", e.Kind())
		require.Equal(t, int64(1), m.refreshed.Load(), "it is asked to look again")
		m.report(names(2)...)
		require.Len(t, addrs(t, b, 100, balance.Request{}), 2)
	})
	bubble(t, "or the balancer is closed", func(t *testing.T) {
		b := start(t, newFleet().config(&manual{}))
		picked := make(chan error, 1)
		go func() { _, err := b.Pick(context.Background(), balance.Request{}); picked <- err }()
		synctest.Wait()
		require.NoError(t, b.Close())
		err := <-picked
		require.ErrorIs(t, err, net.ErrClosed)
		var e *balance.Error
		require.ErrorAs(t, err, &e)
		require.False(t, e.SafeToRetry())
		require.Equal(t, "closed", e.Kind())
	})
}

func TestEmptySet(t *testing.T) {
	bubble(t, "keeps the last set", func(t *testing.T) {
		m, f := &manual{set: names(2)}, newFleet()
		b := start(t, f.config(m))
		require.Len(t, addrs(t, b, 100, balance.Request{}), 2)
		m.report()
		require.Len(t, addrs(t, b, 100, balance.Request{}), 2)
		require.ErrorContains(t, b.Stat().ResolveError, "empty set")
		m.report(names(1)...)
		require.NoError(t, b.Stat().ResolveError)
		require.Equal(t, 1, b.Stat().Endpoints)
	})
	bubble(t, "at first, and where it is allowed", func(t *testing.T) {
		m, f := &manual{set: []resolve.Endpoint{}}, newFleet()
		config := f.config(m)
		config.AllowEmpty = true
		b := start(t, config)
		_, err := b.Pick(t.Context(), balance.Request{})
		require.ErrorIs(t, err, balance.ErrNoEndpoints)
		m.report(names(1)...)
		require.Len(t, addrs(t, b, 1, balance.Request{}), 1)
		m.report()
		_, err = b.Pick(t.Context(), balance.Request{})
		require.ErrorIs(t, err, balance.ErrNoEndpoints)
		require.True(t, f.at("s00:1").closed.Load())
	})
}

func TestDuplicatesAreOne(t *testing.T) {
	bubble(t, "set", func(t *testing.T) {
		set := append(names(2), names(2)...)
		b := start(t, newFleet().config(resolve.Static(set)))
		got := addrs(t, b, 100, balance.Request{})
		require.Len(t, got, 2)
		require.Equal(t, 2, b.Stat().Endpoints)
	})
}

// quitter is a resolver that gives up.
type quitter struct {
	watches int
	err     error
}

func (q *quitter) Watch(_ context.Context, update func([]resolve.Endpoint, error)) error {
	if q.watches++; q.watches == 5 {
		update(names(1), nil)
	}
	return q.err
}

func TestResolverGivesUp(t *testing.T) {
	for _, err := range []error{errDown, nil} {
		bubble(t, "it is asked again, ever less often", func(t *testing.T) {
			q := &quitter{err: err}
			b := start(t, newFleet().config(q))
			pass(14 * time.Second) // after 1, 2, 4 and 8 s
			_, pickErr := b.Pick(t.Context(), balance.Request{})
			require.Error(t, pickErr)
			if err != nil {
				require.ErrorIs(t, pickErr, err)
			}
			pass(time.Second)
			require.Len(t, addrs(t, b, 1, balance.Request{}), 1)
			if err != nil {
				require.ErrorIs(t, b.Stat().ResolveError, err)
			}
		})
	}
}

func TestRemovalDrains(t *testing.T) {
	bubble(t, "calls in flight end first", func(t *testing.T) {
		m, f := &manual{set: names(2)}, newFleet()
		config := f.config(m)
		config.Policy = balance.RoundRobin
		b := start(t, config)
		a, _ := b.Pick(t.Context(), balance.Request{})
		c, _ := b.Pick(t.Context(), balance.Request{})
		if a.Value.addr != "s00:1" {
			a, c = c, a
		}
		m.report(names(2)[1:]...)
		require.Equal(t, map[string]int{"s01:1": 10}, addrs(t, b, 10, balance.Request{}))
		pass(29 * time.Second)
		require.Equal(t, balance.Removed, a.Node.State())
		require.False(t, a.Value.closed.Load())
		require.Equal(t, 1, b.Stat().Draining)
		server := a.Value
		a.Done(balance.Outcome{})
		a.Done(balance.Outcome{})
		synctest.Wait()
		require.True(t, server.closed.Load())
		require.Zero(t, b.Stat().Draining)
		c.Done(balance.Outcome{})
	})
	bubble(t, "for a bounded time", func(t *testing.T) {
		m, f := &manual{set: names(1)}, newFleet()
		b := start(t, f.config(m))
		l, err := b.Pick(t.Context(), balance.Request{})
		require.NoError(t, err)
		m.report(names(2)[1:]...)
		pass(30 * time.Second)
		require.True(t, l.Value.closed.Load())
		l.Done(balance.Outcome{})
	})
	bubble(t, "one that comes back meanwhile is a new one", func(t *testing.T) {
		m, f := &manual{set: names(1)}, newFleet()
		b := start(t, f.config(m))
		l, _ := b.Pick(t.Context(), balance.Request{})
		m.report(names(2)[1:]...)
		m.report(names(1)...)
		again, err := b.Pick(t.Context(), balance.Request{})
		require.NoError(t, err)
		require.NotSame(t, l.Node, again.Node)
		again.Done(balance.Outcome{})
		l.Done(balance.Outcome{})
	})
}

func TestEndpointOfTheSetIsUpdated(t *testing.T) {
	bubble(t, "weight and zone", func(t *testing.T) {
		m, f := &manual{set: names(2)}, newFleet()
		config := f.config(m)
		config.Policy = balance.Weighted
		b := start(t, config)
		require.Equal(t, map[string]int{"s00:1": 50, "s01:1": 50}, addrs(t, b, 100, balance.Request{}))
		set := names(2)
		set[0].Weight, set[0].Zone = 3, "z"
		m.report(set...)
		got := addrs(t, b, 1000, balance.Request{})
		require.InDelta(t, 750, got["s00:1"], 5)
		for s, v := range b.Nodes() {
			require.Equal(t, s.Endpoint.Addr, v.addr)
			require.Equal(t, balance.Ready, s.State)
			require.NotZero(t, s.Succeeded)
			break
		}
	})
}

func TestShutdown(t *testing.T) {
	bubble(t, "waits for calls", func(t *testing.T) {
		f := newFleet()
		b := start(t, f.config(resolve.Static(names(3))))
		l, err := b.Pick(t.Context(), balance.Request{})
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() { done <- b.Shutdown(context.Background()) }()
		pass(29 * time.Second)
		_, err = b.Pick(t.Context(), balance.Request{})
		require.ErrorIs(t, err, balance.ErrClosed)
		require.Empty(t, done)
		server := l.Value
		l.Done(balance.Outcome{})
		require.NoError(t, <-done)
		require.True(t, server.closed.Load())
		require.NoError(t, b.Shutdown(t.Context()))
		require.NoError(t, b.Close())
	})
	bubble(t, "until its context ends", func(t *testing.T) {
		f := newFleet()
		b := start(t, f.config(resolve.Static(names(3))))
		l, _ := b.Pick(t.Context(), balance.Request{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, b.Shutdown(ctx), context.DeadlineExceeded)
		require.True(t, l.Value.closed.Load())
		l.Done(balance.Outcome{})
	})
	bubble(t, "Close does not wait", func(t *testing.T) {
		f := newFleet()
		b := start(t, f.config(resolve.Static(names(3))))
		l, _ := b.Pick(t.Context(), balance.Request{})
		require.NoError(t, b.Close())
		require.True(t, l.Value.closed.Load())
		l.Done(balance.Outcome{Result: balance.Failure})
	})
}

func TestOpen(t *testing.T) {
	bubble(t, "an endpoint that cannot be opened is passed over", func(t *testing.T) {
		f := newFleet()
		config := f.config(resolve.Static(names(3)))
		inner, broken := config.Open, true
		config.Open = func(e resolve.Endpoint) (*server, error) {
			if e.Addr == "s00:1" && broken {
				return nil, errDown
			}
			return inner(e)
		}
		b := start(t, config)
		got := addrs(t, b, 1000, balance.Request{})
		require.Len(t, got, 2)
		synctest.Wait()
		require.Equal(t, 1, b.Stat().Ejected)
		broken = false
		pass(time.Minute)
		run(b, 2, 9*ms, 10*time.Second, 1)
		require.Len(t, addrs(t, b, 1000, balance.Request{}), 3)
	})
	bubble(t, "none can", func(t *testing.T) {
		config := newFleet().config(resolve.Static(names(3)))
		config.Open = func(resolve.Endpoint) (*server, error) { return nil, errDown }
		b := start(t, config)
		for range 20 {
			_, err := b.Pick(t.Context(), balance.Request{})
			require.ErrorIs(t, err, errDown)
			synctest.Wait()
		}
	})
	bubble(t, "once for many, and before the first call where it is warm", func(t *testing.T) {
		f := newFleet()
		config := f.config(resolve.Static(names(3)))
		config.Warm = true
		b := start(t, config)
		synctest.Wait()
		for s, v := range b.Nodes() {
			require.True(t, s.Opened)
			require.True(t, v.open.Load())
		}
		config = f.config(resolve.Static(names(1)))
		opened := 0
		config.Open = func(e resolve.Endpoint) (*server, error) {
			opened++
			time.Sleep(time.Second)
			return f.at(e.Addr), nil
		}
		b = start(t, config)
		run(b, 10, ms, 2*time.Second, 1)
		require.Equal(t, 1, opened)
	})
}

func TestConfigErrors(t *testing.T) {
	good := newFleet().config(resolve.Static(names(1)))
	for field, change := range map[string]func(*balance.Config[*server]){
		"Resolver ":           func(c *balance.Config[*server]) { c.Resolver = nil },
		"Open ":               func(c *balance.Config[*server]) { c.Open = nil },
		"Health.Rate ":        func(c *balance.Config[*server]) { c.Health.Rate = 1.1 },
		"Health.MaxEjected ":  func(c *balance.Config[*server]) { c.Health.MaxEjected = 2 },
		"Health.MaxEjectFor ": func(c *balance.Config[*server]) { c.Health.EjectFor, c.Health.MaxEjectFor = 2, 1 },
	} {
		c := good
		change(&c)
		_, err := balance.New(c)
		var config *balance.ConfigError
		require.ErrorAs(t, err, &config)
		require.ErrorContains(t, err, "balance: "+field)
		require.False(t, config.SafeToRetry())
	}
}

// retryLater is an error that says when to come back.
type kindError struct {
	kind  string
	after time.Duration
}

func (e kindError) Error() string             { return e.kind }
func (e kindError) Kind() string              { return e.kind }
func (e kindError) RetryAfter() time.Duration { return e.after }

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		err  error
		want balance.Outcome
	}{
		{nil, balance.Outcome{}},
		{errDown, balance.Outcome{Result: balance.Failure}},
		{context.Canceled, balance.Outcome{Result: balance.Ignored}},
		{context.DeadlineExceeded, balance.Outcome{Result: balance.Failure}},
		{errors.Join(errDown, kindError{kind: "application"}), balance.Outcome{}},
		{kindError{kind: "overloaded", after: time.Second}, balance.Outcome{Result: balance.Ignored, RetryAfter: time.Second}},
		{errRefusal, balance.Outcome{Result: balance.Overloaded}},
		{fmt.Errorf("call: %w", refusal{kindError{kind: "overloaded", after: time.Second}}), balance.Outcome{Result: balance.Overloaded, RetryAfter: time.Second}},
		{refusal{kindError{kind: "application"}}, balance.Outcome{}},
		{kindError{kind: "refused", after: -1}, balance.Outcome{Result: balance.Failure}},
		{kindError{kind: "canceled"}, balance.Outcome{Result: balance.Ignored}},
		{kindError{kind: "closed"}, balance.Outcome{Result: balance.Ignored}},
	} {
		require.Equal(t, c.want, balance.Classify(c.err), "%v", c.err)
	}
}
