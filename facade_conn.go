package gtcp

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"reflect"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
)

const (
	// MaxLineSize is the maximum number of bytes that RecvLine and RecvTill
	// read before they find their delimiter. It keeps a peer that never sends
	// the delimiter from filling the memory.
	MaxLineSize = 16 << 20

	// defaultBufferWait is how long Recv(-1) waits for more data.
	defaultBufferWait = time.Millisecond
	// shortRead is the maximum of Recv(0), in bytes. Recv(-1) reads on only if
	// its first read brought at least as many.
	shortRead = 128
)

// Conn is a TCP connection with the methods of GoFrame's gtcp. One goroutine may
// send while another receives. If several goroutines send, or several receive,
// each message stays whole. All reads use one buffer, so methods can be mixed.
//
// Use one of the New functions to make a Conn.
type Conn struct {
	// Conn is the connection's net.Conn. All methods of this type use it. So
	// you can replace it by a connection that wraps it, for example to count
	// bytes or to add TLS: c.Conn = tls.Client(c.Conn, config). Do that only
	// while no other goroutine uses c. A PoolConn that was wrapped does not go
	// back to its pool. NetConn returns the socket.
	net.Conn
	inner *innerConn // what Conn was at first; nil in a zero Conn
}

// NewConn connects to a TCP address such as "127.0.0.1:80". The optional timeout
// limits the dial. The default is 30 seconds; zero leaves the limit to the
// system.
func NewConn(addr string, timeout ...time.Duration) (*Conn, error) {
	return connOf(dialPlain(addr, timeout...))
}

// NewConnTLS connects to a TLS server; see NewNetConnTLS.
func NewConnTLS(addr string, config *tls.Config) (*Conn, error) {
	return connOf(dialTLS(addr, config))
}

// NewConnKeyCrt connects to a TLS server with a client certificate from files;
// see NewNetConnKeyCrt.
func NewConnKeyCrt(addr, crtFile, keyFile string) (*Conn, error) {
	config, err := LoadKeyCrt(crtFile, keyFile)
	if err != nil {
		return nil, err
	}
	return NewConnTLS(addr, config)
}

// connOf makes a Conn from the result of a dial.
func connOf(c *conn.Conn, err error) (*Conn, error) {
	if err != nil {
		return nil, err
	}
	return newConn(c), nil
}

// NewConnByNetConn makes a Conn from any stream connection. From then on, use nc
// only through the Conn. If nc is a Conn or PoolConn, both share one buffer and
// can both be used. If nc is nil, the result is a closed Conn.
func NewConnByNetConn(nc net.Conn) *Conn {
	if v := reflect.ValueOf(nc); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return newConn(&conn.Conn{})
	}
	switch nc := nc.(type) {
	case *conn.Conn:
		return newConn(nc)
	case *Conn:
		s := nc.innerConn()
		return &Conn{Conn: s, inner: s}
	case *PoolConn:
		return NewConnByNetConn(nc.Conn)
	default:
		return newConn(conn.New(nc))
	}
}

// innerConn is what c's methods use: the connection that New made, or, if the
// program has put another one into the field Conn, a stream on that.
func (c *Conn) innerConn() *innerConn {
	if in, ok := c.Conn.(*innerConn); ok && in != nil {
		return in
	}
	if c.inner == nil {
		return newConn(&conn.Conn{}).inner
	}
	if c.Conn == nil {
		return c.inner
	}
	return c.inner.under(c.Conn)
}

// NetConn returns the underlying *net.TCPConn or *tls.Conn, for its socket
// options or its TLS state. It is nil after Close. Do not read or write it: that
// corrupts the stream. After NetConn, a connection of a Server is not closed
// automatically when its Conn becomes unreachable.
func (c *Conn) NetConn() net.Conn {
	s := c.inner
	if s == nil {
		return nil
	}
	if s.accepted != nil {
		s.accepted.socket.Store(true)
	}
	return s.current().NetConn()
}

// Read reads the bytes that are there. It waits for the first one.
func (c *Conn) Read(p []byte) (int, error) { return c.innerConn().Read(p) }

// Write writes p. If it is the first write on a PoolConn that was idle in the
// pool, and it fails before any byte was sent, it is repeated on a new
// connection.
func (c *Conn) Write(p []byte) (int, error) { return c.innerConn().Write(p) }

// Close closes the connection. Calls in progress fail with net.ErrClosed.
// (PoolConn.Close returns the connection to its pool.)
func (c *Conn) Close() error { return c.innerConn().Close() }

// SetReadDeadline is SetDeadlineRecv.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.innerConn().SetReadDeadline(t) }

// SetWriteDeadline is SetDeadlineSend.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.innerConn().SetWriteDeadline(t) }

// Send writes all of data. Its error begins with "Write data failed" and wraps
// the cause. A retry continues after the bytes that were written. If Send fails
// after it wrote a part of data, the peer cannot know where the next message
// begins. So every later Send and SendPkg fails.
//
// If it is the first write on a PoolConn that was idle in the pool, and it fails
// before any byte was sent, Send writes to a new connection instead.
func (c *Conn) Send(data []byte, retry ...Retry) error {
	return c.innerConn().sendAll(outgoing{body: data}, limit{}, first(retry))
}

// SendWithTimeout is Send with a timeout for each attempt. The timeout includes
// the wait for another goroutine's send and for a new connection. If the
// deadline of SetDeadline is earlier, it ends the attempt; it stays set.
func (c *Conn) SendWithTimeout(data []byte, timeout time.Duration, retry ...Retry) error {
	return c.innerConn().sendAll(outgoing{body: data}, limit{coversAll, timeout}, first(retry))
}

