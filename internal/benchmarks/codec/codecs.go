package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"

	gf "github.com/gogf/gf/v2/net/gtcp"
	"github.com/libp2p/go-msgio"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/compare"
)

// A codec reads or writes frames in memory, one a call. step returns the
// number of payload bytes of its frame.
type codec struct {
	name string
	step func() (int, error)
}

const (
	readFloor  = "floor: by hand, own buffer"
	writeFloor = "floor: by hand, coalesced"
)

// endless is a connection that brings the same frames over and over and
// swallows what is written to it.
type endless struct {
	net.Conn // nil: nothing else is called
	frames   []byte
	at       int
	written  int
}

func newEndless(header int, payload []byte) *endless {
	e := &endless{}
	for len(e.frames) < 48<<10 {
		size := binary.BigEndian.AppendUint32(nil, uint32(len(payload)))
		e.frames = append(append(e.frames, size[4-header:]...), payload...)
	}
	return e
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.frames[e.at:])
	e.at += n
	if e.at == len(e.frames) {
		e.at = 0
	}
	return n, nil
}

func (e *endless) Write(p []byte) (int, error) {
	e.written += len(p)
	return len(p), nil
}

func (e *endless) Close() error         { return nil }
func (e *endless) RemoteAddr() net.Addr { return &net.TCPAddr{} }
func (e *endless) LocalAddr() net.Addr  { return &net.TCPAddr{} }

// next returns a step that reads with Next.
func next(r *framing.Reader) func() (int, error) {
	return func() (int, error) {
		b, err := r.Next()
		return len(b), err
	}
}

func exclusive(r *framing.Reader) *framing.Reader {
	r.Exclusive = true
	return r
}

func readers(payload []byte) []codec {
	var f framing.Format
	source := func() *endless { return newEndless(2, payload) }
	appending := framing.NewReader(source(), f)
	var dst []byte
	peer := gf.NewConnByNetConn(source())
	messages := msgio.NewReader(newEndless(4, payload))
	return []codec{
		{readFloor, handRead(source(), len(payload))},
		{"by hand, bufio", handPeek(bufio.NewReaderSize(source(), 16<<10))},
		{"framing Next, own buffer", next(framing.NewReader(source(), f))},
		{"framing Next, bufio", next(framing.NewReader(bufio.NewReaderSize(source(), 16<<10), f))},
		{"framing Next, bufio, Exclusive", next(exclusive(framing.NewReader(bufio.NewReaderSize(source(), 16<<10), f)))},
		{"framing Next, conn", next(framing.NewReader(conn.New(source()), f))},
		{"framing Next, conn, Exclusive", next(exclusive(framing.NewReader(conn.New(source()), f)))},
		{"framing ReadFrame, own buffer", func() (n int, err error) {
			dst, err = appending.ReadFrame(dst[:0])
			return len(dst), err
		}},
		{"gtcp RecvPkg", func() (int, error) {
			b, err := peer.RecvPkg()
			return len(b), err
		}},
		{"go-msgio ReadMsg", func() (int, error) {
			b, err := messages.ReadMsg()
			messages.ReleaseMsg(b)
			return len(b), err
		}},
	}
}

// handRead is the least code that reads frames: it trusts that each fits.
func handRead(r io.Reader, most int) func() (int, error) {
	buf := make([]byte, 16<<10+most+2)
	var at, end int
	fill := func(n int) error {
		for end-at < n {
			end = copy(buf, buf[at:end])
			at = 0
			k, err := r.Read(buf[end:])
			if err != nil {
				return err
			}
			end += k
		}
		return nil
	}
	return func() (int, error) {
		if end-at < 2 {
			if err := fill(2); err != nil {
				return 0, err
			}
		}
		n := int(binary.BigEndian.Uint16(buf[at:]))
		if end-at < 2+n {
			if err := fill(2 + n); err != nil {
				return 0, err
			}
		}
		frame := buf[at+2 : at+2+n]
		at += 2 + n
		return len(frame), nil
	}
}

// handPeek is the same with bufio doing the buffering.
func handPeek(r *bufio.Reader) func() (int, error) {
	return func() (int, error) {
		h, err := r.Peek(2)
		if err != nil {
			return 0, err
		}
		n := 2 + int(binary.BigEndian.Uint16(h))
		b, err := r.Peek(n)
		if err != nil {
			return 0, err
		}
		_, err = r.Discard(n)
		return len(b) - 2, err
	}
}

func writers(payload []byte) []codec {
	var f framing.Format
	sink := &endless{}
	collect := framing.NewWriter(sink, f)
	each := framing.NewWriter(sink, f)
	var appended []byte
	peer := gf.NewConnByNetConn(&endless{})
	messages := msgio.NewWriter(&endless{})
	return []codec{
		{writeFloor, handWrite(sink, payload)},
		{"framing WriteFrame, coalesced", func() (int, error) { return len(payload), collect.WriteFrame(payload) }},
		{"framing WriteFrame and Flush each", func() (int, error) {
			if err := each.WriteFrame(payload); err != nil {
				return 0, err
			}
			return len(payload), each.Flush()
		}},
		{"framing Append", func() (n int, err error) {
			appended, err = f.Append(appended[:0], payload)
			return len(appended) - 2, err
		}},
		{"gtcp SendPkg", func() (int, error) { return len(payload), peer.SendPkg(payload) }},
		{"go-msgio WriteMsg", func() (int, error) { return len(payload), messages.WriteMsg(payload) }},
	}
}

// handWrite is the least code that writes coalesced frames.
func handWrite(w io.Writer, payload []byte) func() (int, error) {
	buf := make([]byte, 0, 64<<10)
	return func() (int, error) {
		if len(buf)+2+len(payload) > cap(buf) {
			if _, err := w.Write(buf); err != nil {
				return 0, err
			}
			buf = buf[:0]
		}
		buf = binary.BigEndian.AppendUint16(buf, uint16(len(payload)))
		buf = append(buf, payload...)
		return len(payload), nil
	}
}

// candidates are the codecs, whose frames must have size bytes.
func candidates(codecs []codec, size int) (all []compare.Candidate) {
	for _, c := range codecs {
		all = append(all, compare.Candidate{Name: c.name, Do: func(n int) error {
			for range n {
				got, err := c.step()
				if err != nil || got != size {
					return fmt.Errorf("frame of %d bytes in place of %d: %w", got, size, err)
				}
			}
			return nil
		}})
	}
	return all
}
