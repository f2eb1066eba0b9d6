package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/server"
)

// echo is a server in this process that sends each request back: to try the tool,
// and to see what a setting of a server does.
type echo struct {
	addr string
	// delay is how long the handler of each request waits.
	delay time.Duration
	// At the end of each period of period, all handlers stop for pause, as a
	// server does that collects garbage or waits for a disk.
	pause       time.Duration
	concurrency int
	listener    net.Listener // nil listens at addr
}

const period = 2 * time.Second

// parseEcho reads "host:port[,delay=D][,pause=D][,concurrency=N]".
func parseEcho(text string) (e echo, err error) {
	addr, rest, more := strings.Cut(text, ",")
	if e.addr = addr; addr == "" {
		return e, errors.New("no address")
	}
	if !more {
		return e, nil
	}
	return e, options(rest, func(key, value string) (err error) {
		switch key {
		case "delay":
			e.delay, err = time.ParseDuration(value)
		case "pause":
			e.pause, err = time.ParseDuration(value)
			if err == nil && (e.pause < 0 || e.pause >= period) {
				err = fmt.Errorf("want a pause below %v", period)
			}
		case "concurrency":
			e.concurrency, err = positive(value)
		default:
			return errors.New("not an option of an echo server (delay=D, pause=D, concurrency=N)")
		}
		return err
	})
}

// serve starts the server, and says so. stop ends it.
func (e echo) serve(format framing.Format, envelope bool, log io.Writer) (stop func() error, err error) {
	l := e.listener
	if l == nil {
		if l, err = net.Listen("tcp", e.addr); err != nil {
			return nil, err
		}
	}
	begun := time.Now()
	srv := &server.Server{Handler: &server.FrameHandler{Format: format, Envelope: envelope, Concurrency: e.concurrency,
		Append: func(_ context.Context, dst, request []byte) ([]byte, error) {
			e.wait(begun)
			return append(dst, request...), nil
		}}}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	fmt.Fprintf(log, "echo server in this process: %s\n", l.Addr())
	return func() error {
		err := srv.Close()
		if e := <-served; !errors.Is(e, server.ErrServerClosed) {
			err = errors.Join(err, e)
		}
		return err
	}, nil
}

// wait is what a handler does before it replies.
func (e echo) wait(begun time.Time) {
	if e.pause > 0 {
		if left := period - time.Since(begun)%period; left <= e.pause {
			time.Sleep(left)
		}
	}
	if e.delay > 0 {
		time.Sleep(e.delay)
	}
}
