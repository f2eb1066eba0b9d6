// Command server measures the server package beside its peers, each in a process
// of its own, by one client that turns to each of them in every round:
//
//	go run ./server                   all that follow
//	go run ./server -bench echo       64 connections, one 64-byte request in flight on each
//	go run ./server -bench pipeline   one connection, as many 64-byte requests as fit
//	go run ./server -bench slow       64 connections, a handler that blocks for 1 ms
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
	bench := flag.String("bench", "", "echo, pipeline or slow (default all)")
	conns := flag.Int("conns", 64, "connections for echo and slow")
	compare.Main(compare.Settings{Rounds: 31, Length: 130 * time.Millisecond}, func(p *compare.Program) error {
		p.Ours = []string{echo.Server}
		all := map[string]func() error{
			"echo":     func() error { return unpipelined(p, *conns) },
			"pipeline": func() error { return pipelined(p) },
			"slow":     func() error { return slow(p, *conns) },
		}
		if *bench == "" {
			return errors.Join(all["echo"](), all["pipeline"](), all["slow"]())
		}
		if all[*bench] == nil {
			return fmt.Errorf("there is no benchmark %q", *bench)
		}
		return all[*bench]()
	})
}

func unpipelined(p *compare.Program, conns int) error {
	return against(p, 0, []string{echo.Server, echo.Gtcp, echo.Netpoll, echo.Gnet, echo.Nbio, echo.Std}, onEach(conns),
		compare.Comparison{
			Title: fmt.Sprintf("One request in flight on each of %d connections", conns),
			Goals: []compare.Goal{
				{Ref: "5.1", Says: "within 10 % of the best", Of: echo.Server,
					To: []string{echo.Gtcp, echo.Netpoll, echo.Gnet}, Want: compare.AtLeast(0.9)},
				{Ref: "D.1", Says: "the rate of the best", Of: echo.Server,
					To: []string{echo.Netpoll, echo.Gnet, echo.Nbio}, Want: compare.AtLeast(1)},
				{Ref: "D.1", Says: "at most 0.9 of gnet's processor time", Of: echo.Server, Column: 1,
					To: []string{echo.Gnet}, Want: compare.AtMost(0.9)},
			},
		})
}

func pipelined(p *compare.Program) error {
	return against(p, 0, []string{echo.Server, echo.Gtcp, echo.Netpoll, echo.NetpollBatch, echo.Gnet, echo.Nbio, echo.Std}, pipeline,
		compare.Comparison{
			Title: "Pipelined on one connection",
			Goals: []compare.Goal{
				{Ref: "5.2", Says: "at least 12 times gtcp's rate", Of: echo.Server, To: []string{echo.Gtcp}, Want: compare.AtLeast(12)},
				{Ref: "5.2", Says: "at least 0.85 of the best", Of: echo.Server,
					To: []string{echo.NetpollBatch, echo.Gnet, echo.Std}, Want: compare.AtLeast(0.85)},
				{Ref: "D.1", Says: "at least 1.1 times the best", Of: echo.Server,
					To: []string{echo.NetpollBatch, echo.Gnet, echo.Nbio}, Want: compare.AtLeast(1.1)},
			},
		})
}

// slow is what is left of the rate when a handler waits for something.
func slow(p *compare.Program, conns int) error {
	defer func(s compare.Settings) { p.Settings = s }(p.Settings)
	p.Settings.Rounds = min(p.Settings.Rounds, 11)
	return against(p, time.Millisecond, []string{echo.Server, echo.Netpoll, echo.Gnet, echo.GnetPool, echo.Nbio}, onEach(conns),
		compare.Comparison{
			Title: fmt.Sprintf("A handler that blocks for 1 ms, one request in flight on each of %d connections", conns),
			Goals: []compare.Goal{
				{Ref: "D.1", Says: "at least 12 times gnet's rate", Of: echo.Server, To: []string{echo.Gnet}, Want: compare.AtLeast(12)},
			},
		})
}

// measure makes requests to a server for about a length, and returns how many and
// how long they took.
type measure func(addr string, length time.Duration) (requests int, took time.Duration, err error)

// against starts the servers, and compares the rates at which they answer and the
// processor time that they use for it.
func against(p *compare.Program, delay time.Duration, servers []string, m measure, c compare.Comparison) (err error) {
	c.Columns, c.Compared = []string{"requests/s", "CPU of the server, µs a request"}, 2
	for _, name := range servers {
		s, startErr := echo.StartSlow(name, delay)
		if startErr != nil {
			return startErr
		}
		defer func() { err = errors.Join(err, s.Stop()) }()
		c.Candidates = append(c.Candidates, compare.Candidate{Name: name, Measure: func(length time.Duration) ([]float64, error) {
			before, err := s.CPU()
			if err != nil {
				return nil, err
			}
			requests, took, err := m(s.Addr, length)
			if err != nil {
				return nil, err
			}
			after, err := s.CPU()
			return []float64{float64(requests) / took.Seconds(), float64((after - before).Nanoseconds()) / 1000 / float64(requests)}, err
		}})
	}
	return p.Compare(c)
}
