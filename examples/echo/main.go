// Command echo is the facade's main job in one file: a server that replies "> "
// and what it received, and a client that once a second takes a connection from
// the pool, sends a request, and prints the reply with both addresses. Look at the
// local port: it stays the same from line to line, because one connection serves
// every round. The server runs in the same process, on port 8999.
//
//	go run ./examples/echo -n 3
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
	"time"

	"github.com/seed-99d6a01a/gtcp"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	switch err := run(ctx, os.Args[1:], os.Stdout); {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "echo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("echo", flag.ContinueOnError)
	addr := flags.String("addr", "127.0.0.1:8999", "`address` to serve on; port 0 takes a free one")
	rounds := flags.Int("n", 0, "`rounds` to make; 0 goes on until Ctrl-C")
	interval := flags.Duration("interval", time.Second, "`time` between rounds")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *rounds < 0 || *interval < 0 {
		return fmt.Errorf("-n %d and -interval %s must not be negative", *rounds, *interval)
	}

	server := gtcp.NewServer(*addr, answer)
	served := make(chan error, 1)
	var running sync.WaitGroup
	running.Go(func() { served <- server.Run() })
	defer running.Wait()
	defer server.Close()
	for server.GetListenedPort() < 0 {
		select {
		case err := <-served:
			return err
		case <-time.After(time.Millisecond):
		}
	}

	for round := 1; ; round++ {
		if err := ask(server.GetListenedAddress(), out); err != nil {
			return err
		}
		if round == *rounds {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-served:
			return err
		case <-time.After(*interval):
		}
	}
}

// answer replies on one connection until its client closes it.
func answer(c *gtcp.Conn) {
	defer c.Close()
	for {
		data, err := c.Recv(-1)
		if err != nil {
			return
		}
		if err := c.Send(append([]byte("> "), data...)); err != nil {
			return
		}
	}
}

// ask is one round of the client. Close gives the connection back to its pool.
func ask(addr string, out io.Writer) error {
	c, err := gtcp.NewPoolConn(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	reply, err := c.SendRecv([]byte(time.Now().Format(time.DateTime)), -1)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, string(reply), c.LocalAddr(), c.RemoteAddr())
	return err
}
