package resolve_test

import (
	"context"
	"fmt"

	"github.com/seed-99d6a01a/gtcp/pool/resolve"
)

// A service found by DNS, with a fixed list for the time the DNS is down at the
// start of the program.
func Example() {
	r := resolve.First(
		&resolve.DNS{Name: "orders.invalid:8080"},
		resolve.Addrs("10.0.0.1:8080", "10.0.0.2:8080"),
	)
	ctx, cancel := context.WithCancel(context.Background())
	_ = r.Watch(ctx, func(set []resolve.Endpoint, err error) {
		if err == nil {
			fmt.Println(set[0], set[1])
			cancel()
		}
	})
	// Output: 10.0.0.1:8080 10.0.0.2:8080
}
