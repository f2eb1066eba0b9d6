// Command client compares the ways of many callers to one server: gtcp's
// PoolConn, the Client with a connection per call, the Client and the bare
// pipeline with shared connections, and what the pipeline could at best be: two
// goroutines, 64 KiB buffers and channels, with no cancellation, no limits and
// no second connection. All call the same server, in this process. Last come RPC
// libraries, each with a server of its own.
//
//	go run ./client             # all
//	go run ./client -run RPC    # the libraries alone
package main

import (
	"context"
	"strconv"
	"time"

	ours "github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/compare"
)

const payload = 64

func main() {
	compare.Main(compare.Settings{Rounds: 101, Length: 12 * time.Millisecond}, func(p *compare.Program) error {
		p.Ours = []string{"Client", "pipeline", "one address", "set of", "10 clients"}
		addr, err := serve()
		if err != nil {
			return err
		}
		for _, run := range []func(*compare.Program, string) error{crowd, matched, contexts, lone, exclusive, envelopes, sets, behindSlow, latency, rpcs} {
			if err := run(p, addr); err != nil {
				return err
			}
		}
		return nil
	})
}

// crowd is issue 6's first figure.
func crowd(p *compare.Program, addr string) error {
	return p.Compare(compare.Comparison{
		Title:  "256 callers, request and reply of 64 bytes",
		Bases:  []string{"gtcp PoolConn", "floor: two goroutines and channels", "pipeline, 1 connection"},
		CPU:    true,
		Allocs: true,
		Candidates: []compare.Candidate{
			by(256, "gtcp PoolConn", gtcpPool(addr)),
			by(256, "floor: two goroutines and channels", floor(addr)),
			by(256, "pipeline, 1 connection", pipelined(addr, 1)),
			by(256, "pipeline, 2 connections", pipelined(addr, 2)),
			by(256, "Client, shared", client(addr, true, context.Background())),
			by(256, "Client, shared, no CallTimeout", clientOf(addr, ours.ClientConfig{Shared: true, CallTimeout: -1}, context.Background())),
		},
		Goals: []compare.Goal{
			{Ref: "B.4", Says: "a Client costs little beside its pipeline", Of: "Client, shared",
				To: []string{"pipeline, 1 connection"}, Want: compare.AtMost(1.05)},
			{Ref: "6.1", Says: "at least 8 times the calls of gtcp's PoolConn", Of: "gtcp PoolConn",
				To: []string{"pipeline, 1 connection"}, Want: compare.AtLeast(8)},
			{Ref: "6.1", Says: "at least 0.8 of the floor's", Of: "floor: two goroutines and channels",
				To: []string{"pipeline, 1 connection"}, Want: compare.AtLeast(0.8)},
			{Ref: "D.3", Says: "at least 0.92 of the floor's", Of: "floor: two goroutines and channels",
				To: []string{"pipeline, 1 connection"}, Want: compare.AtLeast(0.92)},
			{Ref: "6.1", Says: "no allocations", Of: "pipeline, 1 connection", Allocs: true, Want: compare.AtMost(0)},
		},
	})
}

// contexts is what the limit of ClientConfig.CallTimeout costs, for contexts that
// can end and have no deadline, as those of a server's handlers, and for others.
func contexts(p *compare.Program, addr string) error {
	canEnd, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, of := range []struct {
		mode    string
		shared  bool
		callers int
	}{{"shared", true, 256}, {"shared", true, 16}, {"exclusive", false, 16}} {
		c := compare.Comparison{
			Title:  strconv.Itoa(of.callers) + " callers, Client, " + of.mode + ", with and without CallTimeout",
			Allocs: true,
			CPU:    true,
		}
		for name, ctx := range map[string]context.Context{"Background": context.Background(), "WithCancel": canEnd} {
			without := name + ", no CallTimeout"
			c.Candidates = append(c.Candidates,
				by(of.callers, name, client(addr, of.shared, ctx)),
				by(of.callers, without, clientOf(addr, ours.ClientConfig{Shared: of.shared, CallTimeout: -1}, ctx)))
			c.Bases = append(c.Bases, without)
			c.Goals = append(c.Goals, compare.Goal{Ref: "B.4", Says: "CallTimeout costs little", Of: name,
				To: []string{without}, Want: compare.AtMost(1.05)})
		}
		if err := p.Compare(c); err != nil {
			return err
		}
	}
	return nil
}

