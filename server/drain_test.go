package server_test

import (
	"context"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/server"
)

// long reports whether tests may take minutes: GTCP_LONG is set.
func long() bool { return os.Getenv("GTCP_LONG") != "" }

// TestDrainLosesNothing shuts a server down under 256 callers, each with the next
// request on its way as soon as the last is answered, on a connection kept or a
// new one. A request is received when its write has returned before Shutdown is
// called: on loopback it is then in the server's socket. Each of those must be
// answered, and so must each that the handler has seen.
func TestDrainLosesNothing(t *testing.T) {
	runs := 6
	if long() {
		runs = 100
	}
	eachMode(t, func(t *testing.T, n int) {
		for range runs / 2 {
			drainOnce(t, n)
		}
	})
}

func drainOnce(t *testing.T, concurrency int) {
	const callers = 256
	var handled, answered, received, lost atomic.Int64
	var began atomic.Bool
	h := server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) {
		handled.Add(1)
		return req, nil
	})
	h.Concurrency = concurrency
	s := &server.Server{Handler: h}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()

	call := func(nc net.Conn, pipelined int) bool {
		var wire []byte
		for range pipelined {
			wire = append(wire, "\x00\x04ping"...)
		}
		if _, err := nc.Write(wire); err != nil {
			return false
		}
		mustAnswer := !began.Load()
		if mustAnswer {
			received.Add(int64(pipelined))
		}
		r := framing.NewReader(nc, framing.Format{})
		for i := range pipelined {
			if _, err := r.Next(); err != nil {
				if mustAnswer {
					lost.Add(int64(pipelined - i))
				}
				return false
			}
			answered.Add(1)
		}
		return true
	}
	var wg sync.WaitGroup
	warm := make(chan struct{}, callers)
	for i := range callers {
		wg.Go(func() {
			for first := true; ; first = false {
				nc, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					if first {
						warm <- struct{}{}
					}
					return
				}
				_ = nc.SetDeadline(time.Now().Add(patience))
				ok := call(nc, 1+i%4)
				if first {
					warm <- struct{}{}
				}
				for ok && i%8 != 0 { // every eighth dials anew
					ok = call(nc, 1+i%4)
				}
				_ = nc.Close()
				if !ok {
					return
				}
			}
		})
	}
	for range callers {
		<-warm
	}
	began.Store(true)
	shutdown(t, s)
	require.ErrorIs(t, <-served, server.ErrServerClosed)
	wg.Wait()
	require.Zero(t, lost.Load(), "of %d received", received.Load())
	require.Equal(t, handled.Load(), answered.Load())
	require.GreaterOrEqual(t, received.Load(), int64(callers))
}
