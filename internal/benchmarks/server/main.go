// Command server measures the server package beside its peers, each in a process
// of its own, by one client that turns to each of them in every round:
//
//	go run ./server                   both that follow
//	go run ./server -bench echo       64 connections, one 64-byte request in flight on each
//	go run ./server -bench pipeline   one connection, as many 64-byte requests as fit
//
// What idle connections cost a server is the matter of command idle.
package main

import (
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/compare"
	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/echo"
)

func main() {
	echo.BeServer()
	bench := flag.String("bench", "", "echo or pipeline (default both)")
	conns := flag.Int("conns", 64, "connections for echo")
	compare.Main(compare.Settings{Rounds: 25, Length: 400 * time.Millisecond}, func(p *compare.Program) error {
		p.Ours = []string{"server.Frames"}
		switch *bench {
		case "":
			return errors.Join(unpipelined(p, *conns), pipelined(p))
		case "echo":
			return unpipelined(p, *conns)
		case "pipeline":
			return pipelined(p)
		}
		return fmt.Errorf("there is no benchmark %q", *bench)
	})
}

func unpipelined(p *compare.Program, conns int) error {
	return against(p, []string{echo.Server, echo.Gtcp, echo.Netpoll, echo.Gnet, echo.Std},
		func(addr string, length time.Duration) (float64, error) { return echoRate(addr, conns, length) },
		compare.Comparison{
			Title: fmt.Sprintf("One request in flight on each of %d connections", conns),
			Goals: []compare.Goal{{Ref: "5.1", Says: "within 10 % of the best", Of: echo.Server,
				To: []string{echo.Gtcp, echo.Netpoll, echo.Gnet}, Want: compare.AtLeast(0.9)}},
		})
}

func pipelined(p *compare.Program) error {
	return against(p, []string{echo.Server, echo.Gtcp, echo.Netpoll, echo.NetpollBatch, echo.Gnet, echo.Std}, pipelineRate,
		compare.Comparison{
			Title: "Pipelined on one connection",
			Goals: []compare.Goal{
				{Ref: "5.2", Says: "at least 12 times gtcp's rate", Of: echo.Server, To: []string{echo.Gtcp}, Want: compare.AtLeast(12)},
				{Ref: "5.2", Says: "at least 0.85 of the best", Of: echo.Server,
					To: []string{echo.NetpollBatch, echo.Gnet, echo.Std}, Want: compare.AtLeast(0.85)},
			},
		})
}

// against starts the servers, and compares the rates at which they answer.
func against(p *compare.Program, servers []string, rate func(addr string, length time.Duration) (float64, error), c compare.Comparison) (err error) {
	c.Columns = []string{"requests/s", "CPU of the server, µs a request"}
	c.Compared = 2
	for _, name := range servers {
		s, startErr := echo.Start(name)
		if startErr != nil {
			return startErr
		}
		defer func() { err = errors.Join(err, s.Stop()) }()
		c.Candidates = append(c.Candidates, compare.Candidate{Name: name, Measure: func(length time.Duration) ([]float64, error) {
			before, err := s.CPU()
			if err != nil {
				return nil, err
			}
			start := time.Now()
			r, err := rate(s.Addr, length)
			took := time.Since(start)
			after, cpuErr := s.CPU()
			return []float64{r, float64(after-before) / 1000 / (r * took.Seconds())}, errors.Join(err, cpuErr)
		}})
	}
	return p.Compare(c)
}
