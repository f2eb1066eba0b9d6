package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/compare"
	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/echo"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

// bare is the floor: what the sockets themselves cost.
const bare = "Bare connections"

// kind is a kind of client.
type kind struct {
	name string
	// open makes clients of the addresses. call calls the address of that
	// index; a connection is dialed by its first call at the latest.
	open func(addrs []string) (call func(i int) error, err error)
	// What it took when it was first measured: bytes an address, and the CPU time of
	// a call in times that of bare connections.
	bytes, times float64
}

var kinds = []kind{
	{name: bare, open: openBare},
	{"Pool", each(openPool), 4250, 1.18},
	{"Facade", each(openFacade), 4610, 1.30},
	{"Client", each(openClient(gtcp.ClientConfig{})), 8020, 1.46},
	{"Client, shared", each(openClient(gtcp.ClientConfig{Shared: true})), 19630, 2.68},
	{"Client of all addresses", openSet(gtcp.ClientConfig{}), 5640, 1.35},
	{"Client of all addresses, shared", openSet(gtcp.ClientConfig{Shared: true}), 17110, 2.28},
}

// halfTheMemory is the goal that an address takes at most half of what it took.
func (k kind) halfTheMemory() compare.Goal {
	return compare.Goal{Ref: "D.8", Says: fmt.Sprintf("%s: at most half of %v bytes", k.name, k.bytes), Of: k.name, Want: compare.AtMost(k.bytes / 2)}
}

// halfTheTime is the goal that a call takes at most half of what it took beyond the
// time of bare connections.
func (k kind) halfTheTime() compare.Goal {
	return compare.Goal{
		Ref: "D.8", Says: fmt.Sprintf("%s: beyond bare connections at most half of %.2f", k.name, k.times-1),
		Of: k.name, To: []string{bare}, Want: compare.AtMost(1 + (k.times-1)/2),
	}
}

// each makes a client of its own for each address.
func each(open func(addr string) (func() error, error)) func([]string) (func(int) error, error) {
	return func(addrs []string) (func(int) error, error) {
		calls := make([]func() error, len(addrs))
		for i, addr := range addrs {
			var err error
			if calls[i], err = open(addr); err != nil {
				return nil, err
			}
		}
		return func(i int) error { return calls[i]() }, nil
	}
}

// The request of all calls, and the reply. Calls are made by one goroutine once
// all connections are open.
var (
	frame   = echo.Frame()
	payload = frame[2:]
)

func openBare(addrs []string) (func(int) error, error) {
	conns := make([]net.Conn, len(addrs))
	for i, addr := range addrs {
		var err error
		if conns[i], err = net.Dial("tcp", addr); err != nil {
			return nil, err
		}
	}
	resp := make([]byte, len(frame))
	return func(i int) error { return echo.RoundTrip(conns[i], frame, resp) }, nil
}

var poolReply = make([]byte, len(frame))

func openPool(addr string) (func() error, error) {
	p, err := pool.New(conn.Target{Address: addr}, pool.Config{})
	if err != nil {
		return nil, err
	}
	return func() error {
		c, err := p.Get(context.Background())
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := c.Write(frame); err != nil {
			return err
		}
		_, err = io.ReadFull(c, poolReply)
		return err
	}, nil
}

func openFacade(addr string) (func() error, error) {
	return func() error {
		c, err := gtcp.NewPoolConn(addr)
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.SendRecvPkg(payload)
		return err
	}, nil
}

var clientReply = make([]byte, 0, 2*len(frame))

func openClient(config gtcp.ClientConfig) func(addr string) (func() error, error) {
	return func(addr string) (func() error, error) {
		c := gtcp.NewClient(addr, config)
		return func() error {
			_, err := c.AppendCall(context.Background(), clientReply, payload)
			return err
		}, config.Validate()
	}
}

// openSet makes one client of all addresses, which chooses one at random for each
// call.
func openSet(config gtcp.ClientConfig) func(addrs []string) (func(int) error, error) {
	return func(addrs []string) (func(int) error, error) {
		config.Resolver = resolve.Addrs(addrs...)
		c := gtcp.NewClient("all", config)
		call := func(int) error {
			_, err := c.AppendCall(context.Background(), clientReply, payload)
			return err
		}
		for opened, begun := 0, time.Now(); opened < len(addrs); {
			if time.Since(begun) > time.Minute {
				return nil, errors.New("some servers are never called")
			}
			for range len(addrs) {
				if err := call(0); err != nil {
					return nil, err
				}
			}
			opened = 0
			for _, e := range c.Stat().Endpoints {
				if e.Opened {
					opened++
				}
			}
		}
		return call, nil
	}
}
