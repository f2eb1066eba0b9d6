package resolve_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// watched records what a resolver reports.
type watched struct {
	mu       sync.Mutex // guards reported and failed
	reported [][]resolve.Endpoint
	failed   []error
	done     chan error
}

// watch watches r until the test ends.
func watch(t *testing.T, r resolve.Resolver) *watched {
	ctx, cancel := context.WithCancel(t.Context())
	w := &watched{done: make(chan error, 1)}
	go func() {
		w.done <- r.Watch(ctx, func(set []resolve.Endpoint, err error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if err != nil {
				w.failed = append(w.failed, err)
				return
			}
			w.reported = append(w.reported, set)
		})
	}()
	t.Cleanup(func() { cancel(); synctest.Wait() })
	synctest.Wait()
	return w
}

func (w *watched) sets() [][]resolve.Endpoint {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.reported)
}

func (w *watched) errs() []error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.failed)
}

// last returns the addresses of the last set.
func (w *watched) last() []string {
	sets := w.sets()
	if len(sets) == 0 {
		return nil
	}
	addrs := []string{}
	for _, e := range sets[len(sets)-1] {
		addrs = append(addrs, e.String())
	}
	return addrs
}

// manual is a resolver whose reports the test sends.
type manual struct {
	reports   chan func(update func([]resolve.Endpoint, error))
	refreshed int
}

func newManual() *manual {
	return &manual{reports: make(chan func(func([]resolve.Endpoint, error)))}
}

func (m *manual) Refresh() { m.refreshed++ }

func (m *manual) Watch(ctx context.Context, update func([]resolve.Endpoint, error)) error {
	for {
		select {
		case report := <-m.reports:
			if report == nil {
				return errGone
			}
			report(update)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (m *manual) set(addrs ...string) {
	m.reports <- func(update func([]resolve.Endpoint, error)) { update(resolve.Addrs(addrs...), nil) }
	synctest.Wait()
}

func (m *manual) fail(err error) {
	m.reports <- func(update func([]resolve.Endpoint, error)) { update(nil, err) }
	synctest.Wait()
}

func (m *manual) giveUp() {
	m.reports <- nil
	synctest.Wait()
}

var errGone = errors.New("resolver gave up")

// pass lets time pass and the bubble come to rest.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

func requireEnds(t *testing.T, w *watched, want error) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-w.done:
		require.ErrorIs(t, err, want)
	default:
		require.Fail(t, "Watch still runs")
	}
}
