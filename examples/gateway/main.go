// Command gateway stands between devices and a backend that speak a protocol with a
// length field: 4 bytes of length that count the whole message, 4 bytes of command, 4
// bytes of a number that pairs a reply with its request, and a body. Each device has
// a connection to the gateway. The gateway has one connection to the backend, for all
// of them. Look at format and match, which describe the protocol, and at forward,
// which is the gateway. Backend and devices run in the same process.
//
//	go run ./examples/gateway
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/server"
)

// The protocol: how its messages are framed, and where their number is.
var (
	format = framing.Format{HeaderSize: 4, LengthAdjust: -4, Strip: -1, MaxSize: 64 << 10}
	match  = pipeline.Number{Offset: 8, Size: 4}
)

const (
	headerSize = 12
	submit     = 1
	isReply    = 1 << 31
	failed     = 1 << 30
)

// message makes a message. Its length is filled in when it is sent.
func message(command, number uint32, body string) []byte {
	m := make([]byte, headerSize, headerSize+len(body))
	binary.BigEndian.PutUint32(m[4:], command)
	binary.BigEndian.PutUint32(m[8:], number)
	return append(m, body...)
}

// newGateway returns the server for the devices. It has up to 64 requests of a
// device and 1000 of all devices in progress, and sends each reply when it is ready.
func newGateway(backend *gtcp.Client) *server.Server {
	g := &gateway{backend}
	frames := server.Frames(format, g.forward)
	frames.Concurrency, frames.Unordered = 64, true
	frames.Limiter, frames.ErrorReplyTo = &server.Limiter{Max: 1000}, errorReply
	return &server.Server{Handler: frames, MaxConns: 10000}
}

// newBackendClient returns the client of the backend: one connection for all devices.
func newBackendClient(addr string) *gtcp.Client {
	return gtcp.NewClient(addr, gtcp.ClientConfig{Shared: true, Format: format, Match: match})
}

type gateway struct{ backend *gtcp.Client }

// forward sends a request to the backend, and returns its reply. The client puts a
// number of its own into the request, and the number of the device into the reply.
func (g *gateway) forward(ctx context.Context, request []byte) ([]byte, error) {
	if len(request) < headerSize {
		return nil, errors.New("a message that is shorter than its header")
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return g.backend.Call(ctx, request)
}

// errorReply makes a message of an error of forward, or of the Limiter. It has the
// number of the request, so that the device knows which request has failed. A message
// without a number ends the connection.
func errorReply(_ context.Context, request []byte, err error) []byte {
	if len(request) < headerSize {
		return nil
	}
	return message(isReply|failed|submit, binary.BigEndian.Uint32(request[8:]), conn.KindOf(err))
}

// newBackend returns a server that replies to each message, some later than others.
func newBackend() *server.Server {
	frames := server.Frames(format, func(ctx context.Context, request []byte) ([]byte, error) {
		body := string(request[headerSize:])
		if body == "slow" {
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		return message(isReply|submit, binary.BigEndian.Uint32(request[8:]), body+" is done"), nil
	})
	frames.Concurrency, frames.Unordered = 64, true
	return &server.Server{Handler: frames}
}

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "gateway:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	backend, stopBackend, err := start(newBackend())
	if err != nil {
		return err
	}
	defer stopBackend()
	client := newBackendClient(backend)
	defer client.Close()
	addr, stop, err := start(newGateway(client))
	if err != nil {
		return err
	}
	defer stop()

	// Three devices at once, which all use the same numbers.
	var devices sync.WaitGroup
	replies := make([]string, 3)
	failures := make([]error, 3)
	for n := range replies {
		devices.Go(func() { replies[n], failures[n] = device(ctx, addr, fmt.Sprint("device ", n+1)) })
	}
	devices.Wait()
	for _, text := range replies {
		fmt.Fprint(out, text)
	}
	fmt.Fprintln(out, "connections to the backend:", client.Stat().Pipeline.Dials)

	stopBackend()
	text, err := device(ctx, addr, "device 4, without a backend")
	fmt.Fprint(out, text)
	return errors.Join(append(failures, err)...)
}

// device sends two requests at once and returns what it gets, in the order in which
// it comes.
func device(ctx context.Context, addr, name string) (text string, err error) {
	c, err := new(conn.Dialer).Dial(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	err = c.Do(ctx, func() error {
		w, r := framing.NewWriter(c, format), framing.NewReader(c, format)
		for number, body := range []string{"slow", "quick"} {
			if err := w.WriteFrame(message(submit, uint32(number), body)); err != nil {
				return err
			}
		}
		if err := w.Flush(); err != nil {
			return err
		}
		for range 2 {
			reply, err := r.Next()
			if err != nil {
				return err
			}
			outcome := "reply"
			if binary.BigEndian.Uint32(reply[4:])&failed != 0 {
				outcome = "error"
			}
			text += fmt.Sprintf("%s, number %d: %s: %s\n", name, binary.BigEndian.Uint32(reply[8:]), outcome, reply[headerSize:])
		}
		return nil
	})
	return text, err
}

// start serves on a free port of this machine.
func start(s *server.Server) (addr string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(l) // until stop
	}()
	return l.Addr().String(), func() {
		_ = s.Close()
		<-served
	}, nil
}
