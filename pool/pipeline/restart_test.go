package pipeline_test

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/server"
)

// A server that is restarted under load, the new one before the old one drains,
// fails no call and executes none twice. GTCP_RESTARTS sets how often.
func TestRollingRestart(t *testing.T) {
	restarts := 10
	if v := os.Getenv("GTCP_RESTARTS"); v != "" {
		restarts, _ = strconv.Atoi(v)
	}
	for _, c := range []struct {
		name        string
		concurrency int
		match       pipeline.Matcher
	}{
		{"in order", 0, nil},
		{"concurrent", 16, nil},
		{"numbered", 16, pipeline.Number{Size: 2}},
	} {
		t.Run(c.name, func(t *testing.T) { testRollingRestart(t, restarts, c.concurrency, c.match) })
	}
}

func testRollingRestart(t *testing.T, restarts, concurrency int, match pipeline.Matcher) {
	bye := []byte("goodbye")
	var executed sync.Map // request to how often
	h := countingHandler(&executed, bye, concurrency, match != nil)
	var at atomic.Pointer[string]
	start := func() (stop func() error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		srv := &server.Server{Handler: h, Logger: slog.New(slog.DiscardHandler)}
		done := make(chan error, 1)
		go func() { done <- srv.Serve(l) }()
		addr := l.Addr().String()
		at.Store(&addr)
		return func() error {
			ctx, cancel := context.WithTimeout(bg, 10*time.Second)
			defer cancel()
			err := srv.Shutdown(ctx)
			<-done
			return err
		}
	}
	stop := start()
	cfg := pipeline.Config{MaxConns: 2, Goodbye: bye, Match: match}
	if match != nil {
		cfg.OnPush = func(context.Context, *pipeline.Push) {}
	}
	p := openTo(t, conn.Target{Dial: dialWhereItIs(&at)}, framing.Format{}, cfg)

	ctx, cancel := context.WithCancel(bg)
	var callers sync.WaitGroup
	var calls, failed atomic.Int64
	for i := range 20 {
		callers.Go(func() {
			for j := 0; ctx.Err() == nil; j++ {
				request := binary.BigEndian.AppendUint16(nil, uint16(i))
				request = strconv.AppendInt(append(request, byte('a'+i)), int64(j), 10)
				reply, err := p.Call(bg, request)
				calls.Add(1)
				if err != nil || string(reply) != string(request) {
					failed.Add(1)
					t.Errorf("asked %q, got %q, %v", request, reply, err)
				}
			}
		})
	}
	for range restarts {
		// Faster restarts than calls would meet one call again and again, on a busy
		// machine, and it is moved MaxConns times and once more at most.
		before := calls.Load()
		require.Eventually(t, func() bool { return calls.Load() >= before+5*20 }, 20*time.Second, time.Millisecond)
		old := stop
		stop = start()
		require.NoError(t, old())
	}
	cancel()
	callers.Wait()
	require.NoError(t, stop())
	twice := moreThanOnce(&executed)
	t.Logf("%d calls, %d failed, %d executed twice, ends %v", calls.Load(), failed.Load(), twice, p.Stat().Ends)
	require.Zero(t, twice)
}

// countingHandler returns what it is asked, after a while now and then, and counts how
// often each request was executed.
func countingHandler(executed *sync.Map, bye []byte, concurrency int, unordered bool) *server.FrameHandler {
	return &server.FrameHandler{
		Goodbye: bye, Concurrency: concurrency, Unordered: unordered,
		Handle: func(ctx context.Context, request []byte) ([]byte, error) {
			n, _ := executed.LoadOrStore(string(request[2:]), new(atomic.Int32))
			n.(*atomic.Int32).Add(1)
			if request[len(request)-1]%8 == 0 {
				time.Sleep(time.Millisecond)
				if unordered {
					_ = server.Send(ctx, []byte("\x00\x00push")) // fails if the peer has gone
				}
			}
			return request, nil
		},
	}
}

// dialWhereItIs dials the address of the server, and again if that server went while
// it was dialed.
func dialWhereItIs(at *atomic.Pointer[string]) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		for {
			addr := at.Load()
			nc, err := new(conn.Dialer).Dial(ctx, "tcp", *addr)
			if err == nil || at.Load() == addr {
				return nc, err
			}
		}
	}
}

// moreThanOnce counts the requests that were executed more than once.
func moreThanOnce(executed *sync.Map) (n int) {
	executed.Range(func(_, times any) bool {
		if times.(*atomic.Int32).Load() > 1 {
			n++
		}
		return true
	})
	return n
}
