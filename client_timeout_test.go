package gtcp_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
	"github.com/seed-99d6a01a/gtcp/retry"
)

// A call without a deadline ends after CallTimeout, and an eighth later at most,
// whatever it waits for.
func TestClientCallTimeoutIsForAllWaits(t *testing.T) {
	const limit = 13 * time.Second // the default: with an eighth more, a call ends within 15 s
	silent := func(context.Context) (net.Conn, error) {
		here, there := memnet.Pipe()
		go func() { _, _ = io.Copy(io.Discard, there) }()
		return here, nil
	}
	hangs := func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
	refuses := func(context.Context) (net.Conn, error) { return nil, errors.New("refused") }
	again := retry.Policy{MaxAttempts: 1000, Idempotent: true}
	for _, c := range []struct {
		name   string
		config gtcp.ClientConfig
		early  bool // it may give up when the next attempt would be too late
	}{
		{"a reply", gtcp.ClientConfig{Target: conn.Target{Dial: silent}}, false},
		{"a reply, idempotent", gtcp.ClientConfig{Target: conn.Target{Dial: silent}, Retry: again}, false},
		{"a dial", gtcp.ClientConfig{Target: conn.Target{Dial: hangs}, Retry: again}, false},
		{"a retry", gtcp.ClientConfig{Target: conn.Target{Dial: refuses}, Retry: again}, true},
		{"a set of servers", gtcp.ClientConfig{Resolver: unknown{}}, false},
	} {
		for _, ctx := range []string{"background", "with values", "can end"} {
			eachMode(t, func(t *testing.T, shared bool) {
				t.Run(c.name+", "+ctx, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						parent := map[string]context.Context{
							"background":  context.Background(),
							"with values": context.WithValue(context.Background(), ctxKey("a"), "value"),
							"can end":     t.Context(),
						}[ctx]
						config, addr := c.config, "server:1"
						config.Shared, config.Pipeline.StallTimeout = shared, -1
						config.Pool.DialTimeout, config.Pipeline.DialTimeout = time.Hour, time.Hour
						client := gtcp.NewClient(addr, config)
						for range 3 {
							begun := time.Now()
							_, err := client.Call(parent, []byte("x"))
							took := time.Since(begun)
							require.Error(t, err)
							require.LessOrEqual(t, took, limit+limit/8)
							if !c.early {
								require.ErrorIs(t, err, context.DeadlineExceeded)
								require.ErrorContains(t, err, "ClientConfig.CallTimeout is 13s")
								require.Equal(t, conn.KindTimeout, conn.KindOf(err))
								require.GreaterOrEqual(t, took, limit)
								require.Zero(t, client.Stat().Retries)
							} else {
								require.NotZero(t, client.Stat().Retries)
							}
						}
						require.NoError(t, client.Close())
					})
				})
			})
		}
	}
}

// unknown is a resolver that never knows the servers.
type unknown struct{}

func (unknown) Watch(ctx context.Context, _ func([]resolve.Endpoint, error)) error {
	<-ctx.Done()
	return ctx.Err()
}

// ownContext is a context that package context does not know.
type ownContext struct {
	_    []int // it cannot be compared
	done chan struct{}
}

func (ownContext) Deadline() (time.Time, bool) { return time.Time{}, false }
func (c ownContext) Done() <-chan struct{}     { return c.done }
func (ownContext) Err() error                  { return nil }
func (ownContext) Value(any) any               { return nil }

// promptConn is a connection whose peer has replied with what was sent, already.
type promptConn struct {
	net.Conn
	sent []byte
}

func (c *promptConn) Write(p []byte) (int, error) { c.sent = append(c.sent, p...); return len(p), nil }
func (c *promptConn) Read(p []byte) (n int, err error) {
	if len(c.sent) == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	n = copy(p, c.sent)
	c.sent = c.sent[n:]
	return n, nil
}
func (c *promptConn) SetDeadline(time.Time) error      { return nil }
func (c *promptConn) SetReadDeadline(time.Time) error  { return nil }
func (c *promptConn) SetWriteDeadline(time.Time) error { return nil }
func (c *promptConn) Close() error                     { return nil }
func (c *promptConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }

// A context of the user's own type is waited for by a goroutine, which may begin when
// the call is over: here there is one processor, and the call never waits.
func TestClientCallTimeoutOfAnOwnContext(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	c := client(t, "", gtcp.ClientConfig{Target: conn.Target{Address: "prompt", Dial: func(context.Context) (net.Conn, error) {
		return &promptConn{}, nil
	}}})
	for range 500 {
		reply, err := c.Call(ownContext{done: make(chan struct{})}, []byte("x"))
		require.NoError(t, err)
		require.Equal(t, "x", string(reply))
		runtime.Gosched()
	}
}

// An interceptor may give a call a context of its own: CallTimeout limits that too.
func TestClientCallTimeoutOfAReplacedContext(t *testing.T) {
	const limit = 13 * time.Second
	replace := func(next gtcp.Invoker) gtcp.Invoker {
		return func(_ context.Context, dst, request []byte) ([]byte, error) {
			return next(context.Background(), dst, request)
		}
	}
	dials := map[string]func(context.Context) (net.Conn, error){
		"a reply": func(context.Context) (net.Conn, error) {
			here, there := memnet.Pipe()
			go func() { _, _ = io.Copy(io.Discard, there) }()
			return here, nil
		},
		"a dial": func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() },
	}
	for name, config := range map[string]gtcp.ClientConfig{
		"of a call":     {Intercept: replace},
		"of an attempt": {InterceptAttempt: replace},
		"of both":       {Intercept: replace, InterceptAttempt: replace},
	} {
		for wait, dial := range dials {
			t.Run(name+", "+wait, func(t *testing.T) {
				eachMode(t, func(t *testing.T, shared bool) {
					synctest.Test(t, func(t *testing.T) {
						config := config
						config.Shared, config.Target.Dial = shared, dial
						config.Pool.DialTimeout, config.Pipeline.DialTimeout = time.Hour, time.Hour
						config.Pipeline.StallTimeout = -1
						client := gtcp.NewClient("server:1", config)
						begun := time.Now()
						ended := make(chan error, 1)
						go func() {
							_, err := client.Call(context.Background(), []byte("x"))
							ended <- err
						}()
						select {
						case err := <-ended:
							require.ErrorIs(t, err, context.DeadlineExceeded)
							require.Equal(t, conn.KindTimeout, conn.KindOf(err))
							require.GreaterOrEqual(t, time.Since(begun), limit)
							require.LessOrEqual(t, time.Since(begun), limit+limit/8)
						case <-time.After(time.Hour / 2):
							t.Error("the call does not end")
						}
						require.NoError(t, client.Close())
					})
				})
			})
		}
	}
}
