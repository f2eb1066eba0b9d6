package gtcp_test

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/retry"
	"github.com/seed-99d6a01a/gtcp/server"
)

// exampleServer replies to each package with "> " and the package.
func exampleServer() (addr string, stop func() error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	srv := &server.Server{Handler: server.Frames(framing.Format{},
		func(_ context.Context, req []byte) ([]byte, error) { return append([]byte("> "), req...), nil })}
	go func() { _ = srv.Serve(l) }()
	return l.Addr().String(), srv.Close
}

func ExampleClient() {
	addr, stop := exampleServer()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()

	client := gtcp.NewClient(addr, gtcp.ClientConfig{})
	defer client.Close()
	reply, err := client.Call(ctx, []byte("hello"))
	fmt.Println(string(reply), err)
	// Output: > hello <nil>
}

// Many callers share a few connections, and repeat what they may.
func ExampleClient_shared() {
	addr, stop := exampleServer()
	defer stop()
	ctx := context.Background()

	client := gtcp.NewClient(addr, gtcp.ClientConfig{
		Shared: true,
		Retry:  retry.Policy{MaxAttempts: 5, Budget: &retry.Budget{}},
	})
	defer client.Close()

	// Reading twice does no harm, so this call may be repeated even if the
	// server may have seen it.
	buf := make([]byte, 0, 64)
	reply, err := client.CallWith(ctx, buf, []byte("read x"), gtcp.CallOptions{Idempotent: true})
	fmt.Println(string(reply), err)
	// Output: > read x <nil>
}
