package gtcp

import (
	"errors"
	"math"
	"sync"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
)

const (
	defaultHeaderSize = 2
	maxHeaderSize     = 4
)

// PkgOption describes packages on the wire: a big-endian length, then that many
// bytes of data. Both sides must use the same HeaderSize. The zero value is the
// default of the protocol.
type PkgOption struct {
	// HeaderSize is the size of the length field in bytes, 1 to 4. Zero means 2.
	HeaderSize int

	// MaxDataSize is the maximum number of data bytes in a package, for sending
	// and receiving. Zero means the largest value that the header can hold:
	// 255, 65535, 16777215, and for 4 bytes 2147483647. A larger or a negative
	// value is an error.
	MaxDataSize int

	// Retry says what to do when an operation times out.
	Retry Retry
}

// wire is a PkgOption with the defaults filled in.
type wire struct{ header, most int }

func (w wire) format() framing.Format {
	return framing.Format{HeaderSize: w.header, MaxSize: w.most}
}

// wire checks o; its error is a *PkgError.
func (o PkgOption) wire() (wire, error) {
	size := o.HeaderSize
	if size == 0 {
		size = defaultHeaderSize
	}
	if size < 0 || size > maxHeaderSize {
		return wire{}, &PkgError{Field: "HeaderSize", Size: int64(size), Limit: maxHeaderSize}
	}
	most := int(min(int64(1)<<(8*size)-1, math.MaxInt32))
	if o.MaxDataSize < 0 || o.MaxDataSize > most {
		return wire{}, &PkgError{Field: "MaxDataSize", Size: int64(o.MaxDataSize), Limit: int64(most)}
	}
	if o.MaxDataSize > 0 {
		most = o.MaxDataSize
	}
	return wire{size, most}, nil
}

// SendPkg sends data as one package. data may be empty. If data is too long or an
// option is out of range, the error is a *PkgError and nothing was sent. Other
// errors are those of Send.
func (c *Conn) SendPkg(data []byte, option ...PkgOption) error {
	return c.innerConn().sendPkg(data, limit{}, first(option), false)
}

// SendPkgWithTimeout is SendPkg with a timeout for each attempt; see
// SendWithTimeout.
func (c *Conn) SendPkgWithTimeout(data []byte, timeout time.Duration, option ...PkgOption) error {
	return c.innerConn().sendPkg(data, limit{coversAll, timeout}, first(option), false)
}

// RecvPkg receives one package. An empty package is nil, with a nil error.
//
// At the end of the stream the error is io.EOF. If the stream ended inside the
// data, RecvPkg returns the part that came. After a timeout, the next RecvPkg
// continues the same package, with the options it was begun with. If the length
// is above MaxDataSize, the error is a *PkgError; the data was not read, and no
// more packages can be received on this connection.
func (c *Conn) RecvPkg(option ...PkgOption) ([]byte, error) {
	return c.innerConn().receivePkg(limit{}, first(option))
}

// RecvPkgWithTimeout is RecvPkg with a timeout for each attempt; see
// RecvWithTimeout.
func (c *Conn) RecvPkgWithTimeout(timeout time.Duration, option ...PkgOption) ([]byte, error) {
	return c.innerConn().receivePkg(limit{coversAll, timeout}, first(option))
}

// SendRecvPkg is SendPkg and then RecvPkg.
func (c *Conn) SendRecvPkg(data []byte, option ...PkgOption) ([]byte, error) {
	if err := c.innerConn().sendPkg(data, limit{}, first(option), true); err != nil {
		return nil, err
	}
	return c.RecvPkg(option...)
}

// SendRecvPkgWithTimeout is SendPkg and then RecvPkgWithTimeout. The timeout
// limits the receive. It also limits the wait for another goroutine's send and
// for a new connection, but not the write itself.
func (c *Conn) SendRecvPkgWithTimeout(data []byte, timeout time.Duration, option ...PkgOption) ([]byte, error) {
	if err := c.innerConn().sendPkg(data, limit{coversStart, timeout}, first(option), true); err != nil {
		return nil, err
	}
	return c.RecvPkgWithTimeout(timeout, option...)
}

// vectorSize is the size in bytes from which a package is written without a copy,
// with its header as a second buffer. Below it a copy costs less.
const vectorSize = 16 << 10

// pkgOut is room for a package on its way out.
type pkgOut struct {
	wire   wire // of encode
	encode framing.Encoder
	buf    []byte    // a whole package, or the header of a large one
	parts  [2][]byte // what is left of a large one
}

// encodes makes packages of w.
func (out *pkgOut) encodes(w wire) (err error) {
	if out.wire == w {
		return nil
	}
	if out.encode, err = framing.NewEncoder(w.format()); err == nil {
		out.wire = w
	}
	return err
}

var pkgOuts = sync.Pool{New: func() any { return &pkgOut{buf: make([]byte, 0, 512)} }}

