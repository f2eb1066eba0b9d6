package pipeline_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/server"
)

// The messages have a length, a number, a text and a checksum of all that. The
// pipeline changes the number, so its Matcher must write the checksum again.
func ExampleMatcher() {
	format := framing.Format{HeaderSize: 4, LengthAdjust: -4, Strip: -1}
	match := sealed{pipeline.Number{Offset: 4, Size: 4}}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	srv := &server.Server{Handler: server.Frames(format, func(_ context.Context, request []byte) ([]byte, error) {
		if _, ok := match.Get(request); !ok {
			return nil, errors.New("no number, or a wrong checksum")
		}
		return request, nil
	})}
	go func() { _ = srv.Serve(l) }()
	defer srv.Close()

	p, err := pipeline.New(conn.Target{Address: l.Addr().String()}, format, pipeline.Config{Match: match})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	request := append([]byte{0, 0, 0, 17, 0, 0, 1, 44}, "hello\x00\x00\x00\x00"...)
	seal(request)
	reply, err := p.Call(context.Background(), request)
	fmt.Println(err, binary.BigEndian.Uint32(reply[4:]))
	_, ok := match.Get(reply)
	fmt.Println("checksum:", ok)
	// Output:
	// <nil> 300
	// checksum: true
}

// sealed is a Matcher of messages that end with a CRC-32 of all bytes before it.
type sealed struct{ pipeline.Number }

// Put writes a number into a request, and its checksum again.
func (m sealed) Put(request []byte, n uint64) (old uint64, ok bool) {
	old, ok = m.Number.Put(request, n)
	return old, ok && seal(request)
}

// Get returns the number of a reply. A reply with a wrong checksum is none.
func (m sealed) Get(reply []byte) (n uint64, ok bool) {
	if body := len(reply) - crc32.Size; body < 0 || binary.BigEndian.Uint32(reply[body:]) != crc32.ChecksumIEEE(reply[:body]) {
		return 0, false
	}
	return m.Number.Get(reply)
}

// Restore writes the number of the caller into a reply, and its checksum again.
func (m sealed) Restore(reply []byte, old uint64) {
	m.Number.Restore(reply, old)
	seal(reply)
}

// seal writes the checksum at the end of a message. It returns false if there is no
// room for it.
func seal(message []byte) bool {
	body := len(message) - crc32.Size
	if body < 0 {
		return false
	}
	binary.BigEndian.PutUint32(message[body:], crc32.ChecksumIEEE(message[:body]))
	return true
}
