package server_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/server"
)

// A server of frames: each request is answered with one reply.
func Example() {
	srv := &server.Server{
		Handler: server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) {
			return append([]byte("> "), req...), nil
		}),
		MaxConns: 10000,
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	served := make(chan error)
	go func() { served <- srv.Serve(l) }()

	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	w, r := framing.NewWriter(c, framing.Format{}), framing.NewReader(c, framing.Format{})
	if err := errors.Join(w.WriteFrame([]byte("hello")), w.Flush()); err != nil {
		fmt.Println(err)
		return
	}
	reply, err := r.Next()
	fmt.Println(string(reply), err)
	c.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println(srv.Shutdown(ctx))
	fmt.Println(<-served)
	// Output:
	// > hello <nil>
	// <nil>
	// server: closed: use of closed network connection
}

// A handler of another protocol reads and writes the connection itself, with its
// own deadlines, until io.EOF, which is also what it meets when the server drains.
func ExampleHandlerFunc() {
	srv := &server.Server{Handler: server.HandlerFunc(func(_ context.Context, c *conn.Conn) {
		for {
			_ = c.SetReadDeadline(time.Now().Add(time.Minute))
			line, err := c.ReadUntil(nil, []byte("\n"), 1024)
			if err != nil {
				return
			}
			if _, err := c.Write(line); err != nil {
				return
			}
		}
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() { _ = srv.Serve(l) }()

	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	fmt.Fprintln(c, "over and out")
	line, err := bufio.NewReader(c).ReadString('\n')
	fmt.Printf("%q %v\n", line, err)
	fmt.Println(srv.Shutdown(context.Background()))
	_, err = c.Read(make([]byte, 1))
	fmt.Println(err == io.EOF)
	// Output:
	// "over and out\n" <nil>
	// <nil>
	// true
}

// Replies built without allocation are appended to a buffer that is used again;
// errors become replies too. A FrameHandler needs no Server: it serves any
// connection.
func ExampleFrameHandler() {
	h := &server.FrameHandler{
		Format: framing.Format{HeaderSize: 4, MaxSize: 1 << 20},
		Append: func(_ context.Context, dst, req []byte) ([]byte, error) {
			if len(req) == 0 {
				return nil, errors.New("nothing asked")
			}
			return append(append(dst, "you said "...), req...), nil
		},
		ErrorReply:  func(_ context.Context, err error) []byte { return []byte(err.Error()) },
		Concurrency: 8,
		IdleTimeout: time.Minute,
	}
	if err := h.Validate(); err != nil {
		fmt.Println(err)
		return
	}
	client, accepted := net.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		h.ServeConn(context.Background(), conn.New(accepted))
	}()

	w, r := framing.NewWriter(client, h.Format), framing.NewReader(client, h.Format)
	for _, request := range []string{"hello", ""} {
		if err := errors.Join(w.WriteFrame([]byte(request)), w.Flush()); err != nil {
			fmt.Println(err)
			return
		}
		reply, err := r.Next()
		fmt.Println(string(reply), err)
	}
	client.Close()
	<-served
	// Output:
	// you said hello <nil>
	// nothing asked <nil>
}

// The messages of this protocol begin with a number of one byte, by which a client
// finds the request of a reply. ErrorReplyTo puts it into the reply to an error too.
// The Limiter's refusals get their replies in the same way.
func ExampleFrameHandler_errorReplyTo() {
	h := server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) {
		return nil, errors.New("not found")
	})
	h.Limiter = &server.Limiter{Max: 100}
	h.ErrorReplyTo = func(_ context.Context, req []byte, err error) []byte {
		if len(req) == 0 {
			return nil // no number: the error ends the connection
		}
		return append(req[:1], err.Error()...)
	}
	srv := &server.Server{Handler: h}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() { _ = srv.Serve(l) }()
	defer srv.Close()

	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	if _, err := c.Write([]byte("\x00\x05\x07user")); err != nil {
		fmt.Println(err)
		return
	}
	reply, err := framing.NewReader(c, framing.Format{}).Next()
	fmt.Println(reply[0], string(reply[1:]), err)
	// Output: 7 not found <nil>
}
