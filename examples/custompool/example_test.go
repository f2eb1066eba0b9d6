package custompool_test

import (
	"context"
	"fmt"
	"io"
	"net"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/examples/custompool"
	"github.com/seed-99d6a01a/gtcp/pool"
)

// Three connections take turns, though one at a time would do.
func Example() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); _, _ = io.Copy(c, c) }()
		}
	}()

	ctx := context.Background()
	p, err := pool.New(conn.Target{Address: l.Addr().String()}, pool.Config{
		Backend: custompool.Open[*pool.Member],
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()

	number := make(map[string]int) // of a connection, by its address
	var held []*pool.Conn
	for range 3 {
		c, err := p.Get(ctx)
		if err != nil {
			fmt.Println(err)
			return
		}
		number[c.LocalAddr().String()] = len(number) + 1
		held = append(held, c)
	}
	for _, c := range held {
		c.Close()
	}
	for range 6 {
		err := p.Do(ctx, func(c *pool.Conn) error {
			fmt.Print(number[c.LocalAddr().String()], " ")
			return nil
		})
		if err != nil {
			fmt.Println(err)
		}
	}
	// Output: 1 2 3 1 2 3
}
