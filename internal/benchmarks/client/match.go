package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	ours "github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/compare"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/server"
)

// number is where the frames of this file carry their number.
var number = pipeline.Number{Size: 4}

// matched is what it costs that replies may come in any order, against the server
// that replies in order to all.
func matched(p *compare.Program, addr string) error {
	inOrder, match := "in order", "with Match"
	return p.Compare(compare.Comparison{
		Title:  "256 callers, Client, shared, in order and with Match",
		Bases:  []string{inOrder},
		CPU:    true,
		Allocs: true,
		Candidates: []compare.Candidate{
			by(256, inOrder, clientOf(addr, ours.ClientConfig{Shared: true}, context.Background())),
			by(256, match, clientOf(addr, ours.ClientConfig{Shared: true, Match: number}, context.Background())),
		},
		Goals: []compare.Goal{
			{Ref: "C.3", Says: "Match costs little", Of: match, To: []string{inOrder}, Want: compare.AtMost(1.15)},
			{Ref: "C.3", Says: "no allocations", Of: match, Allocs: true, Want: compare.AtMost(0)},
		},
	})
}

// behindSlow is what a slow request costs the calls behind it on its connection.
func behindSlow(p *compare.Program, _ string) error {
	defer func(s compare.Settings) { p.Settings = s }(p.Settings)
	takes := 20 * time.Millisecond
	if !p.Short {
		takes = time.Second
		p.Settings = compare.Settings{Rounds: 15, Length: takes}
	}
	addr, err := serveSlow(true, takes)
	if err != nil {
		return err
	}
	ordered, err := serveSlow(false, takes)
	if err != nil {
		return err
	}
	alone, behind := "with Match, no slow request", "with Match, behind a slow request"
	config := ours.ClientConfig{Shared: true, CallTimeout: time.Minute}
	numbered := config
	numbered.Match = number
	// So that no second connection is opened, and no call is refused for a lack of time.
	config.Pipeline.StallTimeout, numbered.Pipeline.StallTimeout = -1, -1
	return p.Compare(compare.Comparison{
		Title:    "1,000 calls of 64 callers on one connection, behind a request that takes a second",
		Columns:  []string{"p99 µs", "p50 µs"},
		Bases:    []string{alone},
		Compared: 2,
		Candidates: []compare.Candidate{
			crowded(alone, addr, numbered, false),
			crowded(behind, addr, numbered, true),
			crowded("in order, behind a slow request", ordered, config, true),
		},
		Goals: []compare.Goal{
			{Ref: "C.2", Says: "as without the slow request", Of: behind, To: []string{alone}, Want: compare.AtMost(1.15)},
		},
	})
}

// serveSlow starts a server that takes some time for requests that say so, and replies
// to the others at once, or in order.
func serveSlow(unordered bool, takes time.Duration) (addr string, err error) {
	return serveHandler(&server.FrameHandler{
		Concurrency: 128, Unordered: unordered,
		Handle: func(_ context.Context, req []byte) ([]byte, error) {
			if req[len(req)-1] == slowMark {
				time.Sleep(takes)
			}
			return req, nil
		},
	})
}

const slowMark = 's'

// crowded measures 1,000 calls of 64 callers on one connection, which begin when the
// server has the slow request, if there is one. It does so again and again while that
// is in progress, and tells the medians: 1,000 calls are over so soon that one moment
// in which the machine does something else is their 99th percentile.
func crowded(name, addr string, config ours.ClientConfig, slow bool) compare.Candidate {
	const repeats = 32
	c := ours.NewClient(addr, config)
	return compare.Candidate{Name: name, Measure: func(time.Duration) ([]float64, error) {
		done := make(chan error, 1)
		if slow {
			before := c.Stat().Pipeline.BytesWritten
			go func() {
				request := make([]byte, payload)
				request[payload-1] = slowMark
				_, err := c.Call(context.Background(), request)
				done <- err
			}()
			for c.Stat().Pipeline.BytesWritten == before {
				time.Sleep(100 * time.Microsecond)
			}
		}
		var p99, p50 []float64
		for len(p99) == 0 || len(p99) < repeats && len(done) == 0 {
			latencies, err := thousand(c)
			if err != nil {
				return nil, err
			}
			p99 = append(p99, micros(latencies[len(latencies)*99/100]))
			p50 = append(p50, micros(latencies[len(latencies)/2]))
		}
		if slow {
			if err := <-done; err != nil {
				return nil, err
			}
		}
		if dials := c.Stat().Pipeline.Dials; dials != 1 {
			return nil, fmt.Errorf("%d connections", dials)
		}
		slices.Sort(p99)
		slices.Sort(p50)
		return []float64{p99[len(p99)/2], p50[len(p50)/2]}, nil
	}}
}

// thousand returns how long 1,000 calls of 64 callers took, in ascending order.
func thousand(c *ours.Client) ([]time.Duration, error) {
	const callers, total = 64, 1000
	latencies := make([]time.Duration, total)
	errs := make([]error, callers)
	var next atomic.Int64
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			request, reply := make([]byte, payload), make([]byte, 0, payload)
			for n := next.Add(1); n <= total && errs[i] == nil; n = next.Add(1) {
				begun := time.Now()
				_, errs[i] = c.AppendCall(context.Background(), reply, request)
				latencies[n-1] = time.Since(begun)
			}
		})
	}
	all.Wait()
	slices.Sort(latencies)
	return latencies, errors.Join(errs...)
}
