package pipeline_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/server"
)

// In SMPP the server sends requests too. OnPush gets them and replies, also if a call in
// progress has the same number.
func ExampleMatcher_requestsOfTheServer() {
	const submit, enquireLink, isReply = 0x4, 0x15, 0x80000000
	format := framing.Format{HeaderSize: 4, LengthAdjust: -4, Strip: -1}
	message := func(command, number uint32) []byte {
		m := binary.BigEndian.AppendUint32([]byte{0, 0, 0, 16}, command)
		return binary.BigEndian.AppendUint32(append(m, 0, 0, 0, 0), number)
	}
	command := func(m []byte) uint32 { return binary.BigEndian.Uint32(m[4:]) }

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	alive := make(chan uint32, 1)
	srv := &server.Server{Handler: server.Frames(format, func(ctx context.Context, m []byte) ([]byte, error) {
		number := binary.BigEndian.Uint32(m[12:])
		switch command(m) {
		case submit:
			return message(submit|isReply, number), server.Send(ctx, message(enquireLink, number))
		case enquireLink | isReply:
			alive <- number
		}
		return nil, server.ErrNoReply
	})}
	go func() { _ = srv.Serve(l) }()
	defer srv.Close()

	p, err := pipeline.New(conn.Target{Address: l.Addr().String()}, format, pipeline.Config{
		Match: twoWay{pipeline.Number{Offset: 12, Size: 4}, 4, 0x80, 1<<31 - 1},
		OnPush: func(_ context.Context, push *pipeline.Push) {
			reply := message(command(push.Frame)|isReply, binary.BigEndian.Uint32(push.Frame[12:]))
			_ = push.Send(reply) // fails if the connection has ended
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	reply, err := p.Call(context.Background(), message(submit, 300))
	fmt.Printf("%x %d %v\n", command(reply), binary.BigEndian.Uint32(reply[12:]), err)
	fmt.Println("the server has its reply:", <-alive)
	// Output:
	// 80000004 300 <nil>
	// the server has its reply: 1
}

// twoWay is a Matcher of a protocol in which the server sends requests too, with its own
// numbers. The highest bit of one byte tells requests from replies.
type twoWay struct {
	pipeline.Number
	at    int    // the byte
	reply byte   // the bit in a reply: 0x80, or 0 if requests have it
	max   uint64 // the largest number that the protocol permits
}

// Get returns the number of a reply. A request of the server is none.
func (m twoWay) Get(message []byte) (n uint64, ok bool) {
	if len(message) <= m.at || message[m.at]&0x80 != m.reply {
		return 0, false
	}
	return m.Number.Get(message)
}

// Max returns the largest number.
func (m twoWay) Max() uint64 { return m.max }
