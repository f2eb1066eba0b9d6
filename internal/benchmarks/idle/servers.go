package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"sync"

	"github.com/gogf/gf/v2/net/gtcp"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
)

// servers are the contestants. Each serves for ever, one goroutine to a
// connection, parked in a read between frames.
var servers = []struct {
	name  string
	serve func(l net.Listener) error
}{
	{"conn+framing", serveOurs},
	{"  own Writer", serveOursOwnWriter},
	{"gtcp", serveGtcp},
	{"bare net", serveBare},
}

// runServer serves until its standard input ends.
func runServer(name string) error {
	for _, s := range servers {
		if s.name != name {
			continue
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		if name == "gtcp" { // it can only listen for itself
			return errors.Join(l.Close(), runGtcp(l.Addr().String()))
		}
		fmt.Println(l.Addr())
		failed := make(chan error, 1)
		go func() { failed <- s.serve(l) }()
		return obey(failed)
	}
	return fmt.Errorf("no server named %q", name)
}

// obey answers the parent's commands.
func obey(failed <-chan error) error {
	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		select {
		case err := <-failed:
			return err
		default:
		}
		runtime.GC()
		debug.FreeOSMemory()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Println(m.StackInuse)
	}
	return commands.Err()
}

func acceptEach(l net.Listener, serve func(net.Conn)) error {
	for {
		nc, err := l.Accept()
		if err != nil {
			return err
		}
		go serve(nc)
	}
}

// writers are shared, for a Writer has no use between frames.
var writers = sync.Pool{New: func() any { return framing.NewWriter(nil, framing.Format{}) }}

// serveOurs is the frame loop of a server that means to hold many connections.
func serveOurs(l net.Listener) error {
	return acceptEach(l, func(nc net.Conn) {
		c := conn.New(nc)
		defer c.Close()
		r := framing.NewReader(c, framing.Format{})
		for {
			frame, err := r.Next()
			if err != nil {
				return
			}
			w := writers.Get().(*framing.Writer)
			w.Reset(c)
			if w.WriteFrame(frame) != nil || w.Flush() != nil {
				return
			}
			w.Reset(nil)
			writers.Put(w)
		}
	})
}

// serveOursOwnWriter is the same loop in its plainest form.
func serveOursOwnWriter(l net.Listener) error {
	return acceptEach(l, func(nc net.Conn) {
		c := conn.New(nc)
		defer c.Close()
		r := framing.NewReader(c, framing.Format{})
		w := framing.NewWriter(c, framing.Format{})
		for {
			frame, err := r.Next()
			if err != nil {
				return
			}
			if w.WriteFrame(frame) != nil || w.Flush() != nil {
				return
			}
		}
	})
}

// serveBare is the least a program with a goroutine to a connection can do: no
// layers, and a buffer that is made for each frame and kept for none.
func serveBare(l net.Listener) error {
	return acceptEach(l, func(nc net.Conn) {
		defer nc.Close()
		header := make([]byte, 2)
		for {
			if _, err := io.ReadFull(nc, header); err != nil {
				return
			}
			frame := make([]byte, 2+binary.BigEndian.Uint16(header))
			copy(frame, header)
			if _, err := io.ReadFull(nc, frame[2:]); err != nil {
				return
			}
			if _, err := nc.Write(frame); err != nil {
				return
			}
		}
	})
}

func serveGtcp(net.Listener) error { return errors.New("gtcp listens for itself") }

func runGtcp(addr string) error {
	s := gtcp.NewServer(addr, func(c *gtcp.Conn) {
		defer c.Close()
		for {
			data, err := c.RecvPkg()
			if err != nil {
				return
			}
			if c.SendPkg(data) != nil {
				return
			}
		}
	})
	failed := make(chan error, 1)
	go func() { failed <- s.Run() }()
	for s.GetListenedPort() <= 0 {
		runtime.Gosched()
	}
	fmt.Println(addr)
	return obey(failed)
}
