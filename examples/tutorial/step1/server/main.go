// Command server replies to each request with its text in upper case.
package main

import (
	"bytes"
	"context"
	"flag"
	"log"
	"net"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/server"
)

func main() {
	log.SetFlags(0)
	addr := flag.String("addr", "127.0.0.1:7001", "address to listen on")
	flag.Parse()

	l, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Println("serving on", l.Addr())
	srv := newServer()
	log.Fatal(srv.Serve(l))
}

// newServer returns a server whose messages are frames.
func newServer() *server.Server {
	return &server.Server{Handler: server.Frames(framing.Format{}, shout)}
}

// shout is the service: a request comes in, the reply goes out.
func shout(_ context.Context, request []byte) ([]byte, error) {
	return bytes.ToUpper(request), nil
}
