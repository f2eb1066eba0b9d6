// Command codec compares the frame reader and writer with gtcp's package
// protocol, with go-msgio and with code written by hand for one format, all in
// memory, in one interleaved run: every round times each of them once, in
// random order, so that what else the machine does falls on all alike. It
// prints allocations, the median time and, from the same rounds, how many
// times as long gtcp and the floor take.
package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

func main() {
	rounds := flag.Int("rounds", 61, "rounds; each times every codec once")
	frames := flag.Int("frames", 50_000, "frames of a codec in one round")
	size := flag.Int("size", 64, "payload of a frame in bytes, at most 65535")
	flag.Parse()

	payload := make([]byte, *size)
	for _, kind := range []struct {
		name   string
		codecs []codec
	}{{"read", readers(payload)}, {"write", writers(payload)}} {
		results, err := measure(kind.codecs, *rounds, *frames, *size)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Printf("%s, frames of %d bytes\n", kind.name, *size)
		report(results)
	}
}

// result is a codec's time a frame in each round, in nanoseconds.
type result struct {
	name   string
	allocs float64
	ns     []float64
}

func measure(codecs []codec, rounds, frames, size int) ([]result, error) {
	results := make([]result, len(codecs))
	for i, c := range codecs {
		var err error
		allocs := testing.AllocsPerRun(1000, func() {
			if e := c.run(1, size); e != nil {
				err = e
			}
		})
		if err != nil {
			return nil, err
		}
		results[i] = result{name: c.name, allocs: allocs, ns: make([]float64, rounds)}
	}
	for round := range rounds {
		for _, i := range rand.Perm(len(codecs)) {
			start := time.Now()
			if err := codecs[i].run(frames, size); err != nil {
				return nil, err
			}
			results[i].ns[round] = float64(time.Since(start).Nanoseconds()) / float64(frames)
		}
	}
	return results, nil
}

func report(results []result) {
	floor := results[0].ns
	peer := results[slices.IndexFunc(results, func(r result) bool { return strings.HasPrefix(r.name, "gtcp ") })].ns
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "codec\tallocs\tns (median)\tgtcp takes: min\tmedian\tmax\ttakes of floor: min\tmedian\tmax")
	for _, r := range results {
		fmt.Fprintf(w, "%s\t%.0f\t%.1f\t%s\t%s\n", r.name, r.allocs, median(r.ns), ratios(peer, r.ns), ratios(r.ns, floor))
	}
	_ = w.Flush()
}

// ratios are a over b round by round: least, median and most.
func ratios(a, b []float64) string {
	all := make([]float64, len(a))
	for i := range a {
		all[i] = a[i] / b[i]
	}
	return fmt.Sprintf("%.2f\t%.2f\t%.2f", slices.Min(all), median(all), slices.Max(all))
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
