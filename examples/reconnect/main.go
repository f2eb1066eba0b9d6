// Command reconnect shows what a pooled connection does when its server closes it
// after each reply. The connection goes back to the pool in good health. Its peer
// closes it there, and the next round reads EOF. After that error Close does not
// keep it, so the round after has a new connection and a new port.
//
// With -probe the pool checks an idle connection before it returns it, and no EOF
// is seen. Look at the ports: each line has another one. The server runs in the
// same process, on port 8999.
//
//	go run ./examples/reconnect -n 4 -probe
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
		fmt.Fprintln(os.Stderr, "reconnect:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("reconnect", flag.ContinueOnError)
	addr := flags.String("addr", "127.0.0.1:8999", "`address` to serve on; port 0 takes a free one")
	rounds := flags.Int("n", 0, "`rounds` to make; 0 goes on until Ctrl-C")
	interval := flags.Duration("interval", time.Second, "`time` between rounds")
	probe := flags.Bool("probe", false, "look at a pooled connection before it is used")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *rounds < 0 || *interval < 0 {
		return fmt.Errorf("-n %d and -interval %s must not be negative", *rounds, *interval)
	}

	closed := make(chan struct{}, 1)
	server := gtcp.NewServer(*addr, func(c *gtcp.Conn) { answerOnce(c, closed) })
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
	if err := gtcp.ConfigurePools(gtcp.PoolOptions{Probe: *probe}, server.GetListenedAddress()); err != nil {
		return err
	}

	for round := 1; ; round++ {
		if err := ask(server.GetListenedAddress(), out, closed); err != nil {
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

// answerOnce replies to one request, closes the connection and says so.
func answerOnce(c *gtcp.Conn, closed chan<- struct{}) {
	data, err := c.Recv(-1)
	if err == nil {
		err = c.Send(append([]byte("> "), data...))
	}
	c.Close()
	if err != nil {
		return
	}
	select {
	case closed <- struct{}{}:
	default:
	}
}

// ask is one round of the client: it prints the reply, or the error in its
// place. After a reply it waits until the server has closed its side, so
// that the rounds come out the same on every machine.
func ask(addr string, out io.Writer, closed <-chan struct{}) error {
	c, err := gtcp.NewPoolConn(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	reply, err := c.SendRecv([]byte(time.Now().Format(time.DateTime)), -1)
	if err != nil {
		_, err = fmt.Fprintln(out, err)
		return err
	}
	<-closed
	_, err = fmt.Fprintln(out, string(reply), c.LocalAddr(), c.RemoteAddr())
	return err
}
