package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

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

	p, err := pipeline.New(pipeline.Config{Address: l.Addr().String()})
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
	fmt.Println(p.Close(context.Background()))
	// Output:
	// replies: 100 dials: 1
	// <nil>
}

// An error says whether the server may have seen the request.
func ExampleError() {
	p, err := pipeline.New(pipeline.Config{
		Dial: func(context.Context) (net.Conn, error) { return nil, errors.New("no route") },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close(context.Background())
	_, err = p.Call(context.Background(), []byte("request"))
	var e *pipeline.Error
	if errors.As(err, &e) {
		fmt.Println(e, e.Written, e.SafeToRetry())
	}
	// Output: pipeline: dial: no route false true
}
