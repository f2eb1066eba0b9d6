// Command cluster compares clients of a service of five servers of which one is
// bad: 40 ms slow, or failing each call at once. gtcp's Client with its default
// policy and with round robin stands beside grpc-go's round_robin, alone and with
// its outlier detection. All servers are in this process; each turn has new
// clients, so that finding the bad server is part of it.
package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/compare"
	"github.com/seed-99d6a01a/gtcp/pool/balance"
)

const (
	servers = 5
	callers = 16
	pause   = 5 * time.Millisecond // of a caller between two calls
	slow    = 40 * time.Millisecond
)

// client is a way to call the service.
type client struct {
	call  func(ctx context.Context) error
	close func() error
}

func main() {
	compare.Main(compare.Settings{Rounds: 2, Length: 2 * time.Second}, func(p *compare.Program) error {
		p.Ours = []string{"Client"}
		for _, bad := range []struct {
			title string
			how   fault
			goal  compare.Goal
		}{
			{"one is 40 ms slow", isSlow, compare.Goal{Says: "better p99", Column: 0}},
			{"one fails each call at once", fails, compare.Goal{Says: "fewer failures", Column: 1}},
		} {
			s, err := serve(bad.how)
			if err != nil {
				return err
			}
			goal := bad.goal
			goal.Ref, goal.Of, goal.Want = "F.5", "Client", compare.AtMost(0.99)
			goal.To = []string{"grpc-go, round_robin", "grpc-go, outlier detection"}
			err = p.Compare(compare.Comparison{
				Title:    "5 servers, " + bad.title + ", 16 callers, no retries",
				Columns:  []string{"p99 ms", "failed %", "calls/s"},
				Compared: 2,
				Bases:    []string{"grpc-go, round_robin"},
				Candidates: []compare.Candidate{
					paced("grpc-go, round_robin", s.grpc(roundRobin)),
					paced("grpc-go, outlier detection", s.grpc(outlierDetection)),
					paced("Client, round robin", s.gtcp(balance.RoundRobin)),
					paced("Client", s.gtcp(nil)),
				},
				Goals: []compare.Goal{goal},
			})
			s.stop()
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// paced is a candidate whose callers call, pause, and call again.
func paced(name string, open func() (client, error)) compare.Candidate {
	return compare.Candidate{Name: name, Fresh: true, Measure: func(length time.Duration) ([]float64, error) {
		c, err := open()
		if err != nil {
			return nil, err
		}
		latencies := make([][]time.Duration, callers)
		failed := make([]int, callers)
		var wg sync.WaitGroup
		begun := time.Now()
		for i := range callers {
			wg.Go(func() {
				for time.Since(begun) < length {
					ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
					start := time.Now()
					err := c.call(ctx)
					latencies[i] = append(latencies[i], time.Since(start))
					cancel()
					if err != nil {
						failed[i]++
					}
					time.Sleep(pause)
				}
			})
		}
		wg.Wait()
		all, bad := slices.Concat(latencies...), 0
		for _, n := range failed {
			bad += n
		}
		slices.Sort(all)
		calls := float64(len(all))
		p99 := float64(all[int(0.99*(calls-1))]) / float64(time.Millisecond)
		return []float64{p99, 100 * (float64(bad) + 0.01) / calls, calls / length.Seconds()}, c.close()
	}}
}
