// Command proxyproto serves behind a load balancer that speaks the PROXY protocol
// (HAProxy's, versions 1 and 2): the handler, the log and MaxConnsPerIP see the
// client's address, not the balancer's. Look at behindProxy: the server takes any
// net.Listener, so a wrapped listener is all it needs.
//
//	cd examples/listeners && go run ./proxyproto
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/server"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8999", "address to listen on")
	flag.Parse()
	l, err := net.Listen("tcp", *addr)
	if err == nil {
		err = newServer().Serve(behindProxy(l))
	}
	fmt.Fprintln(os.Stderr, "proxyproto:", err)
	os.Exit(1)
}

// behindProxy takes each connection's addresses from its PROXY header, and refuses
// one without. The header is read when the address is first asked for, which the
// server does apart from its accept loop.
func behindProxy(l net.Listener) net.Listener {
	return &proxyproto.Listener{
		Listener:          l,
		ReadHeaderTimeout: 5 * time.Second,
		ConnPolicy: func(proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
			return proxyproto.REQUIRE, nil
		},
	}
}

// newServer replies to each request with the client's address.
func newServer() *server.Server {
	return &server.Server{
		MaxConnsPerIP: 1,
		Handler: server.Frames(framing.Format{}, func(ctx context.Context, _ []byte) ([]byte, error) {
			return []byte(server.ConnFromContext(ctx).RemoteAddr().String()), nil
		}),
	}
}
