package conn_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// A Dialer connects within its Timeout, to a peer that speaks in lines here.
func ExampleDialer() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			fmt.Fprint(c, "220 ready\r\n250 ok\r\n")
			c.Close()
		}
	}()

	d := conn.Dialer{Timeout: 5 * time.Second}
	c, err := d.Dial(context.Background(), "tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	for {
		line, err := c.ReadUntil(nil, []byte("\r\n"), 512)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%q\n", line)
	}
	// Output:
	// "220 ready\r\n"
	// "250 ok\r\n"
	// EOF
}

// An Error says whether the operation may be repeated. One that timed out while
// it read has sent nothing twice: the connection goes on.
func ExampleError() {
	client, peer := net.Pipe()
	defer peer.Close()
	c := conn.New(client)
	defer c.Close()

	if err := c.SetReadDeadline(time.Now()); err != nil {
		log.Fatal(err)
	}
	_, err := c.Read(make([]byte, 1))
	var e *conn.Error
	if errors.As(err, &e) {
		fmt.Println(e.Op, e.Timeout(), e.Written, c.Err())
	}
	// Output: read true 0 <nil>
}
