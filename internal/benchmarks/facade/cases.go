package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"

	gf "github.com/gogf/gf/v2/net/gtcp"

	ours "github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/compare"
	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/loopback"
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

// cases are in the order in which they are reported.
func cases() []versus {
	var all []versus
	for _, callers := range []int{1, 32, 256} {
		all = append(all, versus{
			title: fmt.Sprintf("NewPoolConn, SendRecvPkg of 64 B, Close; callers: %d", callers),
			times: 2, // for many callers need a while until all have a connection
			often: 2, // and their turns differ
			ours:  func() (func(int) error, error) { return pooled(ours.NewPoolConn, callers) },
			gtcp:  func() (func(int) error, error) { return pooled(gf.NewPoolConn, callers) },
			goals: []compare.Goal{allocs(2), slower("no slower", 1)},
		})
	}
	for _, size := range []int{64, 1<<16 - 1} {
		of := strconv.Itoa(size) + " B"
		all = append(all,
			both("SendPkg of "+of, sink,
				func(c *ours.Conn) func() error { return sendPkg(c, size) },
				func(c *gf.Conn) func() error { return sendPkg(c, size) }, allocs(1), slower("faster", 0.99)),
			both("RecvPkg of "+of, source(pkg(size)),
				func(c *ours.Conn) func() error { return recvPkg(c, size) },
				func(c *gf.Conn) func() error { return recvPkg(c, size) }, allocs(1), slower("faster", 0.99)),
			both("SendRecvPkg of "+of, loopback.Echo,
				func(c *ours.Conn) func() error { return sendRecvPkg(c, size) },
				func(c *gf.Conn) func() error { return sendRecvPkg(c, size) }))
	}
	for _, size := range []int{100, 1 << 10, 64 << 10} {
		all = append(all, both(fmt.Sprintf("RecvLine of %d B", size), source(line(size)),
			func(c *ours.Conn) func() error { return recvLine(c, size) },
			func(c *gf.Conn) func() error { return recvLine(c, size) }, faster(15)))
	}
	const stream = 16 << 20
	return append(all, both("Recv(-1) of 16 MiB", burst(stream),
		func(c *ours.Conn) func() error { return recvAll(c, stream) },
		func(c *gf.Conn) func() error { return recvAll(c, stream) }, faster(4)))
}

func allocs(most float64) compare.Goal {
	return compare.Goal{Ref: "4.3", Says: fmt.Sprintf("allocations: at most %v", most), Of: facade, Allocs: true, Want: compare.AtMost(most)}
}

func slower(says string, most float64) compare.Goal {
	return compare.Goal{Ref: "4.3", Says: says, Of: facade, To: []string{gtcp}, Want: compare.AtMost(most)}
}

func faster(times float64) compare.Goal {
	return compare.Goal{Ref: "4.3", Says: fmt.Sprintf("at least %v times as fast", times), Of: gtcp, To: []string{facade}, Want: compare.AtLeast(times)}
}

// pooled is the whole life of a pooled connection, by several callers.
func pooled[C client[O, R], O, R, T any](newPoolConn func(string, ...T) (C, error), callers int) (func(int) error, error) {
	addr, err := loopback.Serve(loopback.Echo)
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
	return compare.Callers(callers, func(n int) error { return repeat(n, call) }), nil
}

// both is a case on one connection of each package.
func both(title string, server func(net.Conn),
	ourOp func(*ours.Conn) func() error, theirOp func(*gf.Conn) func() error, goals ...compare.Goal) versus {
	return versus{title, 1, 1, goals,
		func() (func(int) error, error) { return single(server, ours.NewConnByNetConn, ourOp) },
		func() (func(int) error, error) { return single(server, gf.NewConnByNetConn, theirOp) }}
}

func single[C any](server func(net.Conn), wrap func(net.Conn) C, op func(C) func() error) (func(int) error, error) {
	addr, err := loopback.Serve(server)
	if err != nil {
		return nil, err
	}
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	step := op(wrap(nc))
	return func(n int) error { return repeat(n, step) }, nil
}

func repeat(n int, f func() error) error {
	for range n {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
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
