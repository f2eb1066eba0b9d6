// Command line speaks a line protocol over conn alone: the server replies
// to "ADD 1 2" with "3". Lines end in "\n", no line is longer than 1 KiB, and no
// call waits longer than its context. Look at how Do ends a read when the
// context ends. The server runs in the same process.
//
//	go run ./examples/line
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/server"
)

const maxLine = 1 << 10

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "line:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &server.Server{Handler: server.HandlerFunc(serve)}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	defer func() {
		err = errors.Join(err, srv.Close())
		<-served
	}()

	c, err := new(conn.Dialer).Dial(ctx, "tcp", l.Addr().String())
	if err != nil {
		return err
	}
	defer c.Close()
	var line []byte
	for _, command := range []string{"ADD 1 2", "ADD 40 2", "ADD one 2"} {
		err := c.Do(ctx, func() error {
			if _, err := c.Write([]byte(command + "\n")); err != nil {
				return err
			}
			var err error
			line, err = c.ReadUntil(line[:0], []byte("\n"), maxLine)
			return err
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s = %s", command, line)
	}
	return nil
}

// serve replies line by line. A client gets a minute for each line.
func serve(_ context.Context, c *conn.Conn) {
	var line []byte
	for {
		if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			return
		}
		var err error
		if line, err = c.ReadUntil(line[:0], []byte("\n"), maxLine); err != nil {
			return
		}
		if _, err := c.WriteBuffers([][]byte{compute(line), []byte("\n")}); err != nil {
			return
		}
	}
}

// compute returns the reply to one command.
func compute(line []byte) []byte {
	words := bytes.Fields(line)
	if len(words) != 3 || string(words[0]) != "ADD" {
		return []byte("usage: ADD number number")
	}
	a, errA := strconv.Atoi(string(words[1]))
	b, errB := strconv.Atoi(string(words[2]))
	if err := errors.Join(errA, errB); err != nil {
		return []byte("not a number")
	}
	return strconv.AppendInt(nil, int64(a)+int64(b), 10)
}