// Recv receives bytes. If length is positive, it waits for exactly that many. If
// length is 0, it reads once, at most 128 bytes. If length is negative, it reads
// the bytes that are available. If the first read returns fewer than 128 bytes,
// those are the result. Otherwise it continues to read until nothing arrives for
// the time set with SetBufferWaitRecv, or until a timeout.
//
// With an error, Recv also returns the bytes that came before it. The end of
// the stream is the bare io.EOF. Other errors of reads are a *net.OpError. After
// a timeout the connection can still be used. With a negative length, a timeout
// is an error only if nothing has come.
func (c *Conn) Recv(length int, retry ...Retry) ([]byte, error) {
	return c.innerConn().receive(length, limit{}, first(retry))
}

// RecvWithTimeout is Recv with a timeout for each attempt. The timeout includes
// the wait for another goroutine's receive. If the deadline of SetDeadline is
// earlier, it ends the attempt; it stays set.
func (c *Conn) RecvWithTimeout(length int, timeout time.Duration, retry ...Retry) ([]byte, error) {
	return c.innerConn().receive(length, limit{coversAll, timeout}, first(retry))
}

// RecvLine receives up to the next "\n" and returns the line without it. It keeps
// a "\r" before the "\n". With an error, such as io.EOF, it returns the bytes that
// came before it. A line longer than MaxLineSize is an error.
func (c *Conn) RecvLine(retry ...Retry) ([]byte, error) {
	line, err := c.RecvTill(newline, retry...)
	if err == nil {
		line = line[:len(line)-1]
	}
	return line, err
}

var newline = []byte{'\n'}

// RecvTill receives up to the delimiter til, which stays at the end of the
// result. It compares bytes. An empty delimiter is an error. If a timeout occurs
// inside the delimiter, its first bytes stay for the next call.
func (c *Conn) RecvTill(til []byte, retry ...Retry) ([]byte, error) {
	return c.innerConn().receiveUntil(til, first(retry))
}

// SendRecv is Send and then Recv.
func (c *Conn) SendRecv(data []byte, length int, retry ...Retry) ([]byte, error) {
	msg := outgoing{body: data, asks: len(data) > 0}
	if err := c.innerConn().sendAll(msg, limit{}, first(retry)); err != nil {
		return nil, err
	}
	return c.Recv(length, retry...)
}

// SendRecvWithTimeout is Send and then RecvWithTimeout. The timeout limits the
// receive. It also limits the wait for another goroutine's send and for a new
// connection, but not the write itself.
func (c *Conn) SendRecvWithTimeout(data []byte, length int, timeout time.Duration, retry ...Retry) ([]byte, error) {
	msg := outgoing{body: data, asks: len(data) > 0}
	if err := c.innerConn().sendAll(msg, limit{coversStart, timeout}, first(retry)); err != nil {
		return nil, err
	}
	return c.RecvWithTimeout(length, timeout, retry...)
}

// SetDeadline sets the time at which sends and receives time out. The zero time
// means never.
func (c *Conn) SetDeadline(t time.Time) error {
	return describe(c.innerConn().SetDeadline(t), "SetDeadline for connection failed with %q", t)
}

// SetDeadlineRecv is SetDeadline for receives only.
func (c *Conn) SetDeadlineRecv(t time.Time) error {
	return describe(c.innerConn().SetReadDeadline(t), "SetDeadlineRecv for connection failed with %q", t)
}

// SetDeadlineSend is SetDeadline for sends only.
func (c *Conn) SetDeadlineSend(t time.Time) error {
	return describe(c.innerConn().SetWriteDeadline(t), "SetDeadlineSend for connection failed with %q", t)
}

// SetBufferWaitRecv sets how long Recv(-1) waits for more data. The default is
// 1 ms. Zero or negative means that it does not wait.
func (c *Conn) SetBufferWaitRecv(wait time.Duration) { c.innerConn().setBufferWait(wait) }

// SetRecvDeadline is SetDeadlineRecv.
//
// Deprecated: the name is that of gtcp's early documentation.
func (c *Conn) SetRecvDeadline(t time.Time) error { return c.SetDeadlineRecv(t) }

// SetSendDeadline is SetDeadlineSend.
//
// Deprecated: the name is that of gtcp's early documentation.
func (c *Conn) SetSendDeadline(t time.Time) error { return c.SetDeadlineSend(t) }

// SetRecvBufferWait is SetBufferWaitRecv.
//
// Deprecated: the name is that of gtcp's early documentation.
func (c *Conn) SetRecvBufferWait(wait time.Duration) { c.SetBufferWaitRecv(wait) }

// SetReceiveDeadline is SetDeadlineRecv.
//
// Deprecated: the name is that of gtcp's early documentation.
func (c *Conn) SetReceiveDeadline(t time.Time) error { return c.SetDeadlineRecv(t) }

// SetReceiveBufferWait is SetBufferWaitRecv.
//
// Deprecated: the name is that of gtcp's early documentation.
func (c *Conn) SetReceiveBufferWait(wait time.Duration) { c.SetBufferWaitRecv(wait) }

// RecvTil is RecvTill.
//
// Deprecated: the name is that of gtcp's early documentation.
func (c *Conn) RecvTil(til []byte, retry ...Retry) ([]byte, error) { return c.RecvTill(til, retry...) }

// bareEOF replaces every error for the end of the stream by io.EOF.
func bareEOF(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	return err
}
