package echo

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync"

	"github.com/cloudwego/netpoll"
	"github.com/gogf/gf/v2/net/gtcp"
	"github.com/panjf2000/gnet/v2"
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

func serveGnet(l net.Listener) error {
	if err := l.Close(); err != nil {
		return err
	}
	return gnet.Run(&gnetEcho{}, "tcp://"+l.Addr().String(), gnet.WithMulticore(true), gnet.WithReuseAddr(true))
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
