// Command retry compares the happy path of retry.Do, an operation that succeeds
// at once, with that of the retry libraries in use, in one interleaved run:
// every round times each of them once, in random order, so that what else the
// machine does falls on all alike. It prints allocations, the median time and
// the ratios to retry.Do in the same round.
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

func main() {
	rounds := flag.Int("rounds", 61, "rounds; each times every library once")
	calls := flag.Int("calls", 100_000, "calls a library makes in one round")
	flag.Parse()

	for _, kind := range contexts() {
		fmt.Printf("context: %s\n", kind.name)
		report(measure(libraries(kind.ctx), *rounds, *calls))
		kind.end()
	}
}

// result is a library's time a call in each round, in nanoseconds.
type result struct {
	name   string
	allocs float64
	ns     []float64
}

func measure(libs []library, rounds, calls int) []result {
	results := make([]result, len(libs))
	for i, l := range libs {
		results[i] = result{name: l.name, allocs: testing.AllocsPerRun(1000, l.call), ns: make([]float64, rounds)}
	}
	for round := range rounds {
		for _, i := range rand.Perm(len(libs)) {
			n := calls
			if l := libs[i]; l.slow {
				n /= 10
			}
			before := executed
			start := time.Now()
			libs[i].loop(n)
			results[i].ns[round] = float64(time.Since(start).Nanoseconds()) / float64(n)
			if executed-before != n {
				fmt.Fprintf(os.Stderr, "%s ran %d of %d operations\n", libs[i].name, executed-before, n)
				os.Exit(1)
			}
		}
	}
	return results
}

// report prints each library beside the first, whose ratios the others' are.
func report(results []result) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "library\tallocs\tns (median)\ttimes retry.Do: min\tmedian\tmax")
	base := results[0].ns
	for _, r := range results {
		ratios := make([]float64, len(base))
		for i := range base {
			ratios[i] = r.ns[i] / base[i]
		}
		fmt.Fprintf(w, "%s\t%.0f\t%.1f\t%.2f\t%.2f\t%.2f\n", r.name, r.allocs, median(r.ns),
			slices.Min(ratios), median(ratios), slices.Max(ratios))
	}
	_ = w.Flush()
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
