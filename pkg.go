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

// PkgOption says how packages lie on the wire: a big-endian length, then as
// many bytes of data. Both sides must agree on HeaderSize. The zero value is
// the protocol's default.
type PkgOption struct {
	// HeaderSize is the width of the length in bytes, 1 to 4. Zero means 2.
	HeaderSize int

	// MaxDataSize is the most data a package may have, in bytes, to send and
	// to receive. Zero means what the header can say: 255, 65535, 16777215,
	// and for 4 bytes 2147483647. More than that, and less than zero, is an
	// error.
	MaxDataSize int

	// Retry is what to do when an operation times out.
	Retry Retry
}

// format is the wire format of o; its error is a *PkgError.
func (o PkgOption) format() (framing.Format, error) {
	size := o.HeaderSize
	if size == 0 {
		size = defaultHeaderSize
	}
	if size < 0 || size > maxHeaderSize {
		return framing.Format{}, &PkgError{Field: "HeaderSize", Size: int64(size), Limit: maxHeaderSize}
	}
	most := int(min(int64(1)<<(8*size)-1, math.MaxInt32))
	if o.MaxDataSize < 0 || o.MaxDataSize > most {
		return framing.Format{}, &PkgError{Field: "MaxDataSize", Size: int64(o.MaxDataSize), Limit: int64(most)}
	}
	if o.MaxDataSize > 0 {
		most = o.MaxDataSize
	}
	return framing.Format{HeaderSize: size, MaxSize: most}, nil
}

// SendPkg sends data, which may be empty, as one package. Data too long and an
// option out of range are a *PkgError, and nothing has been sent; other errors
// are those of Send.
func (c *Conn) SendPkg(data []byte, option ...PkgOption) error {
	return c.link().sendPkg(data, limit{}, first(option))
}

// SendPkgWithTimeout is SendPkg with a bound on each attempt; see
// SendWithTimeout.
func (c *Conn) SendPkgWithTimeout(data []byte, timeout time.Duration, option ...PkgOption) error {
	return c.link().sendPkg(data, sendLimit(timeout), first(option))
}

// RecvPkg receives one package. An empty one is nil, without an error.
//
// When the stream ends, the error is io.EOF, with the part of the data that
// came before it if the header was whole. After a timeout, a net.Error, the
// next RecvPkg goes on where the package was cut, in the format it was begun
// in. A length above MaxDataSize is a *PkgError: its data is not read, and the
// connection is of no more use for packages.
func (c *Conn) RecvPkg(option ...PkgOption) ([]byte, error) {
	return c.link().receivePkg(limit{}, first(option))
}

// RecvPkgWithTimeout is RecvPkg with a bound on each attempt; see
// RecvWithTimeout.
func (c *Conn) RecvPkgWithTimeout(timeout time.Duration, option ...PkgOption) ([]byte, error) {
	return c.link().receivePkg(recvLimit(timeout), first(option))
}

// SendRecvPkg is SendPkg and then RecvPkg.
func (c *Conn) SendRecvPkg(data []byte, option ...PkgOption) ([]byte, error) {
	if err := c.SendPkg(data, option...); err != nil {
		return nil, err
	}
	return c.RecvPkg(option...)
}

// SendRecvPkgWithTimeout is SendPkg and then RecvPkgWithTimeout: the timeout
// bounds the read.
func (c *Conn) SendRecvPkgWithTimeout(data []byte, timeout time.Duration, option ...PkgOption) ([]byte, error) {
	if err := c.SendPkg(data, option...); err != nil {
		return nil, err
	}
	return c.RecvPkgWithTimeout(timeout, option...)
}

// pkgHeader is the header of a package being sent, and room for the call that
// writes it together with the data.
type pkgHeader struct {
	store [maxHeaderSize]byte
	left  []byte // of store, to be written
	parts [2][]byte
}

var pkgHeaders = sync.Pool{New: func() any { return new(pkgHeader) }}

func (h *pkgHeader) with(body []byte) [][]byte {
	h.parts = [2][]byte{h.left, body}
	return h.parts[:]
}

func (s *stream) sendPkg(data []byte, l limit, o PkgOption) error {
	f, err := o.format()
	if err != nil {
		return err
	}
	if len(data) > f.MaxSize {
		return &PkgError{Field: "data", Size: int64(len(data)), Limit: int64(f.MaxSize)}
	}
	h := pkgHeaders.Get().(*pkgHeader)
	defer func() {
		h.parts = [2][]byte{}
		pkgHeaders.Put(h)
	}()
	if h.left, err = f.AppendHeader(h.store[:0], len(data)); err != nil {
		return err
	}
	return s.sendAll(outgoing{pkg: h, body: data}, l, o.Retry)
}

// pkgReader reads the packages of one format. It passes the connection to
// package framing and notes when a package is half read.
type pkgReader struct {
	*conn.Conn
	format framing.Format
	frames *framing.Reader
	mid    bool
}

// SetMidMessage is called by package framing.
func (r *pkgReader) SetMidMessage(mid bool) {
	r.mid = mid
	r.Conn.SetMidMessage(mid)
}

// pkgReaders holds readers between two packages, so that a connection has one
// only while it receives.
var pkgReaders sync.Pool

func newPkgReader(c *conn.Conn, f framing.Format) *pkgReader {
	if r, ok := pkgReaders.Get().(*pkgReader); ok && r.format == f {
		r.Conn = c
		return r
	}
	r := &pkgReader{Conn: c, format: f}
	r.frames = framing.NewReader(r, f)
	return r
}

func (r *pkgReader) recycle() {
	r.Conn = nil
	pkgReaders.Put(r)
}

// next reads the next package, or the rest of one that a timeout cut.
func (r *pkgReader) next() ([]byte, error) {
	data, err := r.frames.ReadFrame(nil)
	if err != nil {
		_ = r.frames.Release() // whoever reads next reads from the connection itself
	}
	return data, err
}

// reading is a package on its way in.
type reading struct {
	r    *pkgReader
	data []byte
}

func (p reading) next() (reading, error) {
	data, err := p.r.next()
	return reading{p.r, data}, err
}

func (s *stream) receivePkg(l limit, o PkgOption) ([]byte, error) {
	f, err := o.format()
	if err != nil {
		return nil, err
	}
	s.receiving.Lock()
	defer s.receiving.Unlock()
	r := s.pending
	s.pending = nil
	if r == nil {
		r = newPkgReader(s.current(), f)
	}
	p, err := attempt(s, l, o.Retry, reading{r: r}, reading.next)
	var size *framing.SizeError
	switch {
	case err == nil:
		r.recycle()
	case r.mid && isTimeout(err):
		s.pending = r
	case errors.As(err, &size):
		return nil, &PkgError{Field: "package", Size: int64(size.Size), Limit: int64(size.Limit)}
	}
	return p.data, bareEOF(err)
}
