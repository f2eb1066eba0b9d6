// Package framing reads and writes length-prefixed frames on any byte stream.
// The zero [Format] is the package protocol of GoFrame's gtcp: a length in 2
// big-endian bytes, then a payload of up to 65,535 bytes. docs/wire.md specifies
// the protocol.
//
//	w := framing.NewWriter(conn, framing.Format{})
//	w.WriteFrame([]byte("hello"))
//	w.Flush()
//
//	r := framing.NewReader(conn, framing.Format{})
//	frame, err := r.Next()
//
// # Formats
//
// A [Format] has the parameters of netty's LengthFieldBasedFrameDecoder. They
// are the position, width and byte order of the length field, what the length
// counts, and which part of a frame the reader returns. Some protocols in
// these terms:
//
//	gtcp                         Format{}
//	gtcp, 4-byte header          Format{HeaderSize: 4}
//	protobuf, delimited          Format{HeaderSize: Varint}
//	length counts itself too     Format{HeaderSize: 4, LengthAdjust: -4}
//	PostgreSQL messages          Format{LengthOffset: 1, HeaderSize: 4, LengthAdjust: -4, Strip: -1}
//	HTTP/2 frames                Format{HeaderSize: 3, LengthAdjust: 6}
//	MQTT packets                 Format{LengthOffset: 1, HeaderSize: Varint, Strip: -1}
//
// netty's initialBytesToStrip is Strip, except that a Strip of zero drops the
// header and a negative one drops nothing.
//
// No length that the length field cannot hold is ever written: Validate
// refuses a limit that is too large, and a Writer refuses a payload that is
// too long.
//
// # Reading
//
// There are three ways to read a frame, and they can be mixed:
//
//   - [Reader.Next] returns the frame in the read buffer, without a copy, until
//     the next call.
//   - [Reader.ReadFrame] appends it to the caller's memory.
//   - [Reader.Stream] returns an io.Reader of it, for frames that are too large
//     to hold.
//
// A Reader uses the buffer of the *conn.Conn or *bufio.Reader that it is given.
// So frames can be mixed with lines and plain reads on one connection, and an
// idle connection needs no second buffer. A frame may be larger than that buffer.
//
// After a read timeout no byte is lost. Call again, and the Reader
// continues where it stopped. It does not return bytes twice.
//
// # Hostile peers
//
// A Reader trusts no header. It checks a length against MaxSize before it
// allocates anything. Above 64 KiB its memory grows only as bytes arrive. For
// example, a header with a length of 2 GiB and 16 bytes of data cost 16 KiB of
// new memory. If a frame is larger than the limit, a Reader returns a
// *[SizeError]. By default it then reads no further frame. With SkipOversize it
// drops that frame and goes on with the next.
//
// # Writing
//
// A [Writer] collects small frames and writes them with one call on Flush, or
// when 64 KiB are full. A server should call Flush when [Reader.Buffered] reports
// that no further request is waiting. Large frames are written without a copy.
// An [Encoder] makes frames without a Writer, [Format.Append] a single one.
package framing
