package gsvcresolve_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gogf/gf/v2/net/gsvc"
	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/pool/resolve"
	"github.com/seed-99d6a01a/gtcp/pool/resolve/gsvcresolve"
)

var errDown = errors.New("registry is down")

// registry is one whose contents the test changes.
type registry struct {
	mu        sync.Mutex // guards all below
	addrs     []string
	meta      gsvc.Metadata
	searchErr error
	watchErr  error
	searches  int
	watches   int
	watchers  []*watcher
}

func (r *registry) Search(_ context.Context, in gsvc.SearchInput) (all []gsvc.Service, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.searches++
	for _, addr := range r.addrs {
		all = append(all, &gsvc.LocalService{Name: in.Name, Endpoints: gsvc.NewEndpoints(addr), Metadata: r.meta})
	}
	return append(all, nil), r.searchErr
}

func (r *registry) Watch(_ context.Context, key string) (gsvc.Watcher, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if key != "/service/default/default/orders/latest" {
		return nil, fmt.Errorf("key is %s", key)
	}
	r.watches++
	if r.watchErr != nil {
		return nil, r.watchErr
	}
	w := &watcher{changes: make(chan error, 10), closed: make(chan struct{})}
	r.watchers = append(r.watchers, w)
	return w, nil
}

// becomes changes the contents, and tells the watchers.
func (r *registry) becomes(searchErr error, addrs ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addrs, r.searchErr = addrs, searchErr
	for _, w := range r.watchers {
		w.changes <- nil
	}
	r.watchers = slices.DeleteFunc(r.watchers, func(w *watcher) bool { return w.hot })
}

type watcher struct {
	changes chan error
	closed  chan struct{}
	once    sync.Once
	hot     bool
}

func (w *watcher) Proceed() ([]gsvc.Service, error) {
	select {
	case err := <-w.changes:
		return nil, err
	case <-w.closed:
		return nil, errors.New("closed")
	}
}

func (w *watcher) Close() error {
	w.once.Do(func() { close(w.closed) })
	return nil
}

// watched records what a resolver reports.
type watched struct {
	mu   sync.Mutex // guards both
	sets [][]resolve.Endpoint
	errs []error
}

func watch(t *testing.T, r resolve.Resolver) *watched {
	w := &watched{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- r.Watch(ctx, func(set []resolve.Endpoint, err error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if err != nil {
				w.errs = append(w.errs, err)
			} else {
				w.sets = append(w.sets, set)
			}
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

func (w *watched) last() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	addrs := []string{}
	if len(w.sets) > 0 {
		for _, e := range w.sets[len(w.sets)-1] {
			addrs = append(addrs, e.Addr)
		}
	}
	return addrs
}

func (w *watched) counts() (sets, errs int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.sets), len(w.errs)
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func orders(r gsvc.Discovery) *gsvcresolve.Resolver {
	return &gsvcresolve.Resolver{Discovery: r, Search: gsvc.SearchInput{Name: "orders"}}
}

func TestResolver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &registry{addrs: []string{"10.0.0.2:80", "10.0.0.1:80,10.0.0.1:81"}, meta: gsvc.Metadata{"weight": 3, "zone": "z", "priority": "2"}}
		w := watch(t, orders(r))
		pass(time.Millisecond)
		require.Equal(t, []string{"10.0.0.1:80", "10.0.0.1:81", "10.0.0.2:80"}, w.last())
		require.Equal(t, resolve.Endpoint{Network: "tcp", Addr: "10.0.0.1:80", Weight: 3, Zone: "z", Priority: 2,
			Meta: map[string]string{"weight": "3", "zone": "z", "priority": "2"}}, w.sets[0][0])
		r.becomes(nil, "10.0.0.3:80")
		pass(200 * time.Millisecond)
		require.Equal(t, []string{"10.0.0.3:80"}, w.last())
		r.becomes(nil)
		pass(200 * time.Millisecond)
		require.Empty(t, w.last())
		sets, errs := w.counts()
		require.Equal(t, 3, sets)
		require.Zero(t, errs)
		pass(time.Hour)
		require.InDelta(t, 123, r.searches, 5, "every 30 s")
		sets, _ = w.counts()
		require.Equal(t, 3, sets, "the same set is not reported again")
	})
}

func TestResolverErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &registry{searchErr: errDown, watchErr: errDown}
		w := watch(t, orders(r))
		pass(time.Minute)
		_, errs := w.counts()
		require.InDelta(t, 14, errs, 3, "less and less often, every 5 s at last")
		var failure *gsvcresolve.Error
		require.ErrorAs(t, w.errs[0], &failure)
		require.ErrorIs(t, failure, errDown)
		r.mu.Lock()
		r.watchErr, r.searchErr, r.addrs = nil, nil, []string{"a:1"}
		r.mu.Unlock()
		pass(6 * time.Second)
		require.Equal(t, []string{"a:1"}, w.last())
		r.mu.Lock()
		r.watchers[0].changes <- errDown // the watch is lost
		r.watchers = nil
		r.addrs = []string{"b:1"}
		r.mu.Unlock()
		pass(time.Second)
		require.Equal(t, []string{"b:1"}, w.last())
		r.becomes(nil, "c:1")
		pass(time.Second)
		require.Equal(t, []string{"c:1"}, w.last(), "it watches again")
	})
}

// The watcher of GoFrame's etcd registry returns at once for ever when its
// channel has been closed.
func TestResolverHotWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &registry{addrs: []string{"a:1"}}
		w := watch(t, orders(r))
		pass(time.Second)
		close(r.watchers[0].changes)
		pass(10 * time.Second)
		require.Less(t, r.searches, 120)
		require.Equal(t, []string{"a:1"}, w.last())
	})
}

func TestResolverRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &registry{addrs: []string{"a:1"}, watchErr: errDown}
		g := orders(r)
		g.Interval = -1
		w := watch(t, g)
		pass(time.Second)
		r.becomes(nil, "b:1")
		g.Refresh()
		pass(time.Second)
		require.Equal(t, []string{"b:1"}, w.last())
	})
}

func TestConfigErrors(t *testing.T) {
	for _, r := range []*gsvcresolve.Resolver{
		{Discovery: &registry{}},
		{Discovery: &registry{}, Search: gsvc.SearchInput{Name: "a"}, Timeout: -1},
		{Search: gsvc.SearchInput{Name: "a"}},
	} {
		var config *resolve.ConfigError
		require.ErrorAs(t, r.Watch(t.Context(), nil), &config)
	}
}
