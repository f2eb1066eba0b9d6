// Command conn compares package conn with gtcp, bufio and code written by hand
// over loopback sockets: lines by delimiter, the health check, what a context
// costs, and writes of two buffers. All contestants of a table run interleaved,
// in random order within each round, so that what else the machine does falls
// on all alike; ratios are taken round by round.
//
//	go run ./conn
package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"text/tabwriter"
	"time"
)

// contestant is one way to do a thing. prepare, if there is one, runs untimed
// before each run; the first contestant of a table is what the others are
// compared with.
type contestant struct {
	name    string
	prepare func() error
	run     func() error
}

func main() {
	rounds := flag.Int("rounds", 41, "rounds; each times every contestant")
	runs := flag.Int("runs", 200, "runs of a contestant in one round")
	flag.Parse()
	for _, table := range []func() (string, []contestant, error){
		lines, checks, contexts, writes(4 << 10), writes(16 << 10), writes(64 << 10),
	} {
		title, contestants, err := table()
		if err == nil {
			fmt.Println(title)
			err = compare(contestants, *rounds, *runs)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "conn:", err)
			os.Exit(1)
		}
	}
}

func compare(contestants []contestant, rounds, runs int) error {
	allocs := make([]float64, len(contestants))
	ns := make([][]float64, len(contestants))
	for i, c := range contestants {
		var err error
		if allocs[i], err = c.allocs(); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	for range rounds {
		took := make([]time.Duration, len(contestants))
		for range runs {
			for _, i := range rand.Perm(len(contestants)) {
				d, err := contestants[i].time()
				if err != nil {
					return fmt.Errorf("%s: %w", contestants[i].name, err)
				}
				took[i] += d
			}
		}
		for i := range took {
			ns[i] = append(ns[i], float64(took[i].Nanoseconds())/float64(runs))
		}
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tallocs\tns (median)\tof the first: min\tmedian\tmax")
	for i, c := range contestants {
		ratio := make([]float64, rounds)
		for r := range ratio {
			ratio[r] = ns[i][r] / ns[0][r]
		}
		slices.Sort(ratio)
		fmt.Fprintf(w, "%s\t%.0f\t%.0f\t%.2f\t%.2f\t%.2f\n", c.name, allocs[i], median(ns[i]),
			ratio[0], ratio[rounds/2], ratio[rounds-1])
	}
	return w.Flush()
}

// batch is how often a contestant without preparation runs between two looks
// at the clock.
const batch = 16

func (c contestant) time() (time.Duration, error) {
	if c.prepare != nil {
		if err := c.prepare(); err != nil {
			return 0, err
		}
		start := time.Now()
		err := c.run()
		return time.Since(start), err
	}
	start := time.Now()
	for range batch {
		if err := c.run(); err != nil {
			return 0, err
		}
	}
	return time.Since(start) / batch, nil
}

// allocs counts what a run allocates. Preparations are written to allocate
// nothing.
func (c contestant) allocs() (float64, error) {
	var failed error
	n := testing.AllocsPerRun(100, func() {
		if _, err := c.time(); err != nil {
			failed = err
		}
	})
	if c.prepare == nil {
		n /= batch
	}
	return n, failed
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
