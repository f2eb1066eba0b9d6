package puddlepool_test

import (
	"context"
	"fmt"
	"io"
	"net"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
	"github.com/seed-99d6a01a/gtcp/pool/puddlepool"
)

// A backend can be used bare, for resources of any kind. It does not look at
// them: package pool adds lifetimes, probes and eviction for connections.
func Example() {
	dial := backend.Factory[net.Conn]{
		New: func(context.Context) (net.Conn, error) {
			client, server := net.Pipe()
			go func() { _, _ = io.Copy(server, server); server.Close() }()
			return client, nil
		},
		Close: func(c net.Conn) { c.Close() },
	}
	ctx := context.Background()
	conns, err := puddlepool.Open(dial, backend.Limits{Max: 4})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conns.Close(ctx)

	lease, err := conns.Acquire(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = lease.Value.Write([]byte("x"))
	verdict := backend.Keep
	if err != nil {
		verdict = backend.Discard
	}
	if err := conns.Return(lease, verdict); err != nil {
		fmt.Println(err)
	}
	s := conns.Stat()
	fmt.Println(s.Idle, "idle of", s.Max)
	fmt.Println(conns.Return(lease, verdict))
	// Output:
	// 1 idle of 4
	// backend: returned twice, or to another backend
}
