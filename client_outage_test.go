package gtcp_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/retry"
)

// A server that accepts and closes is dialed as seldom as one that refuses, by
// either kind of client.
func TestClientAcceptThenCloseIsAFailedDial(t *testing.T) {
	eachMode(t, func(t *testing.T, shared bool) {
		synctest.Test(t, func(t *testing.T) {
			dials := 0
			c := gtcp.NewClient("server:1", gtcp.ClientConfig{
				Shared: shared, Retry: retry.Policy{MaxAttempts: 1},
				Target: conn.Target{Dial: func(context.Context) (net.Conn, error) {
					dials++
					here, there := memnet.Pipe()
					go func() {
						_, _ = there.Read(make([]byte, 3))
						_ = there.Close()
					}()
					return here, nil
				}},
			})
			calls := 0
			for begun := time.Now(); time.Since(begun) < 2*time.Second; calls++ {
				_, err := c.Call(t.Context(), []byte("x"))
				require.Error(t, err)
				time.Sleep(time.Millisecond)
			}
			require.Greater(t, calls, 1000)
			require.Less(t, dials, 100)
			require.NoError(t, c.Close())
		})
	})
}

// With twice the calls that the server can handle, the good ones are nearly all
// that it can do, by either kind of client, and the others are refused before
// they are sent or give up, without another attempt.
func TestClientOverload(t *testing.T) {
	const work, patience, length = 20 * time.Millisecond, 2 * time.Second, 30 * time.Second
	eachMode(t, func(t *testing.T, shared bool) {
		synctest.Test(t, func(t *testing.T) {
			c := gtcp.NewClient("server:1", gtcp.ClientConfig{
				Shared: shared, Target: conn.Target{Dial: slowServer(work)},
				Pool: pool.Config{MaxConns: 2}, Pipeline: pipeline.Config{MaxConns: 2},
			})
			defer c.Close()
			var good atomic.Int64
			var callers sync.WaitGroup
			for begun := time.Now(); time.Since(begun) < length; time.Sleep(work / 4) {
				callers.Go(func() {
					ctx, cancel := context.WithTimeout(context.Background(), patience)
					defer cancel()
					if _, err := c.Call(ctx, []byte("x")); err == nil {
						good.Add(1)
					}
				})
			}
			callers.Wait()
			s := c.Stat()
			t.Logf("%d good, %v, %d dials", good.Load(), s.Errors, s.Pool.Dials+s.Pipeline.Dials)
			capacity := float64(2 * length / work)
			require.Greater(t, float64(good.Load()), 0.9*capacity)
			require.NotZero(t, s.Errors[conn.KindOverloaded]+s.Errors[conn.KindTimeout])
			require.Zero(t, s.Retries)
			require.LessOrEqual(t, s.Pool.Dials+s.Pipeline.Dials, uint64(5))
		})
	})
}

// slowServer dials a server that replies to each request after so long, one
// after the other on each connection.
func slowServer(work time.Duration) func(context.Context) (net.Conn, error) {
	return func(context.Context) (net.Conn, error) {
		here, there := memnet.Pipe()
		go func() {
			defer there.Close()
			frame := make([]byte, 3)
			for {
				if _, err := io.ReadFull(there, frame); err != nil {
					return
				}
				time.Sleep(work)
				if _, err := there.Write(frame); err != nil {
					return
				}
			}
		}()
		return here, nil
	}
}

// A retry waits for as long as the pool or the pipeline asks, so that each
// attempt can dial: none is spent on a refusal.
func TestClientRetryWaitsForTheDial(t *testing.T) {
	eachMode(t, func(t *testing.T, shared bool) {
		synctest.Test(t, func(t *testing.T) {
			dials := 0
			c := gtcp.NewClient("server:1", gtcp.ClientConfig{
				Shared: shared, Retry: retry.Policy{MaxAttempts: 20},
				Target: conn.Target{Dial: func(ctx context.Context) (net.Conn, error) {
					if dials++; dials <= 8 {
						return nil, errors.New("down")
					}
					return slowServer(0)(ctx)
				}},
			})
			defer c.Close()
			reply, err := c.Call(t.Context(), []byte("x"))
			require.NoError(t, err)
			require.Equal(t, "x", string(reply))
			require.LessOrEqual(t, c.Stat().Retries, uint64(2*8))
		})
	})
}

// A call whose deadline passes before the next dial fails at once, and says that
// the server refuses: nothing has timed out.
func TestClientRefusedBeyondItsDeadline(t *testing.T) {
	pause := conn.DialBackoff{After: 1, Min: time.Minute, Max: time.Minute}
	eachMode(t, func(t *testing.T, shared bool) {
		synctest.Test(t, func(t *testing.T) {
			c := gtcp.NewClient("server:1", gtcp.ClientConfig{
				Shared: shared, Pool: pool.Config{DialBackoff: pause}, Pipeline: pipeline.Config{DialBackoff: pause},
				Target: conn.Target{Dial: func(context.Context) (net.Conn, error) {
					return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
				}},
			})
			defer c.Close()
			begun := time.Now()
			for range 3 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				_, err := c.Call(ctx, []byte("x"))
				cancel()
				require.Equal(t, conn.KindRefused, conn.KindOf(err))
				var suspended *conn.BackoffError
				require.ErrorAs(t, err, &suspended)
				require.ErrorIs(t, err, syscall.ECONNREFUSED)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.True(t, retry.SafeToRetry(err))
			}
			require.Less(t, time.Since(begun), time.Second)
			require.Equal(t, map[string]uint64{conn.KindRefused: 3}, c.Stat().Errors)
		})
	})
}
