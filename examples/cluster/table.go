package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/seed-99d6a01a/gtcp"
)

// table shows, twice a second, what each server gets.
type table struct {
	client *gtcp.Client
	out    io.Writer
	live   bool

	mu    sync.Mutex // guards all below
	event string
	calls map[string]uint64 // by address, at the last line
	rows  int               // drawn, to be drawn over
}

const tableEvery = 500 * time.Millisecond

func newTable(client *gtcp.Client, out io.Writer, live bool) *table {
	return &table{client: client, out: out, live: live, calls: map[string]uint64{}}
}

// say is the title from now on.
func (t *table) say(event string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.event = event
}

// succeeded returns how many calls a server has replied to.
func (t *table) succeeded(addr string) uint64 {
	for _, e := range t.client.Stat().Endpoints {
		if e.Endpoint.Addr == addr {
			return e.Succeeded
		}
	}
	return 0
}

func (t *table) run(ctx context.Context) {
	tick := time.NewTicker(tableEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			t.draw()
		}
	}
}

func (t *table) draw() {
	stat := t.client.Stat()
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	if t.live && t.rows > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\x1b[J", t.rows) // up, and clear to the end
	}
	fmt.Fprintf(&b, "%s: %d calls, %d of %d servers available\n", t.event, stat.Calls, stat.Balance.Available, stat.Balance.Endpoints)
	fmt.Fprintf(&b, "  %-22s %-9s %8s %9s %7s %9s\n", "server", "state", "calls/s", "in flight", "failed", "latency")
	for _, e := range stat.Endpoints {
		addr := e.Endpoint.Addr
		rate := float64(e.Succeeded-t.calls[addr]) / tableEvery.Seconds()
		t.calls[addr] = e.Succeeded
		fmt.Fprintf(&b, "  %-22s %-9v %8.0f %9d %7d %9v\n", addr, e.State, rate, e.InFlight, e.Failed, e.Latency.Round(10*time.Microsecond))
	}
	t.rows = len(stat.Endpoints) + 2
	_, _ = io.WriteString(t.out, b.String())
}
