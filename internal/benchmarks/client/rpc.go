package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/rpc"
	"strings"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/lesismal/arpc"
	arpclog "github.com/lesismal/arpc/log"
	rpcxclient "github.com/smallnest/rpcx/client"
	rpcxlog "github.com/smallnest/rpcx/log"
	"github.com/smallnest/rpcx/protocol"
	rpcxserver "github.com/smallnest/rpcx/server"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"storj.io/drpc"
	"storj.io/drpc/drpcconn"
	"storj.io/drpc/drpcserver"

	"github.com/seed-99d6a01a/gtcp/internal/benchmarks/internal/compare"
)

// rpcs compares the shared Client with RPC libraries, each with a server of its
// own in this process, and with one connection, but for drpc: it serves one call
// at a time on a connection, so each of its callers has one.
func rpcs(p *compare.Program, addr string) error {
	arpclog.SetLevel(arpclog.LevelNone)
	rpcxlog.SetDummyLogger()
	defer func(s compare.Settings) { p.Settings = s }(p.Settings)
	if !p.Short { // in short turns arpc stands still now and then
		p.Settings = compare.Settings{Rounds: 11, Length: 100 * time.Millisecond}
	}
	const ours = "Client, shared"
	for _, callers := range []int{1, 16, 256, 2048} {
		c := compare.Comparison{
			Title:      fmt.Sprintf("RPC libraries, callers: %d", callers),
			Allocs:     true,
			Candidates: []compare.Candidate{by(callers, ours, client(addr, true, context.Background()))},
		}
		goal := compare.Goal{Ref: "D.3", Says: "every RPC library takes longer", Of: ours, Want: compare.AtMost(map[int]float64{1: 0.714, 256: 0.125}[callers])}
		for _, peer := range peers {
			open, err := peer.serve()
			if err != nil {
				return fmt.Errorf("%s: %w", peer.name, err)
			}
			c.Candidates = append(c.Candidates, by(callers, peer.name, withdrawing(open)))
			goal.To = append(goal.To, peer.name)
		}
		if goal.Want.Number > 0 {
			goal.Says = map[int]string{1: "1.4 times as fast as every RPC library", 256: "8 times as fast as every RPC library"}[callers]
			c.Goals = append(c.Goals, goal)
		}
		if err := p.Compare(c); err != nil {
			return err
		}
	}
	return nil
}

// peer is an RPC library. serve starts an echo server and connects to it.
type peer struct {
	name  string
	serve func() (caller, error)
}

var peers = []peer{{"arpc", arpcCalls}, {"net/rpc", netRPCCalls}, {"rpcx", rpcxCalls}, {"ttrpc", ttrpcCalls},
	{"drpc, a connection each", drpcCalls}, {"gRPC, raw codec", grpcCalls}}

// withdrawing makes the failure of a library's call its own matter: the table says
// so, and the others go on.
func withdrawing(open caller) caller {
	return func() func() error {
		call := open()
		return func() error {
			if err := call(); err != nil {
				return compare.Withdrawn{Why: "a call failed: " + strings.Join(strings.Fields(err.Error()), " ")}
			}
			return nil
		}
	}
}

func listen(serve func(net.Listener) error) (addr string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go func() { panic(serve(l)) }()
	return l.Addr().String(), nil
}

// calls makes callers of a function that returns the reply.
func calls(call func(req []byte) ([]byte, error)) caller {
	return func() func() error {
		return checked(func(req, _ []byte) ([]byte, error) { return call(req) })
	}
}

func arpcCalls() (caller, error) {
	s := arpc.NewServer()
	s.Handler.Handle("/echo", func(c *arpc.Context) {
		var req []byte
		if err := c.Bind(&req); err != nil {
			_ = c.Error(err)
			return
		}
		_ = c.Write(req) // the caller finds out
	})
	addr, err := listen(s.Serve)
	if err != nil {
		return nil, err
	}
	c, err := arpc.NewClient(func() (net.Conn, error) { return net.Dial("tcp", addr) })
	return calls(func(req []byte) (reply []byte, err error) {
		err = c.Call("/echo", req, &reply, 10*time.Second)
		return reply, err
	}), err
}

// Echo is the service of net/rpc.
type Echo struct{}

// Echo sends the request back.
func (Echo) Echo(req []byte, reply *[]byte) error {
	*reply = req
	return nil
}

