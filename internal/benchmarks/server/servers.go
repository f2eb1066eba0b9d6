package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"sync"

	"github.com/cloudwego/netpoll"
	"github.com/gogf/gf/v2/net/gtcp"
	"github.com/panjf2000/gnet/v2"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/server"
)

// beServer runs one server, tells its address on standard output, and obeys
// standard input until it ends.
func beServer(name string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	addr := l.Addr().String()
	serve := map[string]func(net.Listener) error{
		"ours":              serveOurs,
		"gtcp":              serveGtcp,
		"netpoll":           serveNetpoll(false),
		"netpoll-coalesced": serveNetpoll(true),
		"gnet":              serveGnet,
		"hand-written":      serveHandWritten,
	}[name]
	if serve == nil {
		must(fmt.Errorf("unknown server %q", name))
	}
	go func() { must(serve(l)) }()
	fmt.Println(addr)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		debug.FreeOSMemory()
		fmt.Println("collected")
	}
}

// handle is the request handler of every server: each request is read from its
// frame, handed to it alone, and its answer framed again.
//
//go:noinline
func handle(req []byte) []byte { return req }

func serveOurs(l net.Listener) error {
	s := &server.Server{Handler: server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) {
		return handle(req), nil
	})}
	return s.Serve(l)
}

// serveGtcp closes l and lets gtcp listen where it was.
func serveGtcp(l net.Listener) error {
	addr := l.Addr().String()
	_ = l.Close()
	return gtcp.NewServer(addr, func(c *gtcp.Conn) {
		defer c.Close()
		for {
			req, err := c.RecvPkg()
			if err != nil || c.SendPkg(handle(req)) != nil {
				return
			}
		}
	}).Run()
}

// serveNetpoll writes each answer at once, or those to one read together.
func serveNetpoll(coalesce bool) func(net.Listener) error {
	return func(l net.Listener) error {
		must(netpoll.Configure(netpoll.Config{PollerNum: 2}))
		loop, err := netpoll.NewEventLoop(func(_ context.Context, c netpoll.Connection) error {
			r, w := c.Reader(), c.Writer()
			for {
				head, err := r.Peek(2)
				if err != nil {
					return err
				}
				n := 2 + int(binary.BigEndian.Uint16(head))
				frame, err := r.Next(n)
				if err != nil {
					return err
				}
				resp := handle(frame[2:])
				out, err := w.Malloc(2 + len(resp))
				if err != nil {
					return err
				}
				binary.BigEndian.PutUint16(out, uint16(len(resp)))
				copy(out[2:], resp)
				if !coalesce {
					_ = r.Release()
					return w.Flush()
				}
				if r.Len() < payload+2 {
					_ = r.Release()
					return w.Flush()
				}
			}
		})
		must(err)
		return loop.Serve(l)
	}
}

type gnetEcho struct {
	gnet.BuiltinEventEngine
	out sync.Pool // of *[]byte
}

// OnTraffic answers all whole frames with one write.
func (e *gnetEcho) OnTraffic(c gnet.Conn) gnet.Action {
	b, _ := c.Peek(-1)
	buf, _ := e.out.Get().(*[]byte)
	if buf == nil {
		buf = new([]byte)
	}
	out, read := (*buf)[:0], 0
	for len(b)-read >= 2 {
		n := 2 + int(binary.BigEndian.Uint16(b[read:]))
		if len(b)-read < n {
			break
		}
		resp := handle(b[read+2 : read+n])
		out = binary.BigEndian.AppendUint16(out, uint16(len(resp)))
		out = append(out, resp...)
		read += n
	}
	if read > 0 {
		_, _ = c.Write(out)
		_, _ = c.Discard(read)
	}
	*buf = out
	e.out.Put(buf)
	return gnet.None
}

func serveGnet(l net.Listener) error {
	addr := l.Addr().String()
	_ = l.Close()
	return gnet.Run(&gnetEcho{}, "tcp://"+addr, gnet.WithMulticore(true), gnet.WithReuseAddr(true))
}

// serveHandWritten is what one would write with the standard library alone.
func serveHandWritten(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			echoCoalesced(c)
		}()
	}
}

// echoCoalesced is the hand-written loop: 64 KiB each way, written when no whole
// frame is left to read.
func echoCoalesced(c net.Conn) {
	r, w := bufio.NewReaderSize(c, 64<<10), bufio.NewWriterSize(c, 64<<10)
	for {
		head, err := r.Peek(2)
		if err != nil {
			return
		}
		n := 2 + int(binary.BigEndian.Uint16(head))
		frame, err := r.Peek(n)
		if err != nil {
			return
		}
		resp := handle(frame[2:])
		_, _ = w.Write(binary.BigEndian.AppendUint16(w.AvailableBuffer(), uint16(len(resp))))
		if _, err := w.Write(resp); err != nil {
			return
		}
		_, _ = r.Discard(n)
		if r.Buffered() < payload+2 {
			if w.Flush() != nil {
				return
			}
		}
	}
}
