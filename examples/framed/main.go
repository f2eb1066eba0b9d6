// Command framed speaks a package protocol of its own: a kind in 1 byte, then
// a length in 4 bytes, little-endian, that counts the whole frame, then the
// payload. The server replies with the payload in upper case; the
// client sends the words it is given, all in one write, and prints the replies.
// Look at format: it is all that package framing has to know of the protocol. The
// server runs in the same process.
//
//	go run ./examples/framed one two
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/server"
)

// The kinds of frame, and the bytes before the payload.
const (
	question, answer = 'Q', 'A'
	headerSize       = 5
)

// format says where the length is and what it counts. Strip keeps the frame
// whole, so that reader and writer see the kind; the length is filled in.
var format = framing.Format{
	HeaderSize:   4,
	LittleEndian: true,
	LengthOffset: 1,
	LengthAdjust: -headerSize,
	Strip:        -1,
	MaxSize:      64 << 10,
}

func main() {
	words := os.Args[1:]
	if len(words) == 0 {
		words = []string{"one", "two", "three"}
	}
	if err := run(context.Background(), words, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "framed:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, words []string, out io.Writer) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &server.Server{Handler: &server.FrameHandler{Format: format, Append: reply}}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	defer func() {
		if stopErr := srv.Shutdown(ctx); err == nil {
			err = stopErr
		}
		<-served
	}()

	c, err := new(conn.Dialer).Dial(ctx, "tcp", l.Addr().String())
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Do(ctx, func() error { return ask(c, words, out) })
}

// reply appends the reply to req to dst.
func reply(_ context.Context, dst, req []byte) ([]byte, error) {
	if len(req) < headerSize || req[0] != question {
		return nil, fmt.Errorf("not a question: %q", req)
	}
	return append(frame(dst, answer), bytes.ToUpper(req[headerSize:])...), nil
}

// ask sends every word and then reads every reply.
func ask(c *conn.Conn, words []string, out io.Writer) error {
	w := framing.NewWriter(c, format)
	for _, word := range words {
		if err := w.WriteFrame(append(frame(nil, question), word...)); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	r := framing.NewReader(c, format)
	for range words {
		f, err := r.Next()
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%c %s\n", f[0], f[headerSize:])
	}
	return nil
}

// frame appends the header of a frame to dst, with room for its length.
func frame(dst []byte, kind byte) []byte {
	return append(dst, kind, 0, 0, 0, 0)
}
