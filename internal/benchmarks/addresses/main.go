// Command addresses measures what one address costs a client that calls very many: it
// opens a connection to each of 6,000 addresses of loopback, with each kind of client
// in a process of its own, and measures the memory of an address after a collection,
// and a call to an address chosen at random beside a call to one address alone (Linux
// only, where all of 127.0.0.0/8 is loopback). All servers are one process, gnet's, whose
// connections cost least.
//
//	go run ./addresses -n 6000 -rounds 5
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/compare"
	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/echo"
)

func main() {
	echo.BeServer()
	if err := beCaller(); err != nil {
		fmt.Fprintln(os.Stderr, "caller:", err)
		os.Exit(1)
	}
	n := flag.Int("n", 6000, "addresses")
	if runtime.GOOS != "linux" {
		fmt.Fprintln(os.Stderr, "addresses: needs Linux")
		os.Exit(1)
	}
	compare.Main(compare.Settings{Rounds: 5, Length: 250 * time.Millisecond}, func(p *compare.Program) error {
		p.Ours = []string{"Client", "Pool", "Facade"}
		if p.Short {
			*n = min(*n, 200)
		}
		return run(p, *n)
	})
}

func run(p *compare.Program, n int) (err error) {
	memory := compare.Comparison{
		Title:   fmt.Sprintf("Memory of a connection to each of %d addresses", n),
		Columns: []string{"bytes of heap and stacks an address"},
	}
	calls := compare.Comparison{
		Title:    fmt.Sprintf("One caller of %d addresses, at random", n),
		Columns:  []string{"CPU ns a call", "CPU ns a call of one address alone", "ns a call", "ns a call of one address alone"},
		Compared: 2,
	}
	for _, k := range kinds {
		c, stop, err := start(k.name, n)
		if err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		defer func() { err = errors.Join(err, stop()) }()
		memory.Candidates = append(memory.Candidates, compare.Candidate{Name: k.name, Measure: c.memory})
		calls.Candidates = append(calls.Candidates, compare.Candidate{Name: k.name, Measure: c.calls})
		if k.name != bare {
			memory.Goals = append(memory.Goals, k.halfTheMemory())
			calls.Goals = append(calls.Goals, k.halfTheTime())
		}
	}
	return errors.Join(p.Compare(memory), p.Compare(calls))
}

// start starts a server, and a process with a client of the kind that has a
// connection to each of n addresses of that server.
func start(kind string, n int) (c *caller, stop func() error, err error) {
	s, err := echo.StartEverywhere(echo.Gnet)
	if err != nil {
		return nil, nil, err
	}
	c, err = startCaller(kind, s.Addr, n)
	if err != nil {
		return nil, nil, errors.Join(err, s.Stop())
	}
	return c, func() error { return errors.Join(c.stop(), s.Stop()) }, nil
}
