//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/retry"
)

// target is the server's name, which the stage's name server knows.
const target = "backend.lab"

// kind is one kind of client.
type kind struct {
	name string
	ours bool
	// recipe has settings for a bad network, and is played in the cases of that.
	recipe bool
	// idempotent calls may be executed more than once.
	idempotent bool
	// open returns how to make a call, and how to end the client.
	open func() (caller, closer, error)
}

type (
	caller = func(ctx context.Context, request []byte) ([]byte, error)
	closer = func() error
)

var kinds = []kind{
	{name: "exclusive", ours: true, open: with(gtcp.ClientConfig{})},
	{name: "shared", ours: true, open: with(gtcp.ClientConfig{Shared: true})},
	{name: "pool", ours: true, open: openPool},
	{name: facade, ours: true, open: openFacade},
	{name: "go-redis", open: openRedis},
	{name: "net/http", open: openHTTP},
	{name: "gRPC", open: openGRPC},

	{name: "exclusive + repeats", ours: true, recipe: true, idempotent: true, open: with(gtcp.ClientConfig{Retry: repeats})},
	{name: "shared + repeats", ours: true, recipe: true, idempotent: true, open: with(gtcp.ClientConfig{Shared: true, Retry: repeats})},
	{name: "exclusive + 1 s idle", ours: true, recipe: true, open: with(gtcp.ClientConfig{Pool: pool.Config{MaxIdleTime: time.Second}})},
	{name: "shared + 1 s idle", ours: true, recipe: true, open: with(gtcp.ClientConfig{Shared: true,
		Pipeline: pipeline.Config{MaxIdleTime: time.Second}})},
	{name: "shared + heartbeat", ours: true, recipe: true, open: with(gtcp.ClientConfig{Shared: true,
		Pipeline: pipeline.Config{Heartbeat: pipeline.Heartbeat{Interval: time.Second, Timeout: time.Second, Request: make([]byte, numberSize)}}})},
	{name: "shared + 1 s unacknowledged", ours: true, recipe: true, open: with(gtcp.ClientConfig{Shared: true,
		Target: conn.Target{Dialer: &conn.Dialer{UserTimeout: time.Second}}})},
}

// repeats is a policy for calls that may be executed twice.
var repeats = retry.Policy{Idempotent: true, MaxAttempts: 4, PerAttemptTimeout: 300 * time.Millisecond}

// kindNames are those with their default settings, or the recipes.
func kindNames(recipes bool) (names []string) {
	for _, k := range kinds {
		if k.recipe == recipes {
			names = append(names, k.name)
		}
	}
	return names
}

func kindOf(name string) (kind, error) {
	for _, k := range kinds {
		if k.name == name {
			return k, nil
		}
	}
	return kind{}, fmt.Errorf("no kind %q", name)
}

func with(config gtcp.ClientConfig) func() (caller, closer, error) {
	return func() (caller, closer, error) { return openClient(config) }
}

func openClient(config gtcp.ClientConfig) (caller, closer, error) {
	c := gtcp.NewClient(target+":"+framesPort, config)
	return c.Call, c.Close, config.Validate()
}

func openPool() (caller, closer, error) {
	p, err := newPool()
	if err != nil {
		return nil, nil, err
	}
	encode, err := framing.NewEncoder(framing.Format{})
	if err != nil {
		return nil, nil, err
	}
	call := func(ctx context.Context, request []byte) (reply []byte, err error) {
		c, err := p.Get(ctx)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, c.Close()) }()
		err = c.Do(ctx, func() error {
			frame, err := encode.Append(nil, request)
			if err != nil {
				return err
			}
			if _, err := c.Write(frame); err != nil {
				return err
			}
			reply, err = framing.NewReader(&c.Conn, framing.Format{}).ReadFrame(nil)
			return err
		})
		return reply, err
	}
	return call, closePool(p), nil
}

func openFacade() (caller, closer, error) {
	call := func(ctx context.Context, request []byte) (reply []byte, err error) {
		timeout := time.Hour // the facade knows no context
		if deadline, ok := ctx.Deadline(); ok {
			timeout = time.Until(deadline)
		}
		c, err := gtcp.NewPoolConn(target+":"+framesPort, timeout)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, c.Close()) }()
		if deadline, ok := ctx.Deadline(); ok {
			timeout = max(time.Until(deadline), time.Millisecond)
		}
		return c.SendRecvPkgWithTimeout(request, timeout)
	}
	return call, func() error { return nil }, nil
}

func openRedis() (caller, closer, error) {
	c := redis.NewClient(&redis.Options{Addr: target + ":" + redisPort, Protocol: 2, ContextTimeoutEnabled: true,
		DisableIdentity: true, PoolSize: 64})
	call := func(ctx context.Context, request []byte) ([]byte, error) {
		reply, err := c.Echo(ctx, string(request)).Result()
		return []byte(reply), err
	}
	return call, c.Close, nil
}

func openHTTP() (caller, closer, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxConnsPerHost, t.MaxIdleConnsPerHost, t.Proxy = 64, 64, nil
	c := &http.Client{Transport: t}
	call := func(ctx context.Context, request []byte) ([]byte, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+target+":"+httpPort+"/", bytes.NewReader(request))
		if err != nil {
			return nil, err
		}
		reply, err := c.Do(r)
		if err != nil {
			return nil, err
		}
		defer reply.Body.Close()
		body, err := io.ReadAll(reply.Body)
		if err == nil && reply.StatusCode != http.StatusOK {
			err = errors.New(reply.Status)
		}
		return body, err
	}
	return call, func() error { t.CloseIdleConnections(); return nil }, nil
}

func openGRPC() (caller, closer, error) {
	c, err := grpc.NewClient("dns:///"+target+":"+grpcPort, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(rawCodec{})))
	if err != nil {
		return nil, nil, err
	}
	call := func(ctx context.Context, request []byte) (reply []byte, err error) {
		err = c.Invoke(ctx, echoMethod, &request, &reply)
		return reply, err
	}
	return call, c.Close, nil
}

func newPool() (*pool.Pool, error) {
	return pool.New(conn.Target{Address: target + ":" + framesPort}, pool.Config{})
}

// closeTimeout is how long the calls in progress get when a client ends.
const closeTimeout = 5 * time.Second

func closePool(p *pool.Pool) closer {
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		return p.Shutdown(ctx)
	}
}
