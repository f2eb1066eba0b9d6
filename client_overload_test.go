package gtcp_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
)

// With more calls than the server can handle, on real sockets, nearly all that it
// can do are good calls. It is a measurement, and takes a machine that does nothing
// else: GTCP_OVERLOAD=1 go test -v -run TestClientOverloadOnSockets .
// [TestClientOverload] is the same in fake time.
func TestClientOverloadOnSockets(t *testing.T) {
	if os.Getenv("GTCP_OVERLOAD") == "" {
		t.Skip("a measurement: set GTCP_OVERLOAD=1")
	}
	const work, patience, length = 2 * time.Millisecond, 200 * time.Millisecond, 5 * time.Second
	addr := frameServer(t, func(_ context.Context, request []byte) ([]byte, error) {
		time.Sleep(work)
		return request, nil
	})
	open := func(shared bool) *gtcp.Client {
		return client(t, addr, gtcp.ClientConfig{Shared: shared,
			Pool: pool.Config{MaxConns: 2}, Pipeline: pipeline.Config{MaxConns: 2}})
	}
	for _, times := range []float64{1.5, 2, 5} {
		eachMode(t, func(t *testing.T, shared bool) {
			t.Run(fmt.Sprint(times), func(t *testing.T) {
				// A few callers that wait for their replies keep both connections busy.
				capacity := offer(open(shared), 0, 2*time.Second, patience).good
				c := open(shared)
				got := offer(c, times*capacity, length, patience)
				s := c.Stat()
				t.Logf("capacity %.0f/s; offered %.0f/s: %.0f/s good (%.2f), p99 %v, %v, %d dials",
					capacity, times*capacity, got.good, got.good/capacity, got.p99, s.Errors, s.Pool.Dials+s.Pipeline.Dials)
				require.Greater(t, got.good, 0.9*capacity)
				require.Less(t, got.p99, patience)
				require.LessOrEqual(t, s.Pool.Dials+s.Pipeline.Dials, uint64(2+length/time.Second))
			})
		})
	}
}

// offered is what came of the calls that were offered.
type offered struct {
	good float64 // calls a second
	p99  time.Duration
}

// offer makes calls at a rate, or by 8 callers one after another if it is 0.
func offer(c *gtcp.Client, rate float64, length, patience time.Duration) offered {
	var mu sync.Mutex // guards took
	var took []time.Duration
	var callers sync.WaitGroup
	call := func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		begun := time.Now()
		if _, err := c.Call(ctx, []byte("x")); err == nil {
			mu.Lock()
			took = append(took, time.Since(begun))
			mu.Unlock()
		}
	}
	begun := time.Now()
	if rate == 0 {
		for range 8 {
			callers.Go(func() {
				for time.Since(begun) < length {
					call()
				}
			})
		}
	} else {
		for n := 0; time.Since(begun) < length; n++ {
			time.Sleep(time.Until(begun.Add(time.Duration(float64(n) / rate * float64(time.Second)))))
			callers.Go(call)
		}
	}
	callers.Wait()
	if len(took) == 0 {
		return offered{}
	}
	slices.Sort(took)
	return offered{float64(len(took)) / time.Since(begun).Seconds(), took[len(took)*99/100]}
}
