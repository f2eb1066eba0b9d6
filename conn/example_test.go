package conn_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// exampleServer answers each connection with one of the functions, in order.
func exampleServer(answers ...func(nc net.Conn)) (addr string, stop func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, answer := range answers {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			answer(nc)
			nc.Close()
		}
	}()
	return l.Addr().String(), func() {
		l.Close()
		<-done
	}
}

func echo(nc net.Conn) { _, _ = io.Copy(nc, nc) }

func silent(nc net.Conn) { _, _ = io.Copy(io.Discard, nc) }

func say(s string) func(net.Conn) {
	return func(nc net.Conn) { _, _ = io.WriteString(nc, s) }
}

func Example() {
	addr, stop := exampleServer(echo)
	defer stop()

	var d conn.Dialer
	c, err := d.Dial(context.Background(), "tcp", addr)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	if _, err := c.Write([]byte("hello\nworld")); err != nil {
		fmt.Println(err)
		return
	}
	line, err := c.ReadUntil(nil, []byte("\n"), 1024)
	fmt.Printf("%q %v\n", line, err)
	rest := make([]byte, 5)
	n, err := c.ReadFull(rest)
	fmt.Printf("%q %v\n", rest[:n], err)
	// Output:
	// "hello\n" <nil>
	// "world" <nil>
}

func ExampleConn_Do() {
	addr, stop := exampleServer(silent)
	defer stop()
	var d conn.Dialer
	c, err := d.Dial(context.Background(), "tcp", addr)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	reply := make([]byte, 4)
	err = c.Do(ctx, func() error {
		if _, err := c.Write([]byte("anybody?")); err != nil {
			return err
		}
		cancel() // the caller gives up, or its deadline passes
		_, err := c.ReadFull(reply)
		return err
	})
	var e *conn.Error
	fmt.Println(errors.Is(err, context.Canceled), errors.As(err, &e), e.Written, e.SafeToRetry())
	fmt.Println(c.Err(), c.Reusable() != nil)
	// Output:
	// true true 8 false
	// <nil> true
}

func ExampleConn_Peek() {
	addr, stop := exampleServer(say("\x05hello\x03you"))
	defer stop()
	var d conn.Dialer
	c, err := d.Dial(context.Background(), "tcp", addr)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	for {
		size, err := c.Peek(1)
		if err != nil {
			fmt.Println(err)
			return
		}
		n := 1 + int(size[0])
		message, err := c.Peek(n)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s\n", message[1:]) // in the connection's own buffer
		if _, err := c.Discard(n); err != nil {
			fmt.Println(err)
			return
		}
	}
	// Output:
	// hello
	// you
	// EOF
}

func ExampleConn_Check() {
	afterAByte := func(answer string) func(net.Conn) {
		return func(nc net.Conn) {
			_, _ = nc.Read(make([]byte, 1))
			_, _ = io.WriteString(nc, answer)
		}
	}
	addr, stop := exampleServer(afterAByte(""), afterAByte("unasked"))
	defer stop()
	var d conn.Dialer
	for range 2 {
		c, err := d.Dial(context.Background(), "tcp", addr)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer c.Close()
		fmt.Println("alive and silent:", c.Check() == nil)
		_, err = c.Write([]byte("x"))
		for err == nil { // until what the peer did has arrived
			err = c.Check()
		}
		switch {
		case errors.Is(err, conn.ErrPeerClosed):
			fmt.Println("closed by the peer")
		case errors.Is(err, conn.ErrUnread):
			fmt.Println("something unread")
		}
	}
	// Output:
	// alive and silent: true
	// closed by the peer
	// alive and silent: true
	// something unread
}

func ExampleConn_Handoff() {
	addr, stop := exampleServer(echo)
	defer stop()
	var d conn.Dialer
	first, err := d.Dial(context.Background(), "tcp", addr)
	if err != nil {
		fmt.Println(err)
		return
	}
	var second conn.Conn
	first.SetMidMessage(true)
	err = first.Handoff(&second)
	fmt.Println("in the middle of a message:", errors.Is(err, conn.ErrMidMessage))
	first.SetMidMessage(false)
	if err := first.Handoff(&second); err != nil {
		fmt.Println(err)
		return
	}
	defer second.Close()
	_, err = first.Write([]byte("x"))
	fmt.Println("the old handle has ended:", errors.Is(err, net.ErrClosed), second.Reusable())
	// Output:
	// in the middle of a message: true
	// the old handle has ended: true <nil>
}

func ExampleNew() {
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		_, _ = io.WriteString(server, "any net.Conn will do")
	}()
	c := conn.New(client)
	defer c.Close()
	_, err := io.Copy(os.Stdout, c)
	fmt.Println("", err)
	// Output: any net.Conn will do <nil>
}

func ExampleDialer_Validate() {
	d := conn.Dialer{LocalAddr: &net.IPAddr{}}
	fmt.Println(d.Validate())
	// Output: conn: Dialer.LocalAddr is a *net.IPAddr, neither *net.TCPAddr nor *net.UnixAddr
}
