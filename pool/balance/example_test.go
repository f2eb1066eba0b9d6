package balance_test

import (
	"context"
	"fmt"

	"github.com/seed-99d6a01a/gtcp/pool/balance"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

// A call that goes to another endpoint when the first one fails.
func Example() {
	b, err := balance.New(balance.Config[string]{
		Resolver: resolve.Addrs("10.0.0.1:80", "10.0.0.2:80"),
		Open:     func(e resolve.Endpoint) (string, error) { return e.Addr, nil },
		Policy:   balance.RoundRobin,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Close()

	call := func(addr string) error {
		if addr == "10.0.0.2:80" {
			return fmt.Errorf("%s is down", addr)
		}
		return nil
	}
	r := balance.Request{Idempotent: true}
	for range 2 {
		picked, err := b.Pick(context.Background(), r)
		if err != nil {
			fmt.Println(err)
			return
		}
		r.Tried.Add(picked.Node)
		err = call(picked.Value)
		picked.Done(balance.Classify(err))
		fmt.Println(picked.Value, err)
		if err == nil {
			return
		}
	}
	// Output:
	// 10.0.0.2:80 10.0.0.2:80 is down
	// 10.0.0.1:80 <nil>
}

// A change of a server's state as a line of a log.
func ExampleChange() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b, err := balance.New(balance.Config[string]{
		Resolver: resolve.Addrs("10.0.0.1:80"),
		Open:     func(e resolve.Endpoint) (string, error) { return e.Addr, nil },
		OnChange: func(c balance.Change) {
			fmt.Println(c)
			cancel()
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Close()
	<-ctx.Done()
	// Output:
	// 10.0.0.1:80: ready, added
}