// sendPkg sends a package; asks says that the caller waits for the reply.
func (s *innerConn) sendPkg(data []byte, l limit, o PkgOption, asks bool) error {
	w, err := o.wire()
	if err != nil {
		return err
	}
	if len(data) > w.most {
		return &PkgError{Field: "data", Size: int64(len(data)), Limit: int64(w.most)}
	}
	out := pkgOuts.Get().(*pkgOut)
	msg := outgoing{body: data, asks: asks}
	err = out.encodes(w)
	switch {
	case err != nil:
	case len(data) < vectorSize:
		out.buf, err = out.encode.Append(out.buf[:0], data)
		msg.body = out.buf
	default:
		out.buf, err = out.encode.AppendHeader(out.buf[:0], len(data))
		msg.head, msg.parts = out.buf, &out.parts
	}
	if err == nil {
		err = s.sendAll(msg, l, o.Retry)
	}
	out.parts = [2][]byte{} // one was the caller's
	pkgOuts.Put(out)
	return err
}

// pkgReader reads the packages of one format. It passes the connection to
// package framing and notes when a package is half read.
type pkgReader struct {
	*conn.Conn
	wire   wire
	frames *framing.Reader
	mid    bool // a package is half read
	ahead  bool // frames holds bytes that the connection counts as unread
	spent  bool // frames has failed and cannot be used again
}

// SetMidMessage is called by package framing.
func (r *pkgReader) SetMidMessage(mid bool) {
	r.mid = mid
	r.Conn.SetMidMessage(mid)
}

// pkgReaders holds readers that are not in use.
var pkgReaders sync.Pool

func newPkgReader(c *conn.Conn, w wire) *pkgReader {
	if r, ok := pkgReaders.Get().(*pkgReader); ok && r.wire == w {
		r.Conn = c
		return r
	}
	r := &pkgReader{Conn: c, wire: w}
	r.frames = framing.NewReader(r, w.format())
	r.frames.Exclusive = true
	return r
}

// next reads the next package, or the rest of one that a timeout cut. While the
// buffer holds whole packages the reader keeps it. It returns the buffer to the
// connection before it waits for more, and before anything else reads.
func (r *pkgReader) next() ([]byte, error) {
	data, err := r.frames.ReadFrame(nil)
	r.ahead = true
	if err != nil || !r.frames.Buffered() {
		r.letGo()
	}
	return data, err
}

// letGo puts the connection's read position exactly after the last package. It
// fails if the connection was closed in between.
func (r *pkgReader) letGo() {
	if r.ahead {
		r.ahead = false
		r.spent = r.frames.Release() != nil
	}
}

// reading is a package on its way in.
type reading struct {
	s    *innerConn
	wire wire
	data []byte
}

func (p reading) next() (reading, error) {
	err := p.s.prepareRead()
	if err == nil {
		p.data, err = p.s.pkgReader(p.wire).next()
	}
	return p, err
}

func (s *innerConn) receivePkg(l limit, o PkgOption) ([]byte, error) {
	w, err := o.wire()
	if err != nil {
		return nil, err
	}
	p := reading{s: s, wire: w}
	if simple(l, o.Retry) {
		if err := s.enter(receiving, time.Time{}); err != nil {
			return nil, err
		}
		defer s.receiving.unlock()
		p, err = p.next()
	} else {
		var held bool
		if p, held, err = attempt(s, receiving, l, o.Retry, p, reading.next); !held {
			return nil, err
		}
		defer s.receiving.unlock()
	}
	switch {
	case err == nil:
		return p.data, nil
	case isTimeout(err):
		return nil, s.ioError(err)
	}
	s.pkgs = nil
	return p.data, pkgError(s.ioError(err))
}

// pkgReader returns the reader of the connection's packages. One that is in
// the middle of a package finishes that first. receiving is held.
func (s *innerConn) pkgReader(w wire) *pkgReader {
	c := s.current()
	if r := s.pkgs; r != nil {
		if r.mid || r.wire == w && r.Conn == c && !r.spent {
			return r
		}
		s.dropPkgReader()
	}
	s.pkgs = newPkgReader(c, w)
	return s.pkgs
}

// dropPkgReader returns the buffer to the connection and the reader to
// pkgReaders, if it is between two packages. receiving is held.
func (s *innerConn) dropPkgReader() {
	r := s.pkgs
	if r == nil || r.mid {
		return
	}
	s.pkgs = nil
	r.letGo()
	if !r.spent {
		r.Conn = nil
		pkgReaders.Put(r)
	}
}

// reader returns the connection for a read that is not of packages. receiving
// is held.
func (s *innerConn) reader() (*conn.Conn, error) {
	if s.pkgs != nil {
		s.pkgs.letGo()
	}
	if err := s.prepareRead(); err != nil {
		return nil, err
	}
	return s.current(), nil
}

// prepareRead does what comes before each read on a pooled connection.
// receiving is held.
func (s *innerConn) prepareRead() error {
	if s.checkout == nil {
		return nil
	}
	if err := s.expectReply(receiving); err != nil {
		return err
	}
	return s.inspect(receiving)
}

// pkgError turns an error of package framing into one of gtcp's.
func pkgError(err error) error {
	var size *framing.SizeError
	if errors.As(err, &size) {
		return &PkgError{Field: "package", Size: int64(size.Size), Limit: int64(size.Limit)}
	}
	return bareEOF(err)
}
