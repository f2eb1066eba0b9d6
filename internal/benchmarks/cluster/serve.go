package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"
	_ "google.golang.org/grpc/xds" // registers outlier detection

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool/balance"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
	"github.com/seed-99d6a01a/gtcp/retry"
	"github.com/seed-99d6a01a/gtcp/server"
)

// fault is what is wrong with one of the servers.
type fault int

const (
	isSlow fault = iota
	fails
)

// service is five servers of each kind.
type service struct {
	frames, calls []string // addresses
	stops         []func()
}

func serve(bad fault) (s *service, err error) {
	s = &service{}
	for i := range servers {
		handle := func(request []byte) ([]byte, error) { return request, nil }
		if i == 0 && bad == isSlow {
			handle = func(request []byte) ([]byte, error) { time.Sleep(slow); return request, nil }
		} else if i == 0 {
			handle = func([]byte) ([]byte, error) { return nil, errFails }
		}
		if err := s.serveFrames(handle); err != nil {
			return nil, err
		}
		if err := s.serveGRPC(handle); err != nil {
			return nil, err
		}
	}
	return s, nil
}

var errFails = errors.New("cannot serve")

func (s *service) serveFrames(handle func([]byte) ([]byte, error)) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &server.Server{Logger: slog.New(slog.DiscardHandler), Handler: server.Frames(framing.Format{}, func(_ context.Context, request []byte) ([]byte, error) {
		return handle(request) // an error closes the connection
	})}
	go func() { _ = srv.Serve(l) }()
	s.frames = append(s.frames, l.Addr().String())
	s.stops = append(s.stops, func() { _ = srv.Close() })
	return nil
}

func (s *service) serveGRPC(handle func([]byte) ([]byte, error)) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := grpc.NewServer(grpc.ForceServerCodec(rawCodec{}))
	srv.RegisterService(&grpc.ServiceDesc{ServiceName: "cluster", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{
		MethodName: "Echo",
		Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var request []byte
			if err := decode(&request); err != nil {
				return nil, err
			}
			reply, err := handle(request)
			if err != nil {
				return nil, status.Error(codes.Unavailable, err.Error())
			}
			return &reply, nil
		},
	}}}, nil)
	go func() { _ = srv.Serve(l) }()
	s.calls = append(s.calls, l.Addr().String())
	s.stops = append(s.stops, srv.Stop)
	return nil
}

func (s *service) stop() {
	for _, stop := range s.stops {
		stop()
	}
}

var payload = make([]byte, 64)

// gtcp is a Client with a policy, and without retries.
func (s *service) gtcp(policy balance.Policy) func() (client, error) {
	return func() (client, error) {
		c := gtcp.NewClient("", gtcp.ClientConfig{
			Resolver: resolve.Addrs(s.frames...), Balance: gtcp.BalanceConfig{Policy: policy}, Retry: retry.Policy{MaxAttempts: 1},
		})
		return client{func(ctx context.Context) error {
			_, err := c.Call(ctx, payload)
			return err
		}, c.Close}, nil
	}
}

// The load balancing of grpc-go. The intervals of outlier detection are those of
// its proposal A50 divided by ten, so that it gets to work within a turn.
const (
	roundRobin       = `{"loadBalancingConfig":[{"round_robin":{}}]}`
	outlierDetection = `{"loadBalancingConfig":[{"outlier_detection_experimental":{
		"interval":"1s","baseEjectionTime":"3s","maxEjectionTime":"30s","maxEjectionPercent":50,
		"failurePercentageEjection":{"threshold":50,"enforcementPercentage":100,"minimumHosts":3,"requestVolume":10},
		"childPolicy":[{"round_robin":{}}]}}]}`
)

// grpc is a client of grpc-go without retries.
func (s *service) grpc(config string) func() (client, error) {
	return func() (client, error) {
		r := manual.NewBuilderWithScheme("cluster")
		var state resolver.State
		for _, addr := range s.calls {
			state.Endpoints = append(state.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{{Addr: addr}}})
		}
		r.InitialState(state)
		c, err := grpc.NewClient("cluster:///echo", grpc.WithResolvers(r), grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultServiceConfig(config), grpc.WithDisableRetry(), grpc.WithDefaultCallOptions(grpc.ForceCodec(rawCodec{})))
		if err != nil {
			return client{}, err
		}
		return client{func(ctx context.Context) error {
			request, reply := payload, []byte(nil)
			return c.Invoke(ctx, "/cluster/Echo", &request, &reply)
		}, c.Close}, nil
	}
}

// rawCodec sends bytes as they are.
type rawCodec struct{}

func (rawCodec) Name() string                  { return "raw" }
func (rawCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}
