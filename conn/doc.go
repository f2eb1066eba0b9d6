// Package conn reads and writes one stream connection. It adds a buffer,
// deadlines, contexts and a health check to a net.Conn, and it dials. Use
// it for a protocol of your own. Packages pool, pipeline and server use it.
//
// # Making one
//
// A [Dialer] connects over TCP or a unix socket, with TLS if asked. A [Target]
// says where to connect and with which Dialer. [New] wraps a connection from
// anywhere else. All of them return a [Conn].
//
//	var d conn.Dialer // the zero value works: 30 s, keep-alive, no TLS
//	c, err := d.Dial(ctx, "tcp", "127.0.0.1:8999")
//
// # Reading
//
// All reads use one buffer, so you can mix them: a line, then exactly n bytes,
// then the bytes that are available.
//
//   - [Conn.Read]: the bytes that are available, at least one
//   - [Conn.ReadFull]: exactly n bytes
//   - [Conn.ReadUntil]: up to a delimiter, bounded
//   - [Conn.ReadAvailable]: what the peer sends before it pauses
//   - [Conn.Peek] and [Conn.Discard]: bytes without a copy, for parsers
//
// Partial data is never lost: a read returns it with the error, or it stays
// buffered. After a timeout every read can continue where it stopped.
//
// The connection holds a buffer only while bytes are in it: 4 KiB at first, and
// 64 KiB for a peer that fills it. On a Unix system, a goroutine that waits for
// bytes on a TCP or unix socket holds no buffer. So an idle connection costs
// little more than its socket and the stack of its goroutine.
//
// # Writing
//
// [Conn.Write] and [Conn.WriteBuffers] write everything, or return exactly how many
// bytes they wrote. So a caller can write the rest or stop, and no byte is sent
// twice. SafeToRetry of an [Error] is true only if no byte left the process.
//
// # Time limits
//
// Deadlines are those of net.Conn. [Conn.Do] limits any number of reads and
// writes by a context, in addition to the caller's own deadlines. It starts no
// goroutine:
//
//	err := c.Do(ctx, func() error {
//		if _, err := c.Write(request); err != nil {
//			return err
//		}
//		_, err := c.ReadFull(reply)
//		return err
//	})
//
// # Health
//
// Three methods tell whether a connection can be used again. [Conn.Err] returns
// the first fatal error. [Conn.Reusable] reports whether the connection has no
// pending state and can be returned to a pool. Neither makes a system call.
// [Conn.Check] reports whether the peer has closed the connection or has sent
// unsolicited bytes. On a plain socket it makes one system call; it consumes
// nothing.
//
// # Handing a connection on
//
// A Conn is a handle. [Conn.Handoff] ends it and begins another handle on the
// same connection. A caller that keeps the old handle can then neither read the
// next caller's reply nor close the connection. A connection that is not
// Reusable cannot be handed on.
//
// # Errors
//
// The end of the stream is a bare io.EOF, or io.ErrUnexpectedEOF inside a
// ReadFull. Every other error is an [*Error]. It names the operation and the
// address, unwraps to the cause (net.ErrClosed, os.ErrDeadlineExceeded,
// a *net.OpError, a context's error), and is a net.Error. [KindOf] gives a short
// name to any error, for metrics.
package conn
