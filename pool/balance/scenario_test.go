package balance_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/pool/balance"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

var policies = []struct {
	name   string
	policy balance.Policy
}{
	{"peak EWMA", nil},
	{"least in flight", balance.LeastInFlight},
	{"round robin", balance.RoundRobin},
	{"weighted", balance.Weighted},
	{"hash", balance.Hash(0)},
}

// Five servers, one of them 40 ms slow.
func TestSlowServer(t *testing.T) {
	p99 := map[string]time.Duration{}
	for _, c := range policies[:3] {
		bubble(t, c.name, func(t *testing.T) {
			f := newFleet()
			f.at("s00:1").latency.Store(int64(40 * ms))
			config := f.config(resolve.Static(names(5)))
			config.Policy = c.policy
			l := run(start(t, config), 16, 9*ms, 20*time.Second, 1)
			p99[c.name] = l.quantile(0.99)
			t.Logf("%d calls, p50 %v, p99 %v, share of the slow one %.4f", l.calls, l.quantile(0.5), l.quantile(0.99), l.share("s00:1"))
		})
	}
	require.LessOrEqual(t, 4*p99["peak EWMA"], p99["round robin"])
}

// Few calls: the slow one must not be looked at too often.
func TestSlowServerQuietClient(t *testing.T) {
	bubble(t, "10 calls a second", func(t *testing.T) {
		f := newFleet()
		f.at("s00:1").latency.Store(int64(40 * ms))
		l := run(start(t, f.config(resolve.Static(names(5)))), 2, 200*ms, 10*time.Minute, 1)
		t.Logf("%d calls, p99 %v, share %.4f", l.calls, l.quantile(0.99), l.share("s00:1"))
		require.LessOrEqual(t, l.quantile(0.99), 10*ms)
	})
}

// One server fails at once, which leaves it with the fewest calls in flight.
func TestFailingServer(t *testing.T) {
	for _, c := range policies {
		for _, callers := range []int{4, 32} {
			bubble(t, c.name, func(t *testing.T) {
				f := newFleet()
				config := f.config(resolve.Static(names(5)))
				config.Policy = c.policy
				b := start(t, config)
				run(b, callers, 9*ms, time.Second, 1)
				f.at("s00:1").broken.Store(true)
				l := run(b, callers, 9*ms, 20*time.Second, 1)
				t.Logf("%d callers, %d calls, %d failed: %.3f %%", callers, l.calls, l.failed, 100*float64(l.failed)/float64(l.calls))
				require.LessOrEqual(t, float64(l.failed), 0.005*float64(l.calls), "without retries")
				require.NotZero(t, l.failed, "it is tried")
				l = run(b, callers, 9*ms, 10*time.Second, 2)
				require.Zero(t, l.failed, "with retries")
			})
		}
	}
}

// A server that was down for long and is back gets its share within 5 s.
func TestReturnedServer(t *testing.T) {
	for _, c := range policies {
		bubble(t, c.name, func(t *testing.T) {
			f := newFleet()
			config := f.config(resolve.Static(names(5)))
			config.Policy = c.policy
			b := start(t, config)
			f.at("s00:1").broken.Store(true)
			run(b, 8, 9*ms, time.Minute, 2)
			require.Equal(t, 1, b.Stat().Ejected)
			f.at("s00:1").broken.Store(false)
			run(b, 16, 9*ms, 5*time.Second, 2)
			l := run(b, 16, 9*ms, 10*time.Second, 2)
			t.Logf("share %.3f", l.share("s00:1"))
			require.InDelta(t, 0.2, l.share("s00:1"), 0.05)
			require.Zero(t, l.failed)
			require.Zero(t, b.Stat().Ejected)
		})
	}
}

// A server that was slow gets its share again within 5 s.
func TestNoLongerSlowServer(t *testing.T) {
	bubble(t, "peak EWMA", func(t *testing.T) {
		f := newFleet()
		b := start(t, f.config(resolve.Static(names(5))))
		f.at("s00:1").latency.Store(int64(40 * ms))
		run(b, 16, 9*ms, time.Minute, 2)
		f.at("s00:1").latency.Store(int64(ms))
		run(b, 16, 9*ms, 5*time.Second, 2)
		l := run(b, 16, 9*ms, 10*time.Second, 2)
		t.Logf("share %.3f", l.share("s00:1"))
		require.InDelta(t, 0.2, l.share("s00:1"), 0.05)
	})
}

// A server that refuses connections: after three failures its pool says that it
// does not dial for a while, which is 10 ms at first and a twentieth of the outage
// later. That time is short; what has failed is ejected all the same.
func TestRefusingServer(t *testing.T) {
	for _, c := range policies {
		bubble(t, c.name, func(t *testing.T) {
			f := newFleet()
			config := f.config(resolve.Static(names(5)))
			config.Policy = c.policy
			b := start(t, config)
			begun, refused, calls, repeated := time.Now(), 0, 0, 0
			for time.Since(begun) < 20*time.Second {
				r := balance.Request{Idempotent: true}
				for calls++; ; repeated++ {
					l, err := b.Pick(t.Context(), r)
					require.NoError(t, err)
					if l.Value.addr != "s00:1" {
						l.Done(balance.Outcome{})
						break
					}
					o := failed
					if refused++; refused > 3 {
						o.RetryAfter = max(10*ms, time.Since(begun)/20)
					}
					l.Done(o)
					r.Tried.Add(l.Node)
				}
				time.Sleep(ms)
			}
			t.Logf("%d calls, %d repeated", calls, repeated)
			require.LessOrEqual(t, repeated, calls/200)
		})
	}
}

// A server that takes requests and never replies: every call to it ends at its
// deadline.
func TestSilentServer(t *testing.T) {
	bubble(t, "peak EWMA", func(t *testing.T) {
		f := newFleet()
		b := start(t, f.config(resolve.Static(names(5))))
		run(b, 32, 9*ms, time.Second, 1)
		var late atomic.Int64
		calls := func(d time.Duration) (n int64) {
			var callers sync.WaitGroup
			var all atomic.Int64
			end := time.Now().Add(d)
			for range 32 {
				callers.Go(func() {
					for time.Now().Before(end) {
						all.Add(1)
						l, err := b.Pick(context.Background(), balance.Request{})
						if err != nil {
							t.Error(err)
							return
						}
						o := balance.Outcome{}
						if l.Value.addr == "s00:1" {
							late.Add(1)
							time.Sleep(time.Second)
							o = failed
						} else {
							time.Sleep(ms)
						}
						l.Done(o)
						time.Sleep(9 * ms)
					}
				})
			}
			callers.Wait()
			return all.Load()
		}
		n := calls(30 * time.Second)
		t.Logf("%d of %d calls met it", late.Load(), n)
		require.LessOrEqual(t, late.Load(), n/200)
	})
}
