package gtcp_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/framing/envelope"
	"github.com/seed-99d6a01a/gtcp/server"
)

// With Envelope on both sides, a call carries its method and its deadline, and an
// error of the handler is the error of the call.
func ExampleClientConfig_envelope() {
	handle := func(ctx context.Context, req []byte) ([]byte, error) {
		_, limited := ctx.Deadline() // the caller's
		switch method := string(envelope.FromContext(ctx).Method); method {
		case "greet":
			return fmt.Appendf(nil, "hello %s, limited: %v", req, limited), nil
		default:
			return nil, &envelope.StatusError{Status: 16, Message: "no method " + method}
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	srv := &server.Server{Handler: &server.FrameHandler{Envelope: true, Handle: handle}}
	go func() { _ = srv.Serve(l) }()
	defer srv.Close()

	client := gtcp.NewClient(l.Addr().String(), gtcp.ClientConfig{Envelope: true})
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	reply, err := client.CallWith(ctx, nil, []byte("world"), gtcp.CallOptions{Method: "greet"})
	fmt.Println(string(reply), err)

	_, err = client.CallWith(ctx, nil, nil, gtcp.CallOptions{Method: "part"})
	var status *envelope.StatusError
	fmt.Println(errors.As(err, &status), status)
	// Output:
	// hello world, limited: true <nil>
	// true envelope: status 16: no method part
}
