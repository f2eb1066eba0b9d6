package server_test

import (
	"context"
	"net"
	"os"
	"strings"
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
// new one, in one piece or two. A request is received when its write has returned before Shutdown is
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

// drain is one run, and what its callers saw.
type drain struct {
	addr     string
	began    atomic.Bool // Shutdown is about to be called
	handled  atomic.Int64
	received atomic.Int64 // written before began
	answered atomic.Int64
	lost     atomic.Int64 // of received
}

func drainOnce(t *testing.T, concurrency int) {
	const callers = 256
	var d drain
	h := server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) {
		d.handled.Add(1)
		return req, nil
	})
	h.Concurrency = concurrency
	s := &server.Server{Handler: h}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	d.addr = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()

	var wg, warm sync.WaitGroup
	for i := range callers {
		warm.Add(1)
		wg.Go(func() { d.caller(1+i%4, i%8 < 4, sync.OnceFunc(warm.Done)) })
	}
	warm.Wait()
	d.began.Store(true)
	shutdown(t, s)
	require.ErrorIs(t, <-served, server.ErrServerClosed)
	wg.Wait()
	require.Zero(t, d.lost.Load(), "of %d received", d.received.Load())
	require.Equal(t, d.handled.Load(), d.answered.Load())
	require.GreaterOrEqual(t, d.received.Load(), int64(callers))
}

// caller calls until the server is gone, and reports when it has called once.
func (d *drain) caller(pipelined int, keep bool, called func()) {
	defer called()
	for {
		nc, err := net.Dial("tcp", d.addr)
		if err != nil {
			return
		}
		_ = nc.SetDeadline(time.Now().Add(patience))
		ok := d.call(nc, pipelined)
		called()
		for ok && keep {
			ok = d.call(nc, pipelined)
		}
		_ = nc.Close()
		if !ok {
			return
		}
	}
}

// call writes so many requests at once, the last two bytes by themselves, and
// reads their answers.
func (d *drain) call(nc net.Conn, pipelined int) bool {
	wire := []byte(strings.Repeat("\x00\x04ping", pipelined))
	for _, part := range [][]byte{wire[:len(wire)-2], wire[len(wire)-2:]} {
		if _, err := nc.Write(part); err != nil {
			return false
		}
	}
	mustAnswer := !d.began.Load()
	if mustAnswer {
		d.received.Add(int64(pipelined))
	}
	r := framing.NewReader(nc, framing.Format{})
	for i := range pipelined {
		if _, err := r.Next(); err != nil {
			if mustAnswer {
				d.lost.Add(int64(pipelined - i))
			}
			return false
		}
		d.answered.Add(1)
	}
	return true
}
