package echo

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync"

	"github.com/cloudwego/netpoll"
	"github.com/gogf/gf/v2/net/gtcp"
	"github.com/lesismal/nbio"
	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/pool/goroutine"
)

// serveGtcp closes l and lets gtcp listen where it was.
func serveGtcp(l net.Listener) error {
	if err := l.Close(); err != nil {
		return err
	}
	return gtcp.NewServer(l.Addr().String(), func(c *gtcp.Conn) {
		defer c.Close()
		for {
			req, err := c.RecvPkg()
			if err != nil || c.SendPkg(handle(req)) != nil {
				return
			}
		}
	}).Run()
}

// serveNetpoll writes each answer at once, or those to one read together. Its
// default is one poller on two CPUs; it gets one for each.
func serveNetpoll(coalesce bool) func(net.Listener) error {
	return func(l net.Listener) error {
		loop, err := netpoll.NewEventLoop(func(_ context.Context, c netpoll.Connection) error {
			return netpollAnswer(c, coalesce)
		})
		if err := errors.Join(err, netpoll.Configure(netpoll.Config{PollerNum: 2})); err != nil {
			return err
		}
		return loop.Serve(l)
	}
}

func netpollAnswer(c netpoll.Connection, coalesce bool) error {
	r, w := c.Reader(), c.Writer()
	for {
		head, err := r.Peek(2)
		if err != nil {
			return err
		}
		frame, err := r.Next(2 + int(binary.BigEndian.Uint16(head)))
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
		if !coalesce || r.Len() < 2+Payload {
			_ = r.Release()
			return w.Flush()
		}
	}
}

func serveGnet(handler gnet.EventHandler) func(net.Listener) error {
	return func(l net.Listener) error {
		if err := l.Close(); err != nil {
			return err
		}
		return gnet.Run(handler, "tcp://"+l.Addr().String(), gnet.WithMulticore(true), gnet.WithReuseAddr(true))
	}
}

// gnetPool handles each request in gnet's worker pool, as its documentation
// advises for handlers that block.
type gnetPool struct{ gnet.BuiltinEventEngine }

// OnTraffic gives each whole frame to a worker.
func (*gnetPool) OnTraffic(c gnet.Conn) gnet.Action {
	for {
		head, err := c.Peek(2)
		if err != nil {
			return gnet.None
		}
		n := 2 + int(binary.BigEndian.Uint16(head))
		if c.InboundBuffered() < n {
			return gnet.None
		}
		frame, err := c.Next(n)
		if err != nil {
			return gnet.Close
		}
		req := append([]byte(nil), frame[2:]...)
		err = goroutine.DefaultWorkerPool.Submit(func() {
			resp := handle(req)
			out := append(binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(resp)), uint16(len(resp))), resp...)
			_ = c.AsyncWrite(out, nil) // the client finds out
		})
		if err != nil {
			return gnet.Close
		}
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

// serveNbio has one poller for each of two processors, as netpoll has. The handler
// runs in the poller, as in nbio's own examples.
func serveNbio(l net.Listener) error {
	if err := l.Close(); err != nil {
		return err
	}
	engine := nbio.NewEngine(nbio.Config{Network: "tcp", Addrs: []string{l.Addr().String()}, NPoller: 2})
	engine.OnData(func(c *nbio.Conn, data []byte) {
		e, known := c.Session().(*nbioEcho)
		if !known { // made here and not in OnOpen, which runs on another goroutine
			e = &nbioEcho{}
			c.SetSession(e)
		}
		e.answer(c, data)
	})
	if err := engine.Start(); err != nil {
		return err
	}
	select {} // it serves on goroutines of its own
}

// nbioEcho is the state of a connection, which one poller uses.
type nbioEcho struct{ rest, out []byte }

// answer answers all whole frames with one write.
func (e *nbioEcho) answer(c *nbio.Conn, data []byte) {
	if len(e.rest) > 0 {
		e.rest = append(e.rest, data...)
		data = e.rest
	}
	out := e.out[:0]
	for len(data) >= 2 {
		n := 2 + int(binary.BigEndian.Uint16(data))
		if len(data) < n {
			break
		}
		resp := handle(data[2:n])
		out = binary.BigEndian.AppendUint16(out, uint16(len(resp)))
		out = append(out, resp...)
		data = data[n:]
	}
	e.rest, e.out = append(e.rest[:0], data...), out
	if len(out) > 0 {
		_, _ = c.Write(out) // the client finds out
	}
}
