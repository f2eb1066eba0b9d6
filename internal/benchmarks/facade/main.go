// Command facade compares the facade with GoFrame's gtcp, which it stands in
// for, on loopback sockets: a pooled call, packages, lines, and all that is
// available of a long stream. Both run in this one process against the same
// plain servers, in rounds: each round times both, in random order, so that
// what else the machine does falls on both alike. It prints the allocations of
// an operation, the best and the median times, and of the per-round ratios of gtcp's time
// to the facade's the lowest, the median and the highest: once of the time that
// passed and once of the processor time used (Unix), the server's included,
// which a busy machine disturbs less.
package main

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// rival is one of the two packages in one case: do makes n operations.
type rival struct {
	do      func(n int) error
	ns, cpu []float64 // an operation's time in each round, passed and used
	mallocs float64
}

// bench is one case: what it is called, how many operations a round makes, and
// how to set up either package for it.
type bench struct {
	name string
	ops  int
	ours func() (func(n int) error, error)
	gtcp func() (func(n int) error, error)
}

func main() {
	rounds := flag.Int("rounds", 31, "rounds; each times both packages once")
	scale := flag.Float64("scale", 1, "multiplies the operations of a round")
	only := flag.String("case", "", "run the cases whose name contains this alone")
	flag.Parse()
	if err := run(*rounds, *scale, *only); err != nil {
		fmt.Fprintln(os.Stderr, "facade:", err)
		os.Exit(1)
	}
}

func run(rounds int, scale float64, only string) error {
	if rounds < 1 || scale <= 0 {
		return errors.New("-rounds and -scale must be positive")
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "case\tallocs\tgtcp's\tbest, ns\tgtcp's\tmedian, ns\tgtcp's\ttime min\tmedian\tmax\tcpu min\tmedian\tmax\t")
	for _, b := range benches() {
		if !strings.Contains(b.name, only) {
			continue
		}
		ours, gtcp, err := b.measure(rounds, max(1, int(float64(b.ops)*scale)))
		if err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
		fmt.Fprintf(out, "%s\t%.2f\t%.2f\t%.0f\t%.0f\t%.0f\t%.0f\t%s\t%s\t\n", b.name,
			ours.mallocs, gtcp.mallocs, slices.Min(ours.ns), slices.Min(gtcp.ns), median(ours.ns), median(gtcp.ns),
			ratios(gtcp.ns, ours.ns), ratios(gtcp.cpu, ours.cpu))
	}
	return out.Flush()
}

// ratios are a over b round by round: lowest, median and highest.
func ratios(a, b []float64) string {
	all := make([]float64, len(a))
	for i := range all {
		all[i] = a[i] / b[i]
	}
	return fmt.Sprintf("%.2f\t%.2f\t%.2f", slices.Min(all), median(all), slices.Max(all))
}

func median(ns []float64) float64 {
	sorted := slices.Sorted(slices.Values(ns))
	return sorted[len(sorted)/2]
}

// measure times both packages in each round, after one round for warmth.
func (b bench) measure(rounds, ops int) (ours, gtcp *rival, err error) {
	ours, gtcp = new(rival), new(rival)
	if ours.do, err = b.ours(); err != nil {
		return nil, nil, err
	}
	if gtcp.do, err = b.gtcp(); err != nil {
		return nil, nil, err
	}
	for round := range rounds + 1 {
		both := []*rival{ours, gtcp}
		if rand.IntN(2) == 0 {
			slices.Reverse(both)
		}
		for _, r := range both {
			if err := r.time(ops, round == 0); err != nil {
				return nil, nil, err
			}
		}
	}
	return ours, gtcp, nil
}

// time runs one round. The one for warmth counts allocations instead, those of
// the plain server's goroutines included, which make none once they are warm.
func (r *rival) time(ops int, warm bool) error {
	if !warm {
		used, start := processorTime(), time.Now()
		err := r.do(ops)
		r.ns = append(r.ns, float64(time.Since(start))/float64(ops))
		r.cpu = append(r.cpu, float64(processorTime()-used)/float64(ops))
		return err
	}
	if err := r.do(ops); err != nil {
		return err
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := r.do(ops)
	runtime.ReadMemStats(&after)
	r.mallocs = float64(after.Mallocs-before.Mallocs) / float64(ops)
	return err
}
