package main

import (
	"context"
	"net"
	"time"

	gtcpconn "github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/compare"
	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/loopback"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/backend"
	"github.com/seed-99d6a01a/gtcp/pool/puddlepool"
	"github.com/seed-99d6a01a/gtcp/pool/slotpool"
)

// frontends are pools as programs use them, with the lifetime check and without
// a probe, beside a bare puddle. No bytes move, so that what is measured is the
// pool alone.
var frontends = []kind{
	{"puddle, bare", openPuddle},
	{"pool.Pool over puddlepool", openFrontend(puddlepool.Open[*pool.Member])},
	{"pool.Pool over slotpool", openFrontend(slotpool.Open[*pool.Member])},
}

func frontendGoals() []compare.Goal {
	const puddle, overPuddle, overSlots = "puddle, bare", "pool.Pool over puddlepool", "pool.Pool over slotpool"
	return []compare.Goal{
		{Ref: "3.3", Says: "puddlepool: no allocations", Of: overPuddle, Allocs: true, Want: compare.AtMost(0)},
		{Ref: "3.3", Says: "slotpool: no allocations", Of: overSlots, Allocs: true, Want: compare.AtMost(0)},
		{Ref: "3.3", Says: "puddlepool: at most 1.5 times bare puddle", Of: overPuddle, To: []string{puddle}, Want: compare.AtMost(1.5)},
		{Ref: "3.3", Says: "slotpool: at most 0.6 times bare puddle", Of: overSlots, To: []string{puddle}, Want: compare.AtMost(0.6)},
	}
}

// dialPipe makes a connection that nobody will use.
func dialPipe(context.Context) (net.Conn, error) {
	near, far := net.Pipe()
	return pipe{near, far}, nil
}

// pipe closes the far end with the near one.
type pipe struct {
	net.Conn
	far net.Conn
}

func (p pipe) Close() error {
	_ = p.far.Close()
	return p.Conn.Close()
}

type frontend struct {
	ctx context.Context
	p   *pool.Pool
}

// openFrontend opens a pool in which all connections are there and idle.
func openFrontend(open backend.OpenFunc[*pool.Member]) func(context.Context, int) (lender, error) {
	return func(ctx context.Context, conns int) (lender, error) {
		p, err := pool.New(gtcpconn.Target{Dial: dialPipe}, pool.Config{Backend: open, MaxConns: conns, Probe: pool.Probe{Mode: pool.ProbeNever}})
		if err != nil {
			return nil, err
		}
		held := make([]*pool.Conn, conns)
		for i := range held {
			if held[i], err = p.Get(ctx); err != nil {
				return nil, err
			}
		}
		for _, c := range held {
			if err := c.Close(); err != nil {
				return nil, err
			}
		}
		return frontend{ctx, p}, nil
	}
}

func (f frontend) run(n int, yield bool) {
	for range n {
		c, err := f.p.Get(f.ctx)
		must(err)
		hold(yield)
		must(c.Close())
	}
}

// settings compares what the settings of a pool cost beside the least that can
// be done with one checkout: 64 bytes to a server and back.
func settings(ctx context.Context, p *compare.Program) error {
	addr, err := loopback.Serve(loopback.Echo)
	if err != nil {
		return err
	}
	c := compare.Comparison{Title: "A checkout: Get, 64 bytes to an echo server and back, Close; slotpool", Allocs: true}
	for _, row := range []struct {
		name string
		set  func(*pool.Config) // nil: one checkout for all
	}{
		{"one checkout for all", nil},
		{"ProbeNever", func(c *pool.Config) { c.Probe.Mode = pool.ProbeNever }},
		{"Probe.After: time.Second", func(c *pool.Config) { c.Probe.After = time.Second }},
		{"ProbeOnGet, the default", func(*pool.Config) {}},
		{"default, MaxIdleTime: time.Minute", func(c *pool.Config) { c.MaxIdleTime = time.Minute }},
		{"default, LeakReport", func(c *pool.Config) { c.LeakReport = func(pool.Leak) {} }},
	} {
		cfg := pool.Config{Backend: slotpool.Open[*pool.Member]}
		if row.set != nil {
			row.set(&cfg)
		}
		pool, err := pool.New(gtcpconn.Target{Address: addr}, cfg)
		if err != nil {
			return err
		}
		c.Candidates = append(c.Candidates, compare.Candidate{Name: row.name, Do: roundTrips(ctx, pool, row.set == nil)})
	}
	return p.Compare(c)
}

// roundTrips acquires a connection for each round trip, or one for all of a turn.
func roundTrips(ctx context.Context, p *pool.Pool, hold bool) func(n int) error {
	msg := make([]byte, 64)
	trip := func(c *pool.Conn) error {
		if _, err := c.Write(msg); err != nil {
			return err
		}
		_, err := c.ReadFull(msg)
		return err
	}
	return func(n int) (err error) {
		var c *pool.Conn
		for i := range n {
			if i == 0 || !hold {
				if c, err = p.Get(ctx); err != nil {
					return err
				}
			}
			if err := trip(c); err != nil {
				return err
			}
			if i == n-1 || !hold {
				if err := c.Close(); err != nil {
					return err
				}
			}
		}
		return nil
	}
}