// lone is its second.
func lone(p *compare.Program, addr string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if !p.Short { // short turns, so that those of a round are alike
		defer func(s compare.Settings) { p.Settings = s }(p.Settings)
		p.Settings = compare.Settings{Rounds: 501, Length: 2 * time.Millisecond}
	}
	return p.Compare(compare.Comparison{
		Title:  "1 caller, request and reply of 64 bytes",
		Allocs: true,
		Candidates: []compare.Candidate{
			by(1, "bare net.Conn", bare(addr)),
			by(1, "pipeline", pipelined(addr, 1)),
			by(1, "Client, shared", client(addr, true, context.Background())),
			by(1, "Client, shared, context that can end", client(addr, true, ctx)),
			by(1, "Client, exclusive", client(addr, false, context.Background())),
			by(1, "gtcp PoolConn", gtcpPool(addr)),
			by(1, "floor: two goroutines and channels", floor(addr)),
		},
		Goals: []compare.Goal{
			{Ref: "6.2", Says: "no slower than 1.1 times a bare net.Conn", Of: "pipeline",
				To: []string{"bare net.Conn"}, Want: compare.AtMost(1.1)},
			{Ref: "D.3", Says: "no slower than 1.02 times a bare net.Conn", Of: "pipeline",
				To: []string{"bare net.Conn"}, Want: compare.AtMost(1.02)},
		},
	})
}

// exclusive is its third.
func exclusive(p *compare.Program, addr string) error {
	return p.Compare(compare.Comparison{
		Title:  "32 callers, each call with a connection of its own",
		Allocs: true,
		Candidates: []compare.Candidate{
			by(32, "gtcp PoolConn", gtcpPool(addr)),
			by(32, "Client, exclusive", client(addr, false, context.Background())),
			by(32, "Client, exclusive, slotpool", slotClient(addr)),
		},
		Goals: []compare.Goal{
			{Ref: "6.3", Says: "no slower than gtcp's PoolConn", Of: "Client, exclusive",
				To: []string{"gtcp PoolConn"}, Want: compare.AtMost(1)},
			{Ref: "6.3", Says: "fewer allocations", Of: "Client, exclusive", To: []string{"gtcp PoolConn"}, Allocs: true, Want: compare.AtMost(0.99)},
		},
	})
}

// sets is what it costs to call a service through a resolver and a balancer, all
// of whose endpoints are one server here. Ten endpoints have ten connections, so
// they are compared with ten clients as well.
func sets(p *compare.Program, addr string) error {
	for _, of := range []struct {
		mode    string
		shared  bool
		callers int
		one     float64
	}{
		{"exclusive", false, 32, 1.01},
		{"shared", true, 32, 1.02},
		{"shared", true, 256, 1.02},
	} {
		one, ten, apart := "one address", "set of 10", "10 clients in turn"
		err := p.Compare(compare.Comparison{
			Title:  strconv.Itoa(of.callers) + " callers, Client, " + of.mode + ", one address or a set of endpoints",
			Bases:  []string{one, apart},
			Allocs: true,
			CPU:    true,
			Candidates: []compare.Candidate{
				by(of.callers, one, client(addr, of.shared, context.Background())),
				by(of.callers, "set of 1", setOf(addr, 1, of.shared)),
				by(of.callers, ten, setOf(addr, 10, of.shared)),
				by(of.callers, apart, inTurn(addr, 10, of.shared)),
			},
			Goals: []compare.Goal{
				{Ref: "F.2", Says: "a set of one costs little", Of: "set of 1", To: []string{one}, Want: compare.AtMost(of.one)},
				{Ref: "F.2", Says: "a set of ten costs little", Of: ten, To: []string{apart}, Want: compare.AtMost(1.05)},
			},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// latency is its fourth.
func latency(p *compare.Program, addr string) error {
	const callers = 64
	if !p.Short { // a percentile needs many calls in a turn
		p.Settings = compare.Settings{Rounds: 9, Length: 250 * time.Millisecond}
	}
	gtcp, piped := gtcpPool(addr), pipelined(addr, 1)
	own, shared := client(addr, false, context.Background()), client(addr, true, context.Background())
	return p.Compare(compare.Comparison{
		Title:   "Latency at half load, " + strconv.Itoa(callers) + " callers; half of gtcp's throughput, or of one's own",
		Columns: []string{"p99 µs", "p50 µs", "offered calls/s"},
		Candidates: []compare.Candidate{
			halfLoad(callers, "gtcp PoolConn", gtcp, gtcp),
			halfLoad(callers, "Client, exclusive, gtcp's load", own, gtcp),
			halfLoad(callers, "Client, shared, gtcp's load", shared, gtcp),
			halfLoad(callers, "pipeline, gtcp's load", piped, gtcp),
			halfLoad(callers, "Client, exclusive", own, own),
			halfLoad(callers, "Client, shared", shared, shared),
			halfLoad(callers, "pipeline", piped, piped),
		},
	})
}
