// Command server serves frames until it is told to stop (Ctrl-C or SIGTERM), and
// then shuts down without losing a request: it replies to those it has received,
// and only then are their connections closed. Look at run: it stops the server in
// three steps, and prints what it drains.
//
//	go run ./examples/server -addr 127.0.0.1:8999
//	go run ./examples/call -addr 127.0.0.1:8999 hello # in another terminal
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/server"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8999", "address to listen on; port 0 takes a free one")
	drain := flag.Duration("drain", 10*time.Second, "how long requests in progress may take at the end")
	work := flag.Duration("work", 100*time.Millisecond, "how long a request takes")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr, *work, *drain, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

// run serves on addr until ctx ends, then drains.
func run(ctx context.Context, addr string, work, drain time.Duration, out io.Writer) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	srv := &server.Server{
		Handler:       handler(work),
		MaxConns:      10000,
		MaxConnsPerIP: 1000,
		IPv6Prefix:    64,
		Logger:        slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	fmt.Fprintln(out, "serving on", l.Addr())

	select {
	case err := <-served: // the listener is broken
		return errors.Join(err, srv.Close())
	case <-ctx.Done():
	}
	st := srv.Stat()
	fmt.Fprintf(out, "draining %d connections, %d of them busy\n", st.Open, st.Active)
	limit, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	if err := srv.Shutdown(limit); err != nil {
		return fmt.Errorf("cut off after %v: %w", drain, err)
	}
	<-served
	fmt.Fprintf(out, "served %d requests, lost none\n", srv.Stat().Requests)
	return nil
}

// handler replies to a request after the time it takes, up to four of a connection
// at once, always in order.
func handler(work time.Duration) *server.FrameHandler {
	h := server.Frames(framing.Format{}, func(ctx context.Context, req []byte) ([]byte, error) {
		select {
		case <-time.After(work):
			return append([]byte("> "), req...), nil
		case <-ctx.Done(): // the drain took too long
			return nil, ctx.Err()
		}
	})
	h.Concurrency = 4
	return h
}
