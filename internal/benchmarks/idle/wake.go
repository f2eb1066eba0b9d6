package main

import (
	"errors"
	"slices"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/compare"
	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/echo"
)

// waking compares the first request on each of many connections after a pause, in
// which one server has them sleep, one has parked them and one has not.
func waking(p *compare.Program) (err error) {
	const conns = 500
	c := compare.Comparison{
		Title:    "The first request after 3 s",
		Columns:  []string{"median, µs", "99th percentile, µs"},
		Compared: 2,
		Bases:    []string{echo.ServerAwake},
		Goals: []compare.Goal{
			{Ref: "D.2", Says: "parked: 99th percentile at most 1.2 times that of one never parked",
				Of: echo.ServerParked, To: []string{echo.ServerAwake}, Column: 1, Want: compare.AtMost(1.2)},
			{Ref: "D.2", Says: "asleep: 99th percentile at most 2 times that of one never parked",
				Of: echo.Server, To: []string{echo.ServerAwake}, Column: 1, Want: compare.AtMost(2)},
		},
	}
	for _, name := range []string{echo.Server, echo.ServerParked, echo.ServerAwake} {
		s, startErr := echo.Start(name)
		if startErr != nil {
			return startErr
		}
		defer func() { err = errors.Join(err, s.Stop()) }()
		c.Candidates = append(c.Candidates, compare.Candidate{Name: name, Measure: func(time.Duration) ([]float64, error) {
			return firstRequests(s, conns)
		}})
	}
	return p.Compare(c)
}

// firstRequests returns the median and the 99th percentile in microseconds.
func firstRequests(p *echo.Process, n int) ([]float64, error) {
	conns, err := echoOnce(p, n)
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	if err != nil {
		return nil, err
	}
	time.Sleep(pause)
	took := make([]float64, 0, n)
	req, resp := echo.Frame(), make([]byte, 2+echo.Payload)
	for _, c := range conns {
		start := time.Now()
		if err := echo.RoundTrip(c, req, resp); err != nil {
			return nil, err
		}
		took = append(took, float64(time.Since(start))/1000)
	}
	slices.Sort(took)
	return []float64{took[n/2], took[n*99/100]}, nil
}
