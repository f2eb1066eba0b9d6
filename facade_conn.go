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
	// MaxLineSize is the most that RecvLine and RecvTill read in search of
	// their delimiter, in bytes, so that a peer that never sends it cannot
	// fill the memory.
	MaxLineSize = 16 << 20

	// defaultBufferWait is how long Recv(-1) waits for more.
	defaultBufferWait = time.Millisecond
	// shortRead is the size, in bytes, that a first read must reach for
	// Recv(-1) to wait for more; Recv(0) reads no more than that.
	shortRead = 128
)

// Conn is a TCP connection as gtcp has it. One goroutine may send while
// another receives; of several that do the same, each sends or receives its
// message whole. All reading goes through one buffer, so methods can be mixed.
//
// A Conn is made by one of the New functions.
type Conn struct {
	// Conn is the connection's net.Conn. All methods of this type use it, so a
	// connection that wraps it, to count bytes or to speak TLS, can be put in
	// its place: c.Conn = tls.Client(c.Conn, config). That must be done while
	// nobody uses c. A PoolConn that was wrapped does not go back to its pool.
	// NetConn has the socket below.
	net.Conn
	inner *innerConn // what Conn was at first; nil in a zero Conn
}

// NewConn dials a TCP address such as "127.0.0.1:80". The optional timeout
// bounds the dial: 30 seconds by default, zero for no bound but the system's.
func NewConn(addr string, timeout ...time.Duration) (*Conn, error) {
	return connOf(dialPlain(addr, timeout...))
}

// NewConnTLS dials a TLS server; see NewNetConnTLS.
func NewConnTLS(addr string, config *tls.Config) (*Conn, error) {
	return connOf(dialTLS(addr, config))
}

// NewConnKeyCrt dials a TLS server with a client certificate from files; see
// NewNetConnKeyCrt.
func NewConnKeyCrt(addr, crtFile, keyFile string) (*Conn, error) {
	config, err := LoadKeyCrt(crtFile, keyFile)
	if err != nil {
		return nil, err
	}
	return NewConnTLS(addr, config)
}

// connOf makes a Conn of what a dial returned.
func connOf(c *conn.Conn, err error) (*Conn, error) {
	if err != nil {
		return nil, err
	}
	return newConn(c), nil
}

// NewConnByNetConn makes a Conn of any stream connection, which from then on
// must be used through it alone. Of a nil connection or pointer it makes a closed
// Conn; of a Conn or PoolConn one that shares its buffer, so that both can be
// used.
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

// innerConn is what c's methods work on: what New made, or, where the field Conn
// holds something else by now, a stream on that.
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

// NetConn returns the connection below, a *net.TCPConn or *tls.Conn, for its
// socket options or TLS state; nil after Close. Reading or writing it directly
// corrupts the stream. A server's connection whose NetConn was asked for is not
// closed when nothing refers to the Conn any more.
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

// Read reads what is there, waiting for the first byte.
func (c *Conn) Read(p []byte) (int, error) { return c.innerConn().Read(p) }

// Write writes p. On a PoolConn whose connection was idle in the pool, the first
// write moves to a new connection if it fails before any byte has left.
func (c *Conn) Write(p []byte) (int, error) { return c.innerConn().Write(p) }

// Close closes the connection. Calls in progress fail with an error that is
// net.ErrClosed. (PoolConn.Close gives the connection back.)
func (c *Conn) Close() error { return c.innerConn().Close() }

// SetReadDeadline is SetDeadlineRecv.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.innerConn().SetReadDeadline(t) }

// SetWriteDeadline is SetDeadlineSend.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.innerConn().SetWriteDeadline(t) }

// Send writes all of data. Its error begins with "Write data failed" and wraps
// the cause. A retry goes on behind the bytes that have been written. When
// Send gives up with data half written, the peer cannot know where the next
// message begins, and every later Send and SendPkg fails.
//
// On a PoolConn whose connection was idle in the pool, the first write moves
// to a new connection if it fails before any byte has left.
func (c *Conn) Send(data []byte, retry ...Retry) error {
	return c.innerConn().sendAll(outgoing{body: data}, limit{}, first(retry))
}

// SendWithTimeout is Send with a bound on each attempt. The caller's own
// deadline, if earlier, counts too, and is in force again afterwards.
func (c *Conn) SendWithTimeout(data []byte, timeout time.Duration, retry ...Retry) error {
	return c.innerConn().sendAll(outgoing{body: data}, limit{coversAll, timeout}, first(retry))
}

// Recv receives bytes. With a length above zero it waits for that many. With
// zero it reads once, at most 128 bytes, and waits only if nothing is there.
// With less than zero it takes what the peer has to say: a first read of fewer
// than 128 bytes is all, after a longer one it reads on until nothing has come
// for the time of SetBufferWaitRecv.
//
// With an error, Recv returns what came before it. The end of the stream is
// the bare io.EOF. A timeout is a net.Error; the connection stays usable.
func (c *Conn) Recv(length int, retry ...Retry) ([]byte, error) {
	return c.innerConn().receive(length, limit{}, first(retry))
}

// RecvWithTimeout is Recv with a bound on each attempt. The caller's own
// deadline, if earlier, counts too, and is in force again afterwards.
func (c *Conn) RecvWithTimeout(length int, timeout time.Duration, retry ...Retry) ([]byte, error) {
	return c.innerConn().receive(length, limit{coversAll, timeout}, first(retry))
}

// RecvLine receives up to the next "\n" and returns the line without it; a
// "\r" before it is kept. At the end of the stream, and with any other error,
// it returns what came before. A line longer than MaxLineSize is an error.
func (c *Conn) RecvLine(retry ...Retry) ([]byte, error) {
	line, err := c.RecvTill(newline, retry...)
	if err == nil {
		line = line[:len(line)-1]
	}
	return line, err
}

var newline = []byte{'\n'}

// RecvTill is RecvLine for any delimiter, compared byte for byte, which stays
// at the end of the result. An empty delimiter is an error. Where a timeout cuts
// the delimiter itself, its beginning stays for the next call.
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

// SendRecvWithTimeout is Send and then RecvWithTimeout. The timeout bounds the
// receive, and before it the wait for another goroutine's send and for a new
// connection; it does not bound the writing.
func (c *Conn) SendRecvWithTimeout(data []byte, length int, timeout time.Duration, retry ...Retry) ([]byte, error) {
	msg := outgoing{body: data, asks: len(data) > 0}
	if err := c.innerConn().sendAll(msg, limit{coversStart, timeout}, first(retry)); err != nil {
		return nil, err
	}
	return c.RecvWithTimeout(length, timeout, retry...)
}

// SetDeadline sets the time at which sending and receiving time out; the zero
// time means never.
func (c *Conn) SetDeadline(t time.Time) error {
	return describe(c.innerConn().SetDeadline(t), "SetDeadline for connection failed with %q", t)
}

// SetDeadlineRecv is SetDeadline for receiving alone.
func (c *Conn) SetDeadlineRecv(t time.Time) error {
	return describe(c.innerConn().SetReadDeadline(t), "SetDeadlineRecv for connection failed with %q", t)
}

// SetDeadlineSend is SetDeadline for sending alone.
func (c *Conn) SetDeadlineSend(t time.Time) error {
	return describe(c.innerConn().SetWriteDeadline(t), "SetDeadlineSend for connection failed with %q", t)
}

// SetBufferWaitRecv sets how long Recv(-1) waits for more: 1 ms by default, and
// not at all for zero and less.
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

// bareEOF is gtcp's view of the end of the inner: io.EOF wherever it comes.
func bareEOF(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	return err
}
