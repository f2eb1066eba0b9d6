package balance_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/pool/balance"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

func TestPickAllocatesNothing(t *testing.T) {
	if detectsRaces {
		t.Skip("the race detector allocates")
	}
	levels := names(10)
	for i := range levels {
		levels[i].Priority, levels[i].Weight = i/5, uint32(i)
	}
	for _, c := range policies {
		for name, set := range map[string][]resolve.Endpoint{"one": names(1), "ten": names(10), "levels": levels} {
			bubble(t, c.name+" of "+name, func(t *testing.T) {
				b := over(t, c.policy, set...)
				synctest.Wait()
				ctx := t.Context()
				addrs(t, b, 100, balance.Request{})
				require.Zero(t, testing.AllocsPerRun(200, func() {
					l, err := b.Pick(ctx, balance.Request{Key: "key"})
					if err != nil {
						panic(err)
					}
					r := balance.Request{Key: "key"}
					r.Tried.Add(l.Node)
					l.Done(balance.Outcome{})
					if l, err = b.Pick(ctx, r); err != nil {
						panic(err)
					}
					l.Done(balance.Classify(nil))
				}))
			})
		}
	}
}

// BenchmarkPick measures Pick, and Pick with Done, from all CPUs.
func BenchmarkPick(b *testing.B) {
	for _, c := range policies {
		for _, n := range []int{1, 10, 100, 10_000} {
			b.Run(fmt.Sprint(c.name, "/", n), func(b *testing.B) {
				set := make([]resolve.Endpoint, n)
				for i := range set {
					set[i].Addr = fmt.Sprintf("s%05d:1", i)
				}
				config := balance.Config[*server]{
					Resolver: resolve.Static(set), Policy: c.policy, Warm: true,
					Open: func(e resolve.Endpoint) (*server, error) { return &server{addr: e.Addr}, nil },
				}
				balancer, err := balance.New(config)
				require.NoError(b, err)
				defer balancer.Close()
				ctx := context.Background()
				l, err := balancer.Pick(ctx, balance.Request{})
				require.NoError(b, err)
				l.Done(balance.Outcome{})
				b.ReportAllocs()
				b.ResetTimer()
				defer reportCPU(b)()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						l, err := balancer.Pick(ctx, balance.Request{Key: "key"})
						if err != nil {
							b.Error(err)
							return
						}
						l.Done(balance.Outcome{})
					}
				})
			})
		}
	}
}
