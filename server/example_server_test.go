package server_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/server"
)

// The limits and the log of a server. The third connection is one too many: it is
// closed as soon as it is accepted.
func ExampleServer() {
	srv := &server.Server{
		Handler: server.HandlerFunc(func(_ context.Context, c *conn.Conn) {
			_, _ = fmt.Fprintln(c, "welcome")
			_, _ = c.Read(make([]byte, 1)) // until the peer leaves
		}),
		MaxConns:      2,
		MaxConnsPerIP: 100,
		Logger:        slog.New(slog.DiscardHandler),
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() { _ = srv.Serve(l) }()

	for range 3 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			log.Fatal(err)
		}
		defer c.Close()
		line, err := bufio.NewReader(c).ReadString('\n')
		fmt.Printf("%q %v\n", line, err)
	}
	stat := srv.Stat()
	fmt.Println(stat.Accepted, "accepted,", stat.RefusedMaxConns, "refused")
	if err := srv.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// "welcome\n" <nil>
	// "welcome\n" <nil>
	// "" EOF
	// 3 accepted, 1 refused
}

// Shutdown lets a request in progress end: its reply reaches the client. Serve
// has returned by then, with ErrServerClosed.
func ExampleServer_Shutdown() {
	began := make(chan struct{})
	srv := &server.Server{Handler: server.Frames(framing.Format{},
		func(ctx context.Context, req []byte) ([]byte, error) {
			close(began)
			<-server.Draining(ctx) // a request that takes until then
			return req, nil
		})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()

	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("\x00\x04last")); err != nil {
		log.Fatal(err)
	}
	<-began

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- srv.Shutdown(ctx) }()
	reply, err := framing.NewReader(c, framing.Format{}).Next()
	fmt.Println(string(reply), err)
	c.Close()
	fmt.Println(<-stopped, errors.Is(<-served, server.ErrServerClosed))
	// Output:
	// last <nil>
	// <nil> true
}

// A frame handler asks for its connection to learn who is asking.
func ExampleConnFromContext() {
	h := server.Frames(framing.Format{}, func(ctx context.Context, req []byte) ([]byte, error) {
		return []byte(server.ConnFromContext(ctx).RemoteAddr().Network()), nil
	})
	srv := &server.Server{Handler: h}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() { _ = srv.Serve(l) }()
	defer srv.Close()

	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("\x00\x01?")); err != nil {
		log.Fatal(err)
	}
	reply, err := framing.NewReader(c, framing.Format{}).Next()
	fmt.Println(string(reply), err)
	// Output: tcp <nil>
}
