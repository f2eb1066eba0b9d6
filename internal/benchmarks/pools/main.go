// Command pools compares acquire and release of bare pools, that is, without
// the policies of a frontend, in one interleaved run: every round times each
// pool once, in random order, so that what else the machine does falls on all
// alike. It prints allocations an operation, the median time, and the ratio to
// raw puddle in the same round: least, median, greatest.
//
// Some peers keep no maximum and dial when all is taken; dialing costs nothing
// here, which is in their favour. A pool that stands still in a round (a wakeup
// lost) is reported and left out of the rest of its column.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"text/tabwriter"
	"time"
)

// column is a load.
type column struct {
	conns, goroutines int
	yield             bool // hold while others run, so that they queue
}

var columns = []column{{64, 1, false}, {64, 2, false}, {64, 32, false}, {4, 64, false}, {4, 64, true}}

func main() {
	rounds := flag.Int("rounds", 31, "rounds; each times every pool once")
	ops := flag.Int("ops", 200_000, "acquires and releases of a pool in a round")
	flag.Parse()
	ctx, cancel := context.WithCancel(context.Background()) // as real callers' are
	defer cancel()
	fmt.Printf("%s, GOMAXPROCS %d, %d rounds of %d operations\n", runtime.Version(), runtime.GOMAXPROCS(0), *rounds, *ops)
	for _, c := range columns {
		rows := measure(ctx, c, *rounds, *ops)
		fmt.Printf("\n%d connections, %d goroutines", c.conns, c.goroutines)
		if c.yield {
			fmt.Print(", each yields while it holds one")
		}
		fmt.Println()
		report(rows)
	}
}

// row is what a pool did in a column.
type row struct {
	name   string
	pool   pool
	allocs float64
	ns     []float64
	stuck  bool
}

func measure(ctx context.Context, c column, rounds, ops int) []*row {
	var rows []*row
	for _, k := range kinds {
		p, err := k.open(ctx, c.conns)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", k.name, err)
			os.Exit(1)
		}
		rows = append(rows, &row{name: k.name, pool: p})
	}
	for _, r := range rows { // warm up, and count allocations
		r.round(c, ops/10)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r.round(c, ops)
		runtime.ReadMemStats(&after)
		// The goroutines of the round itself, and a few of the runtime's.
		r.allocs = max(0, float64(after.Mallocs-before.Mallocs)-float64(4*c.goroutines+10)) / float64(ops)
	}
	for range rounds {
		for _, i := range rand.Perm(len(rows)) {
			r := rows[i]
			r.ns = append(r.ns, float64(r.round(c, ops).Nanoseconds())/float64(ops))
		}
	}
	return rows
}

// round times ops operations by some goroutines.
func (r *row) round(c column, ops int) time.Duration {
	if r.stuck {
		return 0
	}
	var wg sync.WaitGroup
	start := time.Now()
	for range c.goroutines {
		wg.Go(func() { r.pool.run(ops/c.goroutines, c.yield) })
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
		return time.Since(start)
	case <-time.After(20 * time.Second):
		r.stuck = true
		return 0
	}
}

func report(rows []*row) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "pool\tns/op\tallocs/op\tleast\tmedian\tgreatest\t")
	base := rows[0].ns
	for _, r := range rows {
		if r.stuck {
			fmt.Fprintf(w, "%s\tstands still\t\t\t\t\t\n", r.name)
			continue
		}
		ratios := make([]float64, len(r.ns))
		for i := range r.ns {
			ratios[i] = r.ns[i] / base[i]
		}
		slices.Sort(ratios)
		fmt.Fprintf(w, "%s\t%.1f\t%.2f\t%.2f\t%.2f\t%.2f\t\n", r.name, median(r.ns), r.allocs,
			ratios[0], median(ratios), ratios[len(ratios)-1])
	}
	w.Flush()
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
