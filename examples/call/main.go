// Command call is where a new program starts: a server of frames, and a Client
// that calls it with a limit on the time. It prints the reply to each word it is
// given. Look at call: it shows what an error tells.
//
//	go run ./examples/call one two three
//
// Without -addr it starts a server of its own, and says so. With -addr it calls
// a server that runs already, such as examples/server; with -shared all calls
// share one connection.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/retry"
	"github.com/seed-99d6a01a/gtcp/server"
)

func main() {
	addr := flag.String("addr", "", "`address` of a server; empty starts one here")
	shared := flag.Bool("shared", false, "let all calls share one connection")
	flag.Parse()
	words := flag.Args()
	if len(words) == 0 {
		words = []string{"one", "two", "three"}
	}
	if err := run(context.Background(), *addr, *shared, words, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "call:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, addr string, shared bool, words []string, out io.Writer) (err error) {
	if addr == "" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		srv := &server.Server{Handler: server.Frames(framing.Format{}, handle)}
		served := make(chan error, 1)
		go func() { served <- srv.Serve(l) }()
		defer func() {
			_ = srv.Close()
			<-served
		}()
		addr = l.Addr().String()
		fmt.Fprintln(out, "no -addr: started a server here")
	}

	client := gtcp.NewClient(addr, gtcp.ClientConfig{Shared: shared})
	defer func() { err = errors.Join(err, client.Close()) }()
	for _, word := range words {
		reply, err := call(ctx, client, word)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, reply)
	}
	return nil
}

// handle is the whole of the server: the reply to one request.
func handle(_ context.Context, req []byte) ([]byte, error) {
	return append([]byte("> "), req...), nil
}

// call asks once, in a second at most, and says of an error what a caller wants
// to know. Any other error leaves open whether the server has seen the request.
func call(ctx context.Context, client *gtcp.Client, word string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	reply, err := client.Call(ctx, []byte(word))
	switch {
	case err == nil:
		return string(reply), nil
	case retry.SafeToRetry(err):
		return "", fmt.Errorf("the server has not seen the request: %w", err)
	case errors.Is(err, context.DeadlineExceeded):
		return "", fmt.Errorf("no reply within a second: %w", err)
	default:
		return "", err
	}
}
