package gtcp_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/balance"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
	"github.com/seed-99d6a01a/gtcp/pool/slotpool"
)

// serve starts a server on a free port and returns it with its address.
func serve(handler func(*gtcp.Conn)) (*gtcp.Server, string) {
	server := gtcp.NewServer("127.0.0.1:0", handler)
	go server.Run()
	for server.GetListenedPort() < 0 {
		time.Sleep(time.Millisecond)
	}
	return server, server.GetListenedAddress()
}

func ExampleNewPoolConn() {
	server, addr := serve(func(c *gtcp.Conn) {
		defer c.Close()
		for {
			data, err := c.Recv(-1)
			if err != nil {
				return
			}
			c.Send(append([]byte("> "), data...))
		}
	})
	defer server.Close()

	ports := map[string]bool{}
	for _, word := range []string{"one", "two", "three"} {
		c, err := gtcp.NewPoolConn(addr)
		if err != nil {
			fmt.Println(err)
			return
		}
		reply, err := c.SendRecv([]byte(word), -1)
		if err != nil {
			fmt.Println(err)
		}
		ports[c.LocalAddr().String()] = true
		c.Close() // back to the pool
		fmt.Println(string(reply))
	}
	fmt.Println("connections:", len(ports))
	// Output:
	// > one
	// > two
	// > three
	// connections: 1
}

func ExampleConn_SendRecvPkg() {
	server, addr := serve(func(c *gtcp.Conn) {
		defer c.Close()
		for {
			data, err := c.RecvPkg()
			if err != nil {
				return
			}
			c.SendPkg(append([]byte("got "), data...))
		}
	})
	defer server.Close()

	c, err := gtcp.NewConn(addr)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	reply, err := c.SendRecvPkg([]byte("a package"))
	fmt.Println(string(reply), err)
	_, err = c.SendRecvPkg(make([]byte, 70000))
	fmt.Println(err)
	// Output:
	// got a package <nil>
	// data too long, data size 70000 exceeds allowed max data size 65535
}

func ExampleConn_RecvLine() {
	server, addr := serve(func(c *gtcp.Conn) {
		defer c.Close()
		c.Send([]byte("first\nsecond\nand no more"))
	})
	defer server.Close()

	c, err := gtcp.NewConn(addr)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	for {
		line, err := c.RecvLine()
		fmt.Printf("%q %v\n", line, err)
		if err == io.EOF {
			return
		}
	}
	// Output:
	// "first" <nil>
	// "second" <nil>
	// "and no more" EOF
}

func ExampleConfigurePools() {
	// For all addresses: look at a connection before it is inUse.
	if err := gtcp.ConfigurePools(gtcp.PoolOptions{Probe: true}); err != nil {
		fmt.Println(err)
	}
	// For one: at most 8 connections, kept by the fast backend.
	err := gtcp.ConfigurePools(gtcp.PoolOptions{
		Backend:  slotpool.Open[*pool.Member],
		MaxConns: 8,
		Probe:    true,
	}, "127.0.0.1:8999")
	fmt.Println(err)
	_ = gtcp.ConfigurePools(gtcp.PoolOptions{}) // as it was
	// Output: <nil>
}

// One address for a service of three servers, which NewPoolConn takes in turn.
func ExampleConfigureResolver() {
	var addrs []string
	for range 3 {
		server, addr := serve(func(c *gtcp.Conn) {
			defer c.Close()
			for {
				data, err := c.RecvPkg()
				if err != nil || c.SendPkg(data) != nil {
					return
				}
			}
		})
		defer server.Close()
		addrs = append(addrs, addr)
	}
	if err := gtcp.ConfigureResolver("orders", resolve.Addrs(addrs...), balance.RoundRobin); err != nil {
		fmt.Println(err)
		return
	}
	defer gtcp.ConfigureResolver("orders", nil, nil) // before the servers end

	used := map[string]bool{}
	for range 3 {
		c, err := gtcp.NewPoolConn("orders")
		if err != nil {
			fmt.Println(err)
			return
		}
		defer c.Close()
		reply, err := c.SendRecvPkg([]byte("hello"))
		if err != nil {
			fmt.Println(err)
			return
		}
		used[c.RemoteAddr().String()] = true
		fmt.Printf("%s\n", reply)
	}
	fmt.Println(len(used), "servers")
	// Output:
	// hello
	// hello
	// hello
	// 3 servers
}

func ExampleServer_Run() {
	server, addr := serve(func(c *gtcp.Conn) { c.Close() })
	busy := gtcp.NewServer(addr, func(c *gtcp.Conn) { c.Close() })
	fmt.Println(busy.Run() != nil, busy.GetListenedPort())

	server.Close()
	fmt.Println(errors.Is(server.Run(), net.ErrClosed))
	// Output:
	// true -1
	// true
}
