package main

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/compare"
	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/echo"
)

// most is how many connections are opened at most. The client has a descriptor for
// each, and `ulimit -n` is 20,000 on the machine of the published page.
const most = 19_000

// processes is into how many server processes they are divided the second time.
const processes = 4

// million measures what very many idle connections cost in one process and in several,
// and calculates what 1,000,000 would.
func million(p *compare.Program) error {
	once := *p // the figures hardly differ, and a turn takes some seconds
	once.Settings.Rounds = 1
	n := most
	if p.Short {
		n = 400
	}
	c := compare.Comparison{
		Title:    "What a million costs",
		Columns:  []string{"bytes of RSS each, in one process", fmt.Sprintf("in %d processes", processes), "GB for 1,000,000, calculated from the first", "connections"},
		Compared: 1,
		Bases:    []string{echo.Gnet},
		Goals: []compare.Goal{{Ref: "D.2", Says: "server.Frames, asleep: at most 0.5 kB",
			Of: echo.Server, Want: compare.AtMost(500)}},
	}
	for _, name := range []string{echo.Server, echo.ServerParked, echo.ServerTLS, echo.Gnet} {
		n := n
		if name == echo.ServerTLS {
			n /= 4 // the handshakes take time
		}
		c.Candidates = append(c.Candidates, compare.Candidate{Name: name, Fresh: true, Measure: func(time.Duration) ([]float64, error) {
			one, err := heldBy(name, n, 1)
			if err != nil {
				return nil, err
			}
			several, err := heldBy(name, n, processes)
			return []float64{one, several, one / 1000, float64(n)}, err
		}})
	}
	return once.Compare(c)
}

// heldBy is what each of n connections costs that several processes of a server hold.
func heldBy(server string, n, processes int) (each float64, err error) {
	var servers []*echo.Process
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
		for _, p := range servers {
			err = errors.Join(err, p.Stop())
		}
	}()
	var before, after int
	for range processes {
		p, err := echo.Start(server)
		if err != nil {
			return 0, err
		}
		servers = append(servers, p)
		if _, err := p.Collect(); err != nil {
			return 0, err
		}
		rss, err := p.RSS()
		if err != nil {
			return 0, err
		}
		before += rss
		more, err := echoOnce(p, n/processes)
		conns = append(conns, more...)
		if err != nil {
			return 0, err
		}
	}
	time.Sleep(pause)
	for _, p := range servers {
		if _, err := p.Collect(); err != nil {
			return 0, err
		}
		rss, err := p.RSS()
		if err != nil {
			return 0, err
		}
		after += rss
	}
	return float64(after-before) / float64(len(conns)), nil
}
