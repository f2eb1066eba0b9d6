// Command server replies to each request with its text in upper case.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
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
	cert, err := tls.LoadX509KeyPair("cert.pem", "key.pem")
	if err != nil {
		log.Fatal(err)
	}
	srv := newServer()
	srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
	log.Fatal(srv.Serve(l))
}

// format is the same in the server and in the client.
var format = framing.Format{MaxSize: 1024} // no message is longer

// newServer returns a server with limits.
func newServer() *server.Server {
	frames := server.Frames(format, shout)
	frames.Limiter = &server.Limiter{Max: 100}                      // requests at once
	frames.ErrorReply = func(_ context.Context, err error) []byte { // what a client reads for an error
		return []byte("error: " + err.Error())
	}
	return &server.Server{
		Handler:       frames,
		MaxConns:      1000, // connections at once
		MaxConnsPerIP: 100,  // of one client
	}
}

// shout is the service: a request comes in, the reply goes out.
func shout(_ context.Context, request []byte) ([]byte, error) {
	if len(request) == 0 {
		return nil, errors.New("nothing to shout")
	}
	return bytes.ToUpper(request), nil
}
