package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"sync"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/server"
)

func ExamplePipeline() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	srv := &server.Server{Handler: server.Frames(framing.Format{},
		func(_ context.Context, req []byte) ([]byte, error) { return req, nil })}
	go func() { _ = srv.Serve(l) }()
	defer srv.Close()

	p, err := pipeline.New(conn.Target{Address: l.Addr().String()}, framing.Format{}, pipeline.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	var callers sync.WaitGroup
	for i := range 100 {
		callers.Go(func() {
			request := fmt.Sprint("request ", i)
			reply, err := p.Call(context.Background(), []byte(request))
			if err != nil || string(reply) != request {
				fmt.Println(i, string(reply), err)
			}
		})
	}
	callers.Wait()
	fmt.Println("replies:", p.Stat().Replies, "dials:", p.Stat().Dials)
	fmt.Println(p.Shutdown(context.Background()))
	// Output:
	// replies: 100 dials: 1
	// <nil>
}

// An error says whether the server may have seen the request.
func ExampleError() {
	p, err := pipeline.New(conn.Target{
		Address: "10.0.0.1:8999",
		Dial:    func(context.Context) (net.Conn, error) { return nil, errors.New("no route") },
	}, framing.Format{}, pipeline.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	_, err = p.Call(context.Background(), []byte("request"))
	var e *pipeline.Error
	if errors.As(err, &e) {
		fmt.Println(e, e.Written, e.SafeToRetry())
	}
	// Output: pipeline: dial 10.0.0.1:8999: conn: dial tcp 10.0.0.1:8999: no route false true
}

// serveUpper replies to each request in upper case.
func serveUpper() (addr string, stop func() error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	srv := &server.Server{Handler: server.Frames(framing.Format{},
		func(_ context.Context, req []byte) ([]byte, error) { return bytes.ToUpper(req), nil })}
	go func() { _ = srv.Serve(l) }()
	return l.Addr().String(), srv.Close
}

// A caller with memory of its own calls without an allocation.
func ExamplePipeline_AppendCall() {
	addr, stop := serveUpper()
	defer stop()
	p, err := pipeline.New(conn.Target{Address: addr}, framing.Format{}, pipeline.Config{})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	defer p.Close()

	buf := make([]byte, 0, 1024)
	for _, request := range []string{"one", "two"} {
		reply, err := p.AppendCall(ctx, buf[:0], []byte(request))
		fmt.Println(string(reply), err)
	}
	// Output:
	// ONE <nil>
	// TWO <nil>
}

// calls implements pipeline.CallHook.
type calls struct{}

func (calls) AfterCall(_ context.Context, e pipeline.CallEvent) {
	fmt.Println("called:", e.Err, e.Duration > 0)
}

// A hook implements those of the hook interfaces it cares for.
func ExampleCallHook() {
	addr, stop := serveUpper()
	defer stop()
	p, err := pipeline.New(conn.Target{Address: addr}, framing.Format{}, pipeline.Config{Hooks: []any{calls{}}})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	defer p.Close()
	if _, err := p.Call(ctx, []byte("hello")); err != nil {
		log.Fatal(err)
	}
	// Output: called: <nil> true
}

// Few connections carry many callers. The settings say how many of each.
func ExampleConfig() {
	config := pipeline.Config{
		MaxConns:     4,    // the most connections
		MaxInFlight:  1000, // the most requests on them; more callers wait,
		MaxWaiters:   1000, // so many at most
		DialTimeout:  time.Second,
		StallTimeout: 5 * time.Second,
	}
	fmt.Println(config.Validate())
	config.MaxConns = -1
	fmt.Println(config.Validate())
	// Output:
	// <nil>
	// pipeline: Config.MaxConns is negative
}
