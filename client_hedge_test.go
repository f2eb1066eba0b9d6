package gtcp_test

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/retry"
)

// stuckServer leaves the requests "x" of its first connections without a
// reply, and echoes all else.
func stuckServer(t *testing.T, stuck int) string {
	return rawServer(t, func(c *net.TCPConn, n int) {
		frame := make([]byte, 3)
		for {
			if _, err := io.ReadFull(c, frame); err != nil {
				return
			}
			if frame[2] == 'x' && n < stuck {
				continue
			}
			_, _ = c.Write(frame)
		}
	})
}

func TestClientHedge(t *testing.T) {
	none := &retry.Budget{Burst: -1}
	for _, test := range []struct {
		name    string
		stuck   int
		options gtcp.CallOptions
		hedges  uint64
		fails   bool
	}{
		{"the second replies", 1, gtcp.CallOptions{Idempotent: true, Hedge: time.Millisecond}, 1, false},
		{"the first replies in time", 0, gtcp.CallOptions{Idempotent: true, Hedge: time.Minute}, 0, false},
		{"neither replies", 2, gtcp.CallOptions{Idempotent: true, Hedge: time.Millisecond}, 1, true},
		{"not idempotent", 1, gtcp.CallOptions{Hedge: time.Millisecond}, 0, true},
		{"no budget", 1, gtcp.CallOptions{Idempotent: true, Hedge: time.Millisecond, Retry: &retry.Policy{Budget: none}}, 0, true},
		{"nothing known of the times", 1, gtcp.CallOptions{Idempotent: true, Hedge: gtcp.HedgeAuto}, 0, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := client(t, stuckServer(t, test.stuck), gtcp.ClientConfig{})
			timeout := time.Minute
			if test.fails {
				timeout = time.Second
			}
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			reply, err := c.CallWith(ctx, []byte("kept:"), []byte("x"), test.options)
			require.Equal(t, test.hedges, c.Stat().Hedges)
			if !test.fails {
				require.NoError(t, err)
				require.Equal(t, "kept:x", string(reply))
				return
			}
			require.Equal(t, "kept:", string(reply))
			var e *gtcp.CallError
			require.ErrorAs(t, err, &e)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.EqualValues(t, 1+test.hedges, e.Attempts)
			require.True(t, e.Written)
			require.False(t, retry.SafeToRetry(err))
		})
	}
}

// HedgeAuto learns from the calls that ask for it.
func TestClientHedgeAuto(t *testing.T) {
	var stuck atomic.Bool
	c := client(t, frameServer(t, func(ctx context.Context, req []byte) ([]byte, error) {
		if string(req) == "x" && !stuck.Swap(true) {
			<-ctx.Done()
		}
		return req, nil
	}), gtcp.ClientConfig{})
	options := gtcp.CallOptions{Idempotent: true, Hedge: gtcp.HedgeAuto}
	for range 3000 { // more than what is remembered in full
		_, err := c.CallWith(t.Context(), nil, []byte("y"), options)
		require.NoError(t, err)
	}
	before := c.Stat().Hedges
	reply, err := c.CallWith(t.Context(), nil, []byte("x"), options)
	require.NoError(t, err)
	require.Equal(t, "x", string(reply))
	require.Greater(t, c.Stat().Hedges, before)
}

// The attempt that lost has ended when the call returns: it does not use the
// request any more.
func TestClientHedgeWaitsForTheLoser(t *testing.T) {
	var running atomic.Int32
	c := client(t, stuckServer(t, 1), gtcp.ClientConfig{InterceptAttempt: func(next gtcp.Invoker) gtcp.Invoker {
		return func(ctx context.Context, dst, request []byte) ([]byte, error) {
			running.Add(1)
			defer running.Add(-1)
			return next(ctx, dst, request)
		}
	}})
	for range 20 {
		_, err := c.CallWith(t.Context(), nil, []byte("x"), gtcp.CallOptions{Idempotent: true, Hedge: time.Millisecond})
		require.NoError(t, err)
		require.Zero(t, running.Load())
	}
}

// If one of two attempts fails the other still counts, and if both fail the
// call is retried as any other.
func TestClientHedgeAfterAFailure(t *testing.T) {
	failed := errors.New("failed")
	var attempts atomic.Int32
	second := make(chan struct{})
	c := client(t, stuckServer(t, 0), gtcp.ClientConfig{
		Retry: retry.Policy{Backoff: retry.Constant(0)},
		InterceptAttempt: func(next gtcp.Invoker) gtcp.Invoker {
			return func(ctx context.Context, dst, request []byte) ([]byte, error) {
				switch attempts.Add(1) {
				case 1:
					<-second
					return dst, failed
				case 2:
					close(second)
					return dst, failed
				}
				return next(ctx, dst, request)
			}
		},
	})
	reply, err := c.CallWith(t.Context(), nil, []byte("x"), gtcp.CallOptions{Idempotent: true, Hedge: time.Millisecond})
	require.NoError(t, err)
	require.Equal(t, "x", string(reply))
	s := c.Stat()
	require.GreaterOrEqual(t, s.Hedges, uint64(1))
	require.EqualValues(t, 1, s.Retries)
}

// A panic of a hook or an interceptor reaches the caller, who may recover,
// whether the call is hedged or not.
func TestClientHedgePanicReachesTheCaller(t *testing.T) {
	for name, end := range map[string]func(){"panic": func() { panic("of the user's") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			c := client(t, stuckServer(t, 0), gtcp.ClientConfig{InterceptAttempt: func(next gtcp.Invoker) gtcp.Invoker {
				return func(ctx context.Context, dst, request []byte) ([]byte, error) {
					end()
					return next(ctx, dst, request)
				}
			}})
			ended := make(chan any, 1)
			go func() {
				defer func() { ended <- recover() }()
				_, _ = c.CallWith(t.Context(), nil, []byte("x"), gtcp.CallOptions{Idempotent: true, Hedge: time.Minute})
			}()
			select {
			case v := <-ended:
				if name == "panic" {
					require.Equal(t, "of the user's", v)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("the call hangs")
			}
		})
	}
}

// Attempts that fail at once say nothing of how long a reply takes.
func TestClientHedgeAutoIgnoresFailures(t *testing.T) {
	var slow atomic.Bool
	failed := errors.New("failed")
	c := client(t, stuckServer(t, 0), gtcp.ClientConfig{InterceptAttempt: func(next gtcp.Invoker) gtcp.Invoker {
		return func(ctx context.Context, dst, request []byte) ([]byte, error) {
			if !slow.Load() {
				return dst, failed
			}
			return next(ctx, dst, request)
		}
	}})
	options := gtcp.CallOptions{Idempotent: true, Hedge: gtcp.HedgeAuto, Retry: &retry.Policy{MaxAttempts: 1}}
	for range 100 {
		_, err := c.CallWith(t.Context(), nil, []byte("y"), options)
		require.ErrorIs(t, err, failed)
	}
	slow.Store(true)
	for range 10 {
		_, err := c.CallWith(t.Context(), nil, []byte("y"), options)
		require.NoError(t, err)
	}
	require.Zero(t, c.Stat().Hedges)
}
