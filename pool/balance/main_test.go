package balance_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-99d6a01a/gtcp/pool/balance"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ms = time.Millisecond

var errDown = errors.New("server is down")

// manual is a resolver whose reports the test makes. What is in set is reported
// at the start.
type manual struct {
	set       []resolve.Endpoint
	once      sync.Once
	reports   chan func(update func([]resolve.Endpoint, error))
	refreshed atomic.Int64
}

func (m *manual) Refresh() { m.refreshed.Add(1) }

func (m *manual) channel() chan func(func([]resolve.Endpoint, error)) {
	m.once.Do(func() { m.reports = make(chan func(func([]resolve.Endpoint, error))) })
	return m.reports
}

func (m *manual) Watch(ctx context.Context, update func([]resolve.Endpoint, error)) error {
	if m.set != nil {
		update(m.set, nil)
	}
	for {
		select {
		case report := <-m.channel():
			report(update)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// report reports a set, and waits until the balancer uses it.
func (m *manual) report(set ...resolve.Endpoint) {
	m.channel() <- func(update func([]resolve.Endpoint, error)) { update(set, nil) }
	synctest.Wait()
}

func (m *manual) fail(err error) {
	m.channel() <- func(update func([]resolve.Endpoint, error)) { update(nil, err) }
	synctest.Wait()
}

// names returns n endpoints s00:1, s01:1 and so on.
func names(n int) []resolve.Endpoint {
	set := make([]resolve.Endpoint, n)
	for i := range set {
		set[i].Addr = fmt.Sprintf("s%02d:1", i)
	}
	return set
}

// server is the value of an endpoint: a simulated server.
type server struct {
	addr    string
	latency atomic.Int64
	broken  atomic.Bool // fails at once
	calls   atomic.Int64
	failed  atomic.Int64
	open    atomic.Bool
	closed  atomic.Bool
}

// fleet is all servers there are; an endpoint's address finds its server.
type fleet struct {
	mu      sync.Mutex // guards servers and changes
	servers map[string]*server
	changes []string
}

func newFleet() *fleet { return &fleet{servers: map[string]*server{}} }

func (f *fleet) at(addr string) *server {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.servers[addr]
	if s == nil {
		s = &server{addr: addr}
		s.latency.Store(int64(ms))
		f.servers[addr] = s
	}
	return s
}

func (f *fleet) changed(c balance.Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes = append(f.changes, fmt.Sprintf("%s %v to %v: %s", c.Node.Endpoint().Addr, c.From, c.To, c.Reason))
}

// seen returns the changes since it was last called, without the first set.
func (f *fleet) seen() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := slices.DeleteFunc(f.changes, func(s string) bool { return s[len(s)-5:] == "added" })
	f.changes = nil
	return all
}

// config is a balancer's configuration over the fleet.
func (f *fleet) config(r resolve.Resolver) balance.Config[*server] {
	return balance.Config[*server]{
		Resolver: r,
		Open: func(e resolve.Endpoint) (*server, error) {
			s := f.at(e.Addr)
			s.open.Store(true)
			return s, nil
		},
		Close: func(_ context.Context, s *server) error {
			s.closed.Store(true)
			return nil
		},
		OnChange: f.changed,
	}
}

// start makes a balancer that is closed when the test ends.
func start(t *testing.T, c balance.Config[*server]) *balance.Balancer[*server] {
	t.Helper()
	b, err := balance.New(c)
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// do makes one call: it picks, takes the server's time, and tells the outcome.
func do(b *balance.Balancer[*server], r balance.Request) (*server, *balance.Node, error) {
	l, err := b.Pick(context.Background(), r)
	if err != nil {
		return nil, nil, err
	}
	s := l.Value
	s.calls.Add(1)
	if s.broken.Load() {
		s.failed.Add(1)
		err = errDown
	} else {
		time.Sleep(time.Duration(s.latency.Load()))
	}
	l.Done(balance.Classify(err))
	return s, l.Node, err
}

// load is the sum of what callers have seen.
type load struct {
	mu        sync.Mutex // guards all below
	latencies []time.Duration
	failed    int
	calls     int
	perServer map[string]int
}

// run makes calls from so many goroutines for a time, each every pause, with up
// to so many attempts a call.
func run(b *balance.Balancer[*server], callers int, pause, d time.Duration, attempts int) *load {
	l := &load{perServer: map[string]int{}}
	end := time.Now().Add(d)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			time.Sleep(pause * time.Duration(i) / time.Duration(callers))
			for time.Now().Before(end) {
				l.call(b, attempts)
				time.Sleep(pause)
			}
		})
	}
	wg.Wait()
	return l
}

func (l *load) call(b *balance.Balancer[*server], attempts int) {
	begun := time.Now()
	r := balance.Request{Idempotent: true}
	var err error
	var s *server
	for range attempts {
		var n *balance.Node
		if s, n, err = do(b, r); err == nil {
			break
		}
		r.Tried.Add(n)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	l.latencies = append(l.latencies, time.Since(begun))
	if err != nil {
		l.failed++
	} else {
		l.perServer[s.addr]++
	}
}

func (l *load) quantile(q float64) time.Duration {
	slices.Sort(l.latencies)
	return l.latencies[int(q*float64(len(l.latencies)-1))]
}

func (l *load) share(addr string) float64 { return float64(l.perServer[addr]) / float64(l.calls) }

func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// pass lets time pass and the bubble come to rest.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
