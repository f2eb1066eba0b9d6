package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"

	gf "github.com/gogf/gf/v2/net/gtcp"

	ours "github.com/seed-99d6a01a/gtcp"
)

// client is what both packages' connections can do.
type client[O, R any] interface {
	SendPkg(data []byte, option ...O) error
	RecvPkg(option ...O) ([]byte, error)
	SendRecvPkg(data []byte, option ...O) ([]byte, error)
	Send(data []byte, retry ...R) error
	Recv(length int, retry ...R) ([]byte, error)
	RecvLine(retry ...R) ([]byte, error)
	Close() error
}

// benches are the cases in the order in which they are reported.
func benches() []bench {
	var all []bench
	for _, callers := range []int{1, 32, 256} {
		name := "NewPoolConn, SendRecvPkg 64 B, Close; " + strconv.Itoa(callers) + " callers"
		all = append(all, bench{name, 4096,
			func() (func(int) error, error) { return pooled(ours.NewPoolConn, callers) },
			func() (func(int) error, error) { return pooled(gf.NewPoolConn, callers) }})
	}
	for _, size := range []int{64, 1<<16 - 1} {
		of := strconv.Itoa(size) + " B"
		all = append(all,
			both("SendPkg "+of, 20*1024*64/size+2000, sink,
				func(c *ours.Conn) func() error { return sendPkg(c, size) },
				func(c *gf.Conn) func() error { return sendPkg(c, size) }),
			both("RecvPkg "+of, 20*1024*64/size+2000, source(pkg(size)),
				func(c *ours.Conn) func() error { return recvPkg(c, size) },
				func(c *gf.Conn) func() error { return recvPkg(c, size) }),
			both("SendRecvPkg "+of, 2000, echo,
				func(c *ours.Conn) func() error { return sendRecvPkg(c, size) },
				func(c *gf.Conn) func() error { return sendRecvPkg(c, size) }))
	}
	for _, size := range []int{100, 1 << 10, 64 << 10} {
		all = append(all, both("RecvLine "+strconv.Itoa(size)+" B", 200+(1<<20)/size, source(line(size)),
			func(c *ours.Conn) func() error { return recvLine(c, size) },
			func(c *gf.Conn) func() error { return recvLine(c, size) }))
	}
	const stream = 16 << 20
	return append(all, both("Recv(-1) of 16 MiB", 1, burst(stream),
		func(c *ours.Conn) func() error { return recvAll(c, stream) },
		func(c *gf.Conn) func() error { return recvAll(c, stream) }))
}

// pooled is the whole life of a pooled connection, by several callers.
func pooled[C client[O, R], O, R, T any](newPoolConn func(string, ...T) (C, error), callers int) (func(int) error, error) {
	addr, err := serve(echo)
	if err != nil {
		return nil, err
	}
	data := make([]byte, 64)
	call := func() error {
		c, err := newPoolConn(addr)
		if err != nil {
			return err
		}
		if answer, err := c.SendRecvPkg(data); err != nil || len(answer) != len(data) {
			return fmt.Errorf("answer of %d bytes: %w", len(answer), err)
		}
		return c.Close()
	}
	return func(n int) error {
		errs := make(chan error, callers)
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				for range n / callers {
					if err := call(); err != nil {
						errs <- err
						return
					}
				}
			})
		}
		wg.Wait()
		select {
		case err := <-errs:
			return err
		default:
			return nil
		}
	}, nil
}

// both is a case on one connection of each package.
func both(name string, ops int, server func(net.Conn),
	ourOp func(*ours.Conn) func() error, theirOp func(*gf.Conn) func() error) bench {
	return bench{name, ops,
		func() (func(int) error, error) { return single(server, ours.NewConnByNetConn, ourOp) },
		func() (func(int) error, error) { return single(server, gf.NewConnByNetConn, theirOp) }}
}

func single[C any](server func(net.Conn), wrap func(net.Conn) C, op func(C) func() error) (func(int) error, error) {
	addr, err := serve(server)
	if err != nil {
		return nil, err
	}
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	step := op(wrap(nc))
	return func(n int) error {
		for range n {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

func sendPkg[C client[O, R], O, R any](c C, size int) func() error {
	data := make([]byte, size)
	return func() error { return c.SendPkg(data) }
}

func recvPkg[C client[O, R], O, R any](c C, size int) func() error {
	return func() error {
		got, err := c.RecvPkg()
		return expect(size, got, err)
	}
}

func sendRecvPkg[C client[O, R], O, R any](c C, size int) func() error {
	data := make([]byte, size)
	return func() error {
		got, err := c.SendRecvPkg(data)
		return expect(size, got, err)
	}
}

func recvLine[C client[O, R], O, R any](c C, size int) func() error {
	return func() error {
		got, err := c.RecvLine()
		return expect(size-1, got, err)
	}
}

// recvAll asks for one burst and takes it in as few calls as it comes in.
func recvAll[C client[O, R], O, R any](c C, size int) func() error {
	return func() error {
		if err := c.Send([]byte{1}); err != nil {
			return err
		}
		for got := 0; got < size; {
			data, err := c.Recv(-1)
			if err != nil {
				return err
			}
			got += len(data)
		}
		return nil
	}
}

func expect(size int, data []byte, err error) error {
	if err == nil && len(data) != size {
		err = fmt.Errorf("%d bytes in place of %d", len(data), size)
	}
	return err
}

// serve runs a plain server for the life of the program.
func serve(handle func(net.Conn)) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go handle(c)
		}
	}()
	return l.Addr().String(), nil
}

// echo sends back what comes.
func echo(c net.Conn) {
	buf := make([]byte, 1<<17)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}

// sink swallows what comes.
func sink(c net.Conn) {
	buf := make([]byte, 1<<20)
	for {
		if _, err := c.Read(buf); err != nil {
			return
		}
	}
}

// source sends the same bytes for ever, many copies at a time.
func source(unit []byte) func(net.Conn) {
	chunk := bytes.Repeat(unit, 1+(256<<10)/len(unit))
	return func(c net.Conn) {
		for {
			if _, err := c.Write(chunk); err != nil {
				return
			}
		}
	}
}

// burst sends size bytes for each byte that comes.
func burst(size int) func(net.Conn) {
	chunk := make([]byte, size)
	return func(c net.Conn) {
		for {
			if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
				return
			}
			if _, err := c.Write(chunk); err != nil {
				return
			}
		}
	}
}

func pkg(size int) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(size)), make([]byte, size)...)
}

func line(size int) []byte { return append(bytes.Repeat([]byte("x"), size-1), '\n') }
