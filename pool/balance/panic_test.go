package balance_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/pool/balance"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

var errOops = errors.New("oops")

// watcher is a resolver of one function.
type watcher func(context.Context, func([]resolve.Endpoint, error)) error

func (w watcher) Watch(ctx context.Context, update func([]resolve.Endpoint, error)) error {
	return w(ctx, update)
}

func (w watcher) Refresh() { panic(errOops) }

// addrOf is an Open whose values are the addresses.
func addrOf(e resolve.Endpoint) (string, error) { return e.Addr, nil }

// A panic in the user's code on a goroutine of the balancer is the error of what
// it was called for, and the balancer goes on.
func TestPanics(t *testing.T) {
	one := resolve.Addrs("a:1")
	for name, config := range map[string]balance.Config[string]{
		"policy": {Resolver: one, Open: addrOf, Policy: func([]*balance.Node) balance.Picker { panic(errOops) }},
		"open":   {Resolver: one, Open: func(resolve.Endpoint) (string, error) { panic(errOops) }, Warm: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, err := balance.New(config)
				require.NoError(t, err)
				for range 2 {
					_, err = b.Pick(t.Context(), balance.Request{})
					require.ErrorIs(t, err, errOops)
				}
				require.NoError(t, b.Shutdown(t.Context()), "nothing is in flight")
			})
		})
	}
}

func TestResolverThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		watches := 0
		b, err := balance.New(balance.Config[string]{
			Resolver: watcher(func(ctx context.Context, update func([]resolve.Endpoint, error)) error {
				if watches++; watches == 1 {
					panic(errOops)
				}
				return resolve.Addrs("a:1").Watch(ctx, update)
			}),
			Open:     addrOf,
			Close:    func(context.Context, string) error { panic(errOops) },
			OnChange: func(balance.Change) { panic(errOops) },
		})
		require.NoError(t, err)
		synctest.Wait()
		_, err = b.Pick(t.Context(), balance.Request{})
		require.ErrorIs(t, err, errOops, "of Watch; and Refresh panics too")
		require.ErrorContains(t, err, "panic in Watch of a resolver")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		c, err := b.Pick(t.Context(), balance.Request{})
		require.NoError(t, err, "it is watched again")
		require.Equal(t, "a:1", c.Value)
		c.Done(balance.Outcome{})
		require.NoError(t, b.Shutdown(t.Context()))
	})
}