func netRPCCalls() (caller, error) {
	s := rpc.NewServer()
	if err := s.Register(Echo{}); err != nil {
		return nil, err
	}
	addr, err := listen(func(l net.Listener) error { s.Accept(l); return errors.New("net/rpc: accepts no more") })
	if err != nil {
		return nil, err
	}
	c, err := rpc.Dial("tcp", addr)
	return calls(func(req []byte) (reply []byte, err error) {
		err = c.Call("Echo.Echo", req, &reply)
		return reply, err
	}), err
}

// XEcho is the service of rpcx.
type XEcho struct{}

// Echo sends the request back.
func (XEcho) Echo(_ context.Context, req []byte, reply *[]byte) error {
	*reply = req
	return nil
}

func rpcxCalls() (caller, error) {
	s := rpcxserver.NewServer()
	if err := s.RegisterName("Echo", XEcho{}, ""); err != nil {
		return nil, err
	}
	addr, err := listen(func(l net.Listener) error { return s.ServeListener("tcp", l) })
	if err != nil {
		return nil, err
	}
	o := rpcxclient.DefaultOption
	o.SerializeType = protocol.SerializeNone
	c := rpcxclient.NewClient(o)
	return calls(func(req []byte) (reply []byte, err error) {
		err = c.Call(context.Background(), "Echo", "Echo", req, &reply)
		return reply, err
	}), c.Connect("tcp", addr)
}

func ttrpcCalls() (caller, error) {
	s, err := ttrpc.NewServer()
	if err != nil {
		return nil, err
	}
	s.RegisterService("echo", &ttrpc.ServiceDesc{Methods: map[string]ttrpc.Method{
		"Echo": func(_ context.Context, decode func(any) error) (any, error) {
			req := &wrapperspb.BytesValue{}
			return req, decode(req)
		},
	}})
	addr, err := listen(func(l net.Listener) error { return s.Serve(context.Background(), l) })
	if err != nil {
		return nil, err
	}
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c := ttrpc.NewClient(nc)
	return calls(func(req []byte) ([]byte, error) {
		reply := &wrapperspb.BytesValue{}
		err := c.Call(context.Background(), "echo", "Echo", &wrapperspb.BytesValue{Value: req}, reply)
		return reply.Value, err
	}), nil
}

// drpcEcho is the service of drpc, and how it and its clients encode bytes: as
// they are.
type drpcEcho struct{}

// HandleRPC sends the request back.
func (drpcEcho) HandleRPC(s drpc.Stream, _ string) error {
	var req []byte
	if err := s.MsgRecv(&req, drpcEcho{}); err != nil {
		return err
	}
	return s.MsgSend(&req, drpcEcho{})
}

func (drpcEcho) Marshal(msg drpc.Message) ([]byte, error) { return *msg.(*[]byte), nil }

func (drpcEcho) Unmarshal(data []byte, msg drpc.Message) error {
	b := msg.(*[]byte)
	*b = append((*b)[:0], data...)
	return nil
}

func drpcCalls() (caller, error) {
	s := drpcserver.New(drpcEcho{})
	addr, err := listen(func(l net.Listener) error { return s.Serve(context.Background(), l) })
	return func() func() error {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			return func() error { return err }
		}
		c := drpcconn.New(nc)
		return checked(func(req, dst []byte) ([]byte, error) {
			err := c.Invoke(context.Background(), "/echo", drpcEcho{}, &req, &dst)
			return dst, err
		})
	}, err
}

// rawCodec is gRPC's way to send bytes as they are.
type rawCodec struct{}

func (rawCodec) Name() string                  { return "raw" }
func (rawCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}

func grpcCalls() (caller, error) {
	s := grpc.NewServer(grpc.ForceServerCodec(rawCodec{}), grpc.MaxConcurrentStreams(1<<20))
	s.RegisterService(&grpc.ServiceDesc{ServiceName: "echo", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{
		MethodName: "Echo",
		Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var req []byte
			return &req, decode(&req)
		},
	}}}, nil)
	addr, err := listen(s.Serve)
	if err != nil {
		return nil, err
	}
	c, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(rawCodec{})))
	return calls(func(req []byte) (reply []byte, err error) {
		err = c.Invoke(context.Background(), "/echo/Echo", &req, &reply)
		return reply, err
	}), err
}
