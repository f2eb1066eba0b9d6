// Command idle measures what an idle connection costs a server: it starts each
// server in a process of its own, opens connections to it, has one 64-byte
// frame echoed on each, and reads the server's resident set size (Linux only), at
// once and after 3 seconds and a collection. Then it measures how long the first
// request after such a pause takes.
//
//	go run ./idle -n 10000 -rounds 3
package main

import (
	"errors"
	"flag"
	"net"
	"sync"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/compare"
	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/echo"
)

func main() {
	echo.BeServer()
	n := flag.Int("n", 10_000, "connections")
	// A turn takes as long as the connections do; the length is of no use.
	compare.Main(compare.Settings{Rounds: 3, Length: time.Second}, func(p *compare.Program) error {
		p.Ours = []string{"server.Frames", "conn, framing"}
		if p.Short {
			*n = min(*n, 500)
		}
		const limit = 4 << 10
		twice := *p // a round takes half a minute, and its figures hardly differ
		twice.Settings.Rounds = min(p.Settings.Rounds, 2)
		return errors.Join(twice.Compare(compare.Comparison{
			Title:      "Idle connections",
			Columns:    []string{"bytes of RSS a connection after 3 s", "at once", "of which stacks"},
			Compared:   2,
			Bases:      []string{echo.Server},
			Candidates: candidates(*n, echo.Server, echo.ServerParked, echo.ServerAwake, echo.Loop, echo.LoopOwn, echo.StdBare, echo.Std, echo.Gtcp, echo.Netpoll, echo.Gnet),
			Goals: []compare.Goal{
				{Ref: "2.5", Says: "a frame loop over conn and framing: at most 4 KiB", Of: echo.Loop, Column: 1, Want: compare.AtMost(limit)},
				{Ref: "5.3", Says: "server.Frames: at most 4 KiB", Of: echo.Server, Column: 1, Want: compare.AtMost(limit)},
				{Ref: "D.2", Says: "server.Frames, asleep: at most 0.5 kB", Of: echo.Server, Want: compare.AtMost(500)},
				{Ref: "D.2", Says: "server.Frames, parked: at most 1.6 kB", Of: echo.ServerParked, Want: compare.AtMost(1600)},
				{Ref: "5.3", Says: "server.Frames: at most half of gtcp's", Of: echo.Server, Column: 1, To: []string{echo.Gtcp}, Want: compare.AtMost(0.5)},
			},
		}), waking(p), million(p))
	})
}

// pause is longer than it takes the server to park a connection.
const pause = 3 * time.Second

func candidates(n int, servers ...string) (all []compare.Candidate) {
	for _, name := range servers {
		all = append(all, compare.Candidate{Name: name, Fresh: true, Measure: func(time.Duration) ([]float64, error) {
			return cost(name, n)
		}})
	}
	return all
}

// cost is what each of n connections adds to a server that has already served
// one: bytes of RSS after a pause and a collection, the same as soon as each has
// echoed a frame, and of the first the stacks.
func cost(server string, n int) (_ []float64, err error) {
	p, err := echo.Start(server)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	stacksBefore, err := p.Collect()
	if err != nil {
		return nil, err
	}
	before, err := p.RSS()
	if err != nil {
		return nil, err
	}
	conns, err := echoOnce(p, n)
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	if err != nil {
		return nil, err
	}
	echoed, err := p.RSS()
	if err != nil {
		return nil, err
	}
	time.Sleep(pause)
	stacks, err := p.Collect()
	if err != nil {
		return nil, err
	}
	collected, err := p.RSS()
	per := func(bytes int) float64 { return float64(bytes) / float64(n) }
	return []float64{per(collected - before), per(echoed - before), per(stacks - stacksBefore)}, err
}

// echoOnce opens n connections, 64 at a time, and has each echo one frame. It
// returns those it has opened in any case.
func echoOnce(p *echo.Process, n int) (conns []net.Conn, err error) {
	for len(conns) < n {
		batch := make([]net.Conn, min(64, n-len(conns)))
		errs := make([]error, len(batch))
		var wg sync.WaitGroup
		for i := range batch {
			wg.Go(func() { batch[i], errs[i] = p.Dial() })
		}
		wg.Wait()
		for _, c := range batch {
			if c != nil {
				conns = append(conns, c)
			}
		}
		if err := errors.Join(errs...); err != nil {
			return conns, err
		}
	}
	return conns, nil
}
