package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"

	"github.com/gogf/gf/v2/net/gtcp"

	ours "github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/framing/envelope"
	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/compare"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
	"github.com/seed-99d6a01a/gtcp/pool/slotpool"
	"github.com/seed-99d6a01a/gtcp/server"
)

// caller makes the function by which one goroutine makes one call.
type caller func() func() error

// by is a candidate with k goroutines that call. Each has a call function to
// itself, and with it a connection, where callers have connections.
func by(k int, name string, make caller) compare.Candidate {
	free := newCalls(k, make)
	return compare.Candidate{Name: name, Do: compare.Callers(k, func(n int) error {
		f := <-free
		defer func() { free <- f }()
		for range n {
			if err := f(); err != nil {
				return err
			}
		}
		return nil
	})}
}

func newCalls(k int, make1 caller) chan func() error {
	free := make(chan func() error, k)
	for range k {
		free <- make1()
	}
	return free
}

// serve starts the server that all call.
func serve() (addr string, err error) { return serveFrames(false) }

// serveFrames starts a server, whose frames may have envelopes.
func serveFrames(enveloped bool) (addr string, err error) {
	return serveHandler(&server.FrameHandler{
		Envelope: enveloped,
		Append:   func(_ context.Context, dst, req []byte) ([]byte, error) { return append(dst, req...), nil },
	})
}

func serveHandler(h *server.FrameHandler) (addr string, err error) {
	l, err := net.Listen("tcp4", "0.0.0.0:0") // all of 127.0.0.0/8: see setOf
	if err != nil {
		return "", err
	}
	srv := &server.Server{Handler: h}
	go func() { panic(srv.Serve(l)) }()
	return fmt.Sprintf("127.0.0.1:%d", l.Addr().(*net.TCPAddr).Port), nil
}

var errReply = errors.New("reply of a wrong size")

// checked is a call by way of f, which appends the reply to its second
// argument.
func checked(f func(req, dst []byte) ([]byte, error)) func() error {
	req, dst := make([]byte, payload), make([]byte, 0, payload+envelope.MinSize)
	return func() error {
		reply, err := f(req, dst)
		if err == nil && len(reply) != payload {
			err = errReply
		}
		return err
	}
}

func gtcpPool(addr string) caller {
	return func() func() error {
		return checked(func(req, _ []byte) ([]byte, error) {
			c, err := gtcp.NewPoolConn(addr)
			if err != nil {
				return nil, err
			}
			defer c.Close()
			return c.SendRecvPkg(req)
		})
	}
}

func pipelined(addr string, conns int) caller {
	p, err := pipeline.New(conn.Target{Address: addr}, framing.Format{}, pipeline.Config{MaxConns: conns})
	return func() func() error {
		return checked(func(req, dst []byte) ([]byte, error) {
			if err != nil {
				return nil, err
			}
			return p.AppendCall(context.Background(), dst, req)
		})
	}
}

func client(addr string, shared bool, ctx context.Context) caller {
	return clientOf(addr, ours.ClientConfig{Shared: shared}, ctx)
}

// setOf calls a set of n endpoints, which are names of the same server.
func setOf(addr string, n int, shared bool) caller {
	_, port, _ := net.SplitHostPort(addr)
	set := make(resolve.Static, n)
	for i := range set {
		set[i].Addr = net.JoinHostPort(net.IPv4(127, 0, 0, byte(1+i)).String(), port)
	}
	return clientOf("", ours.ClientConfig{Shared: shared, Resolver: set}, context.Background())
}

// inTurn is n Clients, each with its own connections to the server, that a
// caller calls in turn: what a set of n endpoints takes without a balancer.
func inTurn(addr string, n int, shared bool) caller {
	_, port, _ := net.SplitHostPort(addr)
	clients := make([]*ours.Client, n)
	for i := range clients {
		clients[i] = ours.NewClient(net.JoinHostPort(net.IPv4(127, 0, 0, byte(1+i)).String(), port), ours.ClientConfig{Shared: shared})
	}
	return func() func() error {
		next := rand.N(n)
		return checked(func(req, dst []byte) ([]byte, error) {
			next = (next + 1) % n
			return clients[next].AppendCall(context.Background(), dst, req)
		})
	}
}

func slotClient(addr string) caller {
	return clientOf(addr, ours.ClientConfig{Pool: pool.Config{Backend: slotpool.Open[*pool.Member]}}, context.Background())
}

func clientOf(addr string, cfg ours.ClientConfig, ctx context.Context) caller {
	c := ours.NewClient(addr, cfg)
	return func() func() error {
		return checked(func(req, dst []byte) ([]byte, error) { return c.AppendCall(ctx, dst, req) })
	}
}

// bare is a write and a read on a connection of one's own.
func bare(addr string) caller {
	return func() func() error {
		c, err := net.Dial("tcp", addr)
		frame, _ := framing.Format{}.Append(nil, make([]byte, payload))
		return func() error {
			if err != nil {
				return err
			}
			if _, err := c.Write(frame); err != nil {
				return err
			}
			_, err := io.ReadFull(c, frame)
			return err
		}
	}
}

// floor is the least that sharing a connection takes: a goroutine that writes,
// one that reads, and channels between them and the callers.
func floor(addr string) caller {
	type call struct {
		req, reply []byte
		done       chan struct{}
	}
	requests, pending := make(chan *call, 1024), make(chan *call, 1024)
	c, err := net.Dial("tcp", addr)
	if err == nil {
		go func() {
			w := bufio.NewWriterSize(c, 64<<10)
			var head [2]byte
			for r := range requests {
				binary.BigEndian.PutUint16(head[:], uint16(len(r.req)))
				_, _ = w.Write(head[:])
				_, _ = w.Write(r.req)
				pending <- r
				if len(requests) > 0 {
					continue
				}
				runtime.Gosched() // callers just woken get into this write
				if len(requests) == 0 {
					_ = w.Flush()
				}
			}
		}()
		go func() {
			r := bufio.NewReaderSize(c, 64<<10)
			for p := range pending {
				head, err := r.Peek(2)
				if err != nil {
					panic(err)
				}
				p.reply = p.reply[:binary.BigEndian.Uint16(head)]
				_, _ = r.Discard(2)
				if _, err := io.ReadFull(r, p.reply); err != nil {
					panic(err)
				}
				p.done <- struct{}{}
			}
		}()
	}
	return func() func() error {
		r := &call{done: make(chan struct{}, 1)}
		return checked(func(req, dst []byte) ([]byte, error) {
			if err != nil {
				return nil, err
			}
			r.req, r.reply = req, dst
			requests <- r
			<-r.done
			return r.reply, nil
		})
	}
}
