// Command cluster shows one Client in front of a service whose servers come and
// go. It starts etcd and three servers, each a process of its own that registers
// itself, and calls them from many goroutines. Then one server is added, one is
// killed, one is drained, and etcd itself is killed and comes back. A table on the
// terminal shows what each server gets; at the end it says how many calls failed.
// Look at the Resolver in run, at serve, and at the rows of the table
// when a server goes: its calls go to the others.
//
//	cd examples/cluster && go run .
//
// It uses the program etcd in PATH: the distribution's package etcd-server, for
// example. If there is none, it builds one, which takes a minute or so.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/pool/resolve/etcdresolve"
	"github.com/seed-99d6a01a/gtcp/retry"
)

// prefix is where the servers register.
const prefix = "/services/echo/"

// goodbye is what a server sends before it ends a connection: what it has not
// replied to by then, it has not handled.
var goodbye = []byte("\x00goodbye")

func main() {
	if at := os.Getenv(serveVariable); at != "" { // this process is one of the servers
		if err := serve(at); err != nil {
			fmt.Fprintln(os.Stderr, "cluster:", err)
			os.Exit(1)
		}
		return
	}
	o := options{}
	flag.IntVar(&o.callers, "callers", 32, "goroutines that call")
	flag.DurationVar(&o.step, "step", 5*time.Second, "time between two events")
	flag.BoolVar(&o.live, "live", true, "redraw the table in place")
	flag.BoolVar(&o.build, "build", false, "build etcd, also if there is one in PATH")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if _, err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

type options struct {
	callers int
	step    time.Duration // between two events
	live    bool          // redraw the table in place
	build   bool          // build etcd, also if there is one in PATH
}

// result is what came of the calls.
type result struct {
	calls, failed uint64
	lastErr       error
	noticed       time.Duration // from the start of the last server to its first call
}

// cluster is the service, and its client.
type cluster struct {
	options
	etcd    *process
	program string         // etcd
	addr    string         // of etcd
	peer    string         // its other address
	release []func() error // gives these addresses back
	dir     string
	servers []*process
	client  *gtcp.Client
	table   *table

	calls, failed atomic.Uint64
	lastErr       atomic.Pointer[error]
}

// run is the whole show.
func run(ctx context.Context, o options, out io.Writer) (r result, err error) {
	c := &cluster{options: o}
	defer c.stop()
	if err := c.start(ctx); err != nil {
		return r, err
	}
	registry, err := clientv3.New(clientv3.Config{
		Endpoints: []string{c.addr}, DialKeepAliveTime: 5 * time.Second, DialKeepAliveTimeout: time.Second, Logger: zap.NewNop(),
	})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, registry.Close()) }()
	c.client = gtcp.NewClient("echo", gtcp.ClientConfig{
		Resolver: &etcdresolve.Resolver{Client: registry, Prefix: prefix},
		Goodbye:  goodbye,
		Retry:    retry.Policy{MaxAttempts: 4, Idempotent: true},
	})
	defer func() { err = errors.Join(err, c.client.Close()) }()
	c.table = newTable(c.client, out, o.live)

	calling, end := context.WithCancel(ctx)
	var callers sync.WaitGroup
	defer callers.Wait()
	defer end()
	for range o.callers {
		callers.Go(func() { c.call(calling) })
	}
	callers.Go(func() { c.table.run(calling) })

	r.noticed, err = c.play(ctx)
	end()
	callers.Wait()
	r.calls, r.failed = c.calls.Load(), c.failed.Load()
	if last := c.lastErr.Load(); last != nil {
		r.lastErr = *last
	}
	fmt.Fprintf(out, "\n%d calls, %d failed, %d attempts repeated\n", r.calls, r.failed, c.client.Stat().Retries)
	return r, err
}

// call calls until ctx ends.
func (c *cluster) call(ctx context.Context) {
	var reply []byte
	for ctx.Err() == nil {
		one, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		var err error
		reply, err = c.client.AppendCall(one, reply[:0], []byte("hello"))
		cancel()
		c.calls.Add(1)
		if err != nil {
			c.failed.Add(1)
			c.lastErr.Store(&err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// play makes things happen, one every step.
func (c *cluster) play(ctx context.Context) (noticed time.Duration, err error) {
	for _, event := range []struct {
		name string
		do   func(ctx context.Context) error
	}{
		{"three servers", func(context.Context) error { return nil }},
		{"a server is added", c.addServer},
		{"a server is killed", func(context.Context) error { return c.servers[0].kill() }},
		{"a server is drained", func(context.Context) error { return c.servers[1].terminate() }},
		{"etcd is killed", func(context.Context) error { return c.etcd.kill() }},
		{"etcd is back", c.startEtcd},
		{"another server is added", func(ctx context.Context) error {
			if err := c.addServer(ctx); err != nil {
				return err
			}
			addr, begun := c.servers[len(c.servers)-1].addr, time.Now()
			err := c.until(ctx, func() bool { return c.table.succeeded(addr) > 0 })
			noticed = time.Since(begun)
			return err
		}},
	} {
		c.table.say(event.name)
		if err := event.do(ctx); err != nil {
			return noticed, fmt.Errorf("%s: %w", event.name, err)
		}
		select {
		case <-ctx.Done():
			return noticed, ctx.Err()
		case <-time.After(c.step):
		}
	}
	return noticed, nil
}

// until waits for a condition, for a minute at most.
func (c *cluster) until(ctx context.Context, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}
