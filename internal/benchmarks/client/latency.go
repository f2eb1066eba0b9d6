package main

import (
	"slices"
	"sync"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/compare"
)

// halfLoad is a candidate whose k callers make calls at a fixed rate: half of
// what callers of another kind, or their own, reach when each calls again at
// once, which each turn measures first. A call's latency is counted from when it was due, where the one before
// it made it late, and from its start where its caller's timer did.
func halfLoad(k int, name string, make, of caller) compare.Candidate {
	var calls, others []func() error
	return compare.Candidate{Name: name, Measure: func(length time.Duration) ([]float64, error) {
		for len(calls) < k {
			calls, others = append(calls, make()), append(others, of())
		}
		full, err := throughput(others, length/5)
		if err != nil {
			return nil, err
		}
		rate := full / 2
		latencies, err := paced(calls, rate, length)
		if err != nil {
			return nil, err
		}
		slices.Sort(latencies)
		at := func(q float64) float64 { return micros(latencies[int(q*float64(len(latencies)-1))]) }
		return []float64{at(0.99), at(0.5), rate}, nil
	}}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// throughput is how many calls a second they make in all. Each makes one at least: on a
// busy machine the time may be over before any has begun.
func throughput(calls []func() error, length time.Duration) (float64, error) {
	counts := make([]int, len(calls))
	begun := time.Now()
	err := together(calls, func(i int, call func() error) error {
		for counts[i] == 0 || time.Since(begun) < length {
			if err := call(); err != nil {
				return err
			}
			counts[i]++
		}
		return nil
	})
	total := 0
	for _, n := range counts {
		total += n
	}
	return float64(total) / time.Since(begun).Seconds(), err
}

// paced returns the latencies of calls that are made at a rate in all.
func paced(calls []func() error, rate float64, length time.Duration) ([]time.Duration, error) {
	each := make([][]time.Duration, len(calls))
	interval := time.Duration(float64(len(calls)) / rate * float64(time.Second))
	begun := time.Now()
	err := together(calls, func(i int, call func() error) error {
		due := begun.Add(interval * time.Duration(i) / time.Duration(len(calls)))
		for ; due.Sub(begun) < length; due = due.Add(interval) {
			start := due
			if wait := time.Until(due); wait > 0 {
				time.Sleep(wait)
				start = time.Now()
			}
			if err := call(); err != nil {
				return err
			}
			each[i] = append(each[i], time.Since(start))
		}
		return nil
	})
	return slices.Concat(each...), err
}

// together runs f for each call at the same time and returns the first error.
func together(calls []func() error, f func(i int, call func() error) error) error {
	var wg sync.WaitGroup
	errs := make([]error, len(calls))
	for i, call := range calls {
		wg.Go(func() { errs[i] = f(i, call) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
