// Package conn is raw connection input and output: one stream connection, its
// buffers, deadlines, and health. It is a net.Conn that knows more.
//
// # Making one
//
// A [Dialer] connects, over TCP or a unix socket, with TLS if asked; [New]
// wraps a connection from anywhere else. Both give a [Conn].
//
//	var d conn.Dialer // the zero value works: 30 s, keep-alive, no TLS
//	c, err := d.Dial(ctx, "tcp", "127.0.0.1:8999")
//
// # Reading
//
// All reads go through one buffer, so they can be mixed freely: a line, then
// exactly n bytes, then whatever comes. Choose by shape:
//
//   - [Conn.Read]: what is there, at least a byte
//   - [Conn.ReadFull]: exactly n bytes
//   - [Conn.ReadUntil]: through a delimiter, bounded
//   - [Conn.ReadAvailable]: what the peer says before it pauses
//   - [Conn.Peek] and [Conn.Discard]: a look without a copy, for parsers
//
// Partial data is never lost: it is returned with the error, or stays buffered.
// After a timeout every one of them can go on where it stopped.
//
// The buffer belongs to the connection only while bytes are in it. It is 4 KiB
// at first and 64 KiB for a peer that fills it. A goroutine that waits for
// bytes on a TCP or unix socket of a Unix system holds none, so ten thousand
// idle connections cost their sockets and stacks and little else.
//
// # Writing
//
// [Conn.Write] and [Conn.WriteBuffers] write everything or say exactly how much
// left, so that a caller resumes or gives up but never sends a byte twice. An
// [Error] answers SafeToRetry with true only where nothing left the process.
//
// # Time limits
//
// Deadlines are those of net.Conn. [Conn.Do] puts a context over any number of
// reads and writes, on top of the caller's own deadlines and without a
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
// Three questions, for whoever keeps connections to use again. [Conn.Err]: has
// it died here? [Conn.Reusable]: would somebody else find it as new? Neither
// makes a system call. [Conn.Check]: has the peer closed it, or said something
// unasked? On a plain socket that is one system call; it consumes nothing.
//
// # Lending
//
// A Conn is a handle. [Conn.Handoff] ends it and begins another on the same
// connection, so that a borrower who keeps the old one can neither read the
// next one's answer nor close the connection under it. A connection that is
// not Reusable cannot be handed on.
//
// # Errors
//
// The end of the stream is a bare io.EOF, or io.ErrUnexpectedEOF inside a
// ReadFull. Every other error is an [*Error]: it names the operation and the
// address, unwraps to the cause (net.ErrClosed, os.ErrDeadlineExceeded,
// a *net.OpError, a context's error), and is a net.Error.
package conn
