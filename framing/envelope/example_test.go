package envelope_test

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/framing/envelope"
)

func Example() {
	var wire bytes.Buffer

	// The caller: an envelope and the payload are one frame.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	request := envelope.Envelope{Method: []byte("greet")}
	request.SetTimeout(ctx)
	frame, err := request.Append(nil)
	if err != nil {
		panic(err)
	}
	w := framing.NewWriter(&wire, framing.Format{})
	if err := w.WriteFrame(append(frame, "world"...)); err != nil {
		panic(err)
	}
	if err := w.Flush(); err != nil {
		panic(err)
	}

	// The server: its context ends when the caller's does.
	frame, err = framing.NewReader(&wire, framing.Format{}).Next()
	if err != nil {
		panic(err)
	}
	var got envelope.Envelope
	payload, err := got.Parse(frame)
	if err != nil {
		panic(err)
	}
	ctx, cancel = got.Context(context.Background())
	defer cancel()
	_, limited := ctx.Deadline()
	fmt.Printf("%s %s, limited: %v\n", got.Method, payload, limited)
	// Output: greet world, limited: true
}

func ExampleParseTrace() {
	trace, err := envelope.ParseTrace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	if err != nil {
		panic(err)
	}
	e := envelope.Envelope{Trace: trace}
	fmt.Println(e.Size(), e.Trace)
	// Output: 35 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
}
