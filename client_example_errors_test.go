package gtcp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/retry"
)

// A CallError says whether the server may have seen the request. Here it has, and
// the client repeats nothing unless it is told that twice does no harm.
func ExampleCallError() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			_, _ = io.ReadFull(c, make([]byte, len("\x00\x05hello")))
			c.Close() // without a reply
		}
	}()

	client := gtcp.NewClient(l.Addr().String(), gtcp.ClientConfig{})
	defer client.Close()
	_, err = client.Call(context.Background(), []byte("hello"))
	var e *gtcp.CallError
	if errors.As(err, &e) {
		fmt.Println(e.Written, retry.SafeToRetry(err))
	}
	// Output: true false
}
