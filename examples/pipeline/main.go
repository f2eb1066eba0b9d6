// Command pipeline lets many callers share one connection. It starts a server
// of gtcp's package protocol, calls it from -callers goroutines by way of a
// shared Client, and prints how few connections and writes that took. One in
// ten calls is given up at once: its reply, when it comes, is nobody else's. Look
// at the number of connections, and at how many requests went into each write.
//
//	go run ./examples/pipeline -callers 256
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/server"
)

func main() {
	callers := flag.Int("callers", 256, "goroutines that call")
	calls := flag.Int("calls", 1000, "calls of each")
	flag.Parse()
	if err := run(context.Background(), *callers, *calls, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "pipeline:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, callers, calls int, out io.Writer) (err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &server.Server{Handler: &server.FrameHandler{Append: handle}}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	defer func() {
		err = errors.Join(err, srv.Shutdown(ctx))
		<-served
	}()

	client := gtcp.NewClient(l.Addr().String(), gtcp.ClientConfig{Shared: true})
	defer func() { err = errors.Join(err, client.Shutdown(ctx)) }()

	var replies, givenUp atomic.Int64
	failures := make(chan error, callers)
	begun := time.Now()
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			var request, reply []byte
			for i := range calls {
				request = fmt.Appendf(request[:0], "%d/%d", caller, i)
				var err error
				reply, err = call(ctx, client, reply[:0], request, i%10 == 9)
				switch {
				case errors.Is(err, context.Canceled):
					givenUp.Add(1)
				case err != nil:
					failures <- err
					return
				case string(reply) != "> "+string(request):
					failures <- fmt.Errorf("asked %s, got %s", request, reply)
					return
				default:
					replies.Add(1)
				}
			}
		})
	}
	wg.Wait()
	close(failures)
	for err := range failures {
		return err
	}
	s := client.Stat().Pipeline
	fmt.Fprintf(out, "replies %d, given up %d, connections %d\n", replies.Load(), givenUp.Load(), s.Dials)
	fmt.Fprintf(out, "%.0f calls a second, %.1f in each write\n",
		float64(replies.Load())/time.Since(begun).Seconds(), float64(s.Calls)/float64(s.Writes))
	return nil
}

// call makes a call and, if so asked, gives it up while it is under way.
func call(ctx context.Context, client *gtcp.Client, reply, request []byte, giveUp bool) ([]byte, error) {
	if giveUp {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		go cancel()
	}
	return client.AppendCall(ctx, reply, request)
}

func handle(_ context.Context, dst, req []byte) ([]byte, error) {
	return append(append(dst, "> "...), req...), nil
}
