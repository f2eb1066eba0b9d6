package echo

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/server"
)

// The servers. All but the loops over conn and the buffer-less one answer the
// frames of one read with one write; Netpoll and gtcp's do so only where said.
const (
	Server       = "server.Frames"
	ServerParked = "server.Frames, parked"
	ServerAwake  = "server.Frames, never parked"
	ServerTLS    = "server.Frames, parked, TLS"
	Loop         = "conn, framing"
	LoopOwn      = "conn, framing, a Writer each"
	Gtcp         = "gtcp"
	Netpoll      = "netpoll"
	NetpollBatch = "netpoll, coalesced"
	Gnet         = "gnet"
	GnetPool     = "gnet, worker pool" // for one request in flight: it keeps no order
	Nbio         = "nbio"
	Std          = "standard library, 64 KiB each way"
	StdBare      = "standard library, no buffers"
)

var servers = map[string]func(net.Listener) error{
	Server:       serveFrames(0, 0, false), // parked within 0.1 s, and asleep
	ServerParked: serveFrames(0, -1, false),
	ServerAwake:  serveFrames(-1, 0, false),
	ServerTLS:    serveFrames(0, 0, true),
	Loop:         each(loopSharedWriter),
	LoopOwn:      each(loopOwnWriter),
	Gtcp:         serveGtcp,
	Netpoll:      serveNetpoll(false),
	NetpollBatch: serveNetpoll(true),
	Gnet:         serveGnet(&gnetEcho{}),
	GnetPool:     serveGnet(&gnetPool{}),
	Nbio:         serveNbio,
	Std:          each(stdCoalesced),
	StdBare:      each(stdBare),
}

// delay is how long the handler of every server blocks, as one does that asks a
// database.
var delay time.Duration

// handle is the request handler of every server: each request is read from its
// frame, handed to it alone, and its answer framed again.
//
//go:noinline
func handle(req []byte) []byte {
	if delay > 0 {
		time.Sleep(delay)
	}
	return req
}

func serveFrames(parkAfter, sleepAfter time.Duration, secure bool) func(net.Listener) error {
	return func(l net.Listener) error {
		h := server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) {
			return handle(req), nil
		})
		h.ParkAfter, h.SleepAfter = parkAfter, sleepAfter
		s := &server.Server{Handler: h}
		if secure {
			var err error
			if s.TLSConfig, err = serverTLS(); err != nil {
				return err
			}
		}
		return s.Serve(l)
	}
}

// each serves with a goroutine to a connection.
func each(serve func(net.Conn) error) func(net.Listener) error {
	return func(l net.Listener) error {
		for {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			go func() {
				defer c.Close()
				_ = serve(c) // the peer has closed, or finds out that we have
			}()
		}
	}
}

// writers are shared, for a Writer has no use between frames.
var writers = sync.Pool{New: func() any { return framing.NewWriter(nil, framing.Format{}) }}

// loopSharedWriter is the frame loop of a server that means to hold many
// connections.
func loopSharedWriter(nc net.Conn) error {
	c := conn.New(nc)
	defer c.Close()
	r := framing.NewReader(c, framing.Format{})
	for {
		frame, err := r.Next()
		if err != nil {
			return err
		}
		w := writers.Get().(*framing.Writer)
		w.Reset(c)
		if err := writeFlush(w, handle(frame)); err != nil {
			return err
		}
		w.Reset(nil)
		writers.Put(w)
	}
}

// loopOwnWriter is the same loop in its plainest form.
func loopOwnWriter(nc net.Conn) error {
	c := conn.New(nc)
	defer c.Close()
	r := framing.NewReader(c, framing.Format{})
	w := framing.NewWriter(c, framing.Format{})
	for {
		frame, err := r.Next()
		if err != nil {
			return err
		}
		if err := writeFlush(w, handle(frame)); err != nil {
			return err
		}
	}
}

func writeFlush(w *framing.Writer, frame []byte) error {
	if err := w.WriteFrame(frame); err != nil {
		return err
	}
	return w.Flush()
}

// stdCoalesced is what one would write with the standard library alone: it
// writes when no whole frame is left to read.
func stdCoalesced(c net.Conn) error {
	r, w := bufio.NewReaderSize(c, 64<<10), bufio.NewWriterSize(c, 64<<10)
	for {
		head, err := r.Peek(2)
		if err != nil {
			return err
		}
		n := 2 + int(binary.BigEndian.Uint16(head))
		frame, err := r.Peek(n)
		if err != nil {
			return err
		}
		resp := handle(frame[2:])
		_, _ = w.Write(binary.BigEndian.AppendUint16(w.AvailableBuffer(), uint16(len(resp))))
		if _, err := w.Write(resp); err != nil {
			return err
		}
		_, _ = r.Discard(n)
		if r.Buffered() < 2+Payload {
			if err := w.Flush(); err != nil {
				return err
			}
		}
	}
}

// stdBare is the least a program with a goroutine to a connection can do: no
// layers, and a buffer that is made for each frame and kept for none.
func stdBare(c net.Conn) error {
	header := make([]byte, 2)
	for {
		if _, err := io.ReadFull(c, header); err != nil {
			return err
		}
		frame := make([]byte, 2+binary.BigEndian.Uint16(header))
		copy(frame, header)
		if _, err := io.ReadFull(c, frame[2:]); err != nil {
			return err
		}
		if _, err := c.Write(frame); err != nil {
			return err
		}
	}
}
