// Command observe is a program that can be seen from all sides: by Prometheus,
// by OpenTelemetry with metrics and traces, and on the debug page. It has a
// server, three clients, a pool and a pipeline, and calls itself all the time. Look
// at newProgram, where each of them is attached to what observes it.
//
//	cd examples/observe && go run .
//
// It prints the addresses of its pages and runs until it is interrupted, or for
// -for.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"
)

func main() {
	addr := flag.String("http", "127.0.0.1:8080", "address of the pages")
	length := flag.Duration("for", 0, "how long to run, 0 until it is interrupted")
	pause := flag.Duration("pause", 10*time.Millisecond, "pause of a caller between two calls")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *length > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *length)
		defer cancel()
	}
	if err := run(ctx, *addr, *pause, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "observe:", err)
		os.Exit(1)
	}
}

// run runs the program and its pages until ctx ends.
func run(ctx context.Context, addr string, pause time.Duration, out io.Writer) (err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	p, err := newProgram()
	if err != nil {
		return errors.Join(err, l.Close())
	}
	pages := &http.Server{Handler: p.pages(), ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- pages.Serve(l) }()
	defer func() {
		err = errors.Join(err, pages.Close())
		if stopped := <-served; !errors.Is(stopped, http.ErrServerClosed) {
			err = errors.Join(err, stopped)
		}
	}()
	for _, page := range pageList {
		fmt.Fprintf(out, "http://%s%s  %s\n", l.Addr(), page[0], page[1])
	}
	return p.run(ctx, pause)
}

// pageList are the pages, with what they are.
var pageList = [][2]string{
	{"/metrics", "for Prometheus, from promgtcp"},
	{"/otel/metrics", "for Prometheus, from OpenTelemetry"},
	{"/traces", "the last traces, as trees"},
	{"/debug/gtcp/", "the debug page"},
}
