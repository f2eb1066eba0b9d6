package gtcp

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/retry"
)

// CallError is the error of a call that had a connection to itself and failed
// on it. It unwraps to the connection's error: io.EOF if the server closed it
// without an answer, a *framing.SizeError for a reply over the limit. It also
// marks the error of a call whose request was sent by an earlier attempt than
// the last, which it then unwraps to.
type CallError struct {
	// Addr is the server's address, empty if its connection does not know it.
	Addr string
	// Written tells whether any byte of the request may have left the
	// process.
	Written bool
	// Err is the cause.
	Err error
}

// Error returns a line with all of it.
func (e *CallError) Error() string {
	s := "gtcp: call"
	if e.Addr != "" {
		s += " " + e.Addr
	}
	if e.Written {
		s += " (request written)"
	}
	return s + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *CallError) Unwrap() error { return e.Err }

// SafeToRetry reports that no byte of the request left the process.
func (e *CallError) SafeToRetry() bool { return !e.Written }

// Timeout reports whether the cause is a timeout, as in [net.Error].
func (e *CallError) Timeout() bool {
	var timeout interface{ Timeout() bool }
	return errors.As(e.Err, &timeout) && timeout.Timeout()
}

// Temporary is Timeout; it makes CallError a [net.Error].
func (e *CallError) Temporary() bool { return e.Timeout() }

var _ net.Error = (*CallError)(nil)

// exchange is what one call needs while it lasts.
type exchange struct {
	asks    bool // the pool has not looked at the connection
	lease   *pool.Conn
	frame   []byte // the request as it goes over the wire
	reader  *framing.Reader
	dst     []byte
	reply   []byte
	perform func() error // (*exchange).do, made once
}

// maxKeptFrame is the largest frame buffer kept for other calls, in bytes.
const maxKeptFrame = 64 << 10

// noConn is what a kept reader reads, so that it holds no connection.
var noConn = &conn.Conn{}

// exchanges keeps those of ended calls for others.
type exchanges struct {
	format framing.Format
	asks   bool
	pool   sync.Pool
}

func (es *exchanges) get() *exchange {
	if x, ok := es.pool.Get().(*exchange); ok {
		return x
	}
	x := &exchange{asks: es.asks}
	x.reader = framing.NewReader(noConn, es.format)
	x.perform = x.do
	return x
}

func (es *exchanges) put(x *exchange) {
	x.reader.Reset(noConn)
	x.lease, x.dst, x.reply = nil, nil, nil
	if cap(x.frame) > maxKeptFrame {
		x.frame = nil
	}
	es.pool.Put(x)
}

// exclusive makes one attempt at a call, on a connection of its own. A
// connection on which anything went wrong is not used again.
func (c *Client) exclusive(ctx context.Context, dst, request []byte) ([]byte, error) {
	x := c.exchange.get()
	defer c.exchange.put(x)
	frame, err := c.encode.Append(x.frame[:0], request)
	if err != nil {
		return dst, err
	}
	x.frame = frame
	lease, err := c.pool.Get(ctx)
	if err != nil {
		return dst, err
	}
	defer func() { lease.Close() }()
	x.dst = dst
	written, err := x.on(ctx, lease)
	if err != nil && !written && lease.Reused() && diedIdle(err) && ctx.Err() == nil {
		next, failed := lease.Replace(ctx)
		if failed != nil {
			return dst, failed
		}
		lease = next
		written, err = x.on(ctx, lease)
	}
	if err != nil {
		e := &CallError{Written: written, Err: err}
		if addr := lease.RemoteAddr(); addr != nil {
			e.Addr = addr.String()
		}
		lease.Evict()
		return dst, e
	}
	return x.reply, nil
}

// on makes the exchange on a connection, and reports whether any of the request
// may have left the process.
func (x *exchange) on(ctx context.Context, lease *pool.Conn) (written bool, err error) {
	x.lease = lease
	before := lease.BytesWritten()
	err = lease.Do(ctx, x.perform)
	return lease.BytesWritten() > before || err != nil && !retry.SafeToRetry(err), err
}

// do is the exchange itself, within the context that its connection obeys.
func (x *exchange) do() error {
	var err error
	if x.asks {
		_, err = x.lease.Ask(x.frame)
	} else {
		_, err = x.lease.Write(x.frame)
	}
	if err != nil {
		return err
	}
	x.reader.Reset(&x.lease.Conn)
	reply, err := x.reader.ReadFrame(x.dst)
	x.reply = reply
	return err
}
