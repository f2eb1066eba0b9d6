package gtcp_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/retry"
)

func TestClientConfigNamesTheField(t *testing.T) {
	dial := func(context.Context) (net.Conn, error) { return nil, nil }
	require.NoError(t, gtcp.ClientConfig{}.Validate())
	for field, cfg := range map[string]gtcp.ClientConfig{
		"Target.Dialer": {Target: conn.Target{Dialer: &conn.Dialer{}, Dial: dial}},
		"Dialer.":       {Target: conn.Target{Dialer: &conn.Dialer{LocalAddr: &net.IPAddr{}}}},
		"Format":        {Format: framing.Format{HeaderSize: 5}},
		"Envelope":      {Envelope: true, Format: framing.Format{Strip: -1}},
		"Retry":         {Retry: retry.Policy{Backoff: retry.Exponential{Base: -1}}},
		"Hooks[1]":      {Hooks: []any{callCounter{}, "neither"}},
		"Pool":          {Pool: pool.Config{DialTimeout: -1}},
		"Match":         {Match: pipeline.Number{Size: 9}},
		"Pipeline":      {Pipeline: pipeline.Config{MaxConns: -1}},
		"Pipeline.Heartbeat": {Format: framing.Format{MaxSize: 3},
			Pipeline: pipeline.Config{Heartbeat: pipeline.Heartbeat{Interval: time.Second, Request: []byte("ping")}}},
	} {
		err := cfg.Validate()
		require.ErrorContains(t, err, "ClientConfig."+field)
		c := gtcp.NewClient("127.0.0.1:1", cfg)
		_, callErr := c.Call(t.Context(), nil)
		require.Equal(t, err, callErr, "a bad configuration is the error of every call")
		require.Equal(t, err, c.Close())
		require.Zero(t, c.Stat())
	}
}

func TestClientBadAddress(t *testing.T) {
	for _, addr := range []string{"", "no port"} {
		_, err := gtcp.NewClient(addr, gtcp.ClientConfig{}).Call(t.Context(), nil)
		require.ErrorContains(t, err, "ClientConfig.Target.Address")
		require.False(t, retry.SafeToRetry(err))
	}
}

func TestClientNobodyListens(t *testing.T) {
	addr := refusedAddr(t)
	eachMode(t, func(t *testing.T, shared bool) {
		c := client(t, addr, gtcp.ClientConfig{Shared: shared, Retry: retry.Policy{MaxAttempts: 1}})
		_, err := c.Call(t.Context(), []byte("x"))
		require.ErrorContains(t, err, addr)
		require.True(t, retry.SafeToRetry(err))
	})
}

func TestClientRequestTooLong(t *testing.T) {
	eachMode(t, func(t *testing.T, shared bool) {
		c := client(t, frameServer(t, echoed), gtcp.ClientConfig{Shared: shared})
		_, err := c.Call(t.Context(), make([]byte, 1<<16))
		var size *framing.SizeError
		require.ErrorAs(t, err, &size)
		reply, err := c.Call(t.Context(), make([]byte, 1<<16-1))
		require.NoError(t, err)
		require.Len(t, reply, 1<<16-1)
		reply, err = c.Call(t.Context(), nil)
		require.NoError(t, err)
		require.Empty(t, reply)
	})
}

func TestClientClose(t *testing.T) {
	eachMode(t, func(t *testing.T, shared bool) {
		var once sync.Once
		begun, end := make(chan struct{}), make(chan struct{})
		addr := frameServer(t, func(_ context.Context, req []byte) ([]byte, error) {
			once.Do(func() { close(begun) })
			<-end
			return req, nil
		})
		c := client(t, addr, gtcp.ClientConfig{Shared: shared})
		called := make(chan error, 1)
		go func() {
			_, err := c.Call(context.Background(), []byte("x"))
			called <- err
		}()
		<-begun
		s := c.Stat()
		require.Equal(t, 1, s.Pool.Used+s.Pipeline.InFlight)
		closed := make(chan error, 1)
		go func() { closed <- c.Shutdown(context.Background()) }()
		require.Eventually(t, func() bool {
			ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
			defer cancel()
			_, err := c.Call(ctx, []byte("x"))
			return errors.Is(err, net.ErrClosed)
		}, 10*time.Second, time.Millisecond)
		close(end)
		require.NoError(t, <-called, "a call in progress is waited for")
		require.NoError(t, <-closed)
	})
}

// CallTimeout costs no allocation, whatever the context of the call, and a call of
// a context that never ends allocates nothing but the pool's handle.
func TestClientAllocations(t *testing.T) {
	if detectsRaces {
		t.Skip("the race detector allocates")
	}
	cancelable, cancel := context.WithCancel(context.Background())
	defer cancel()
	deadline, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	contexts := map[string]context.Context{
		"background":  context.Background(),
		"with values": context.WithValue(context.Background(), ctxKey("a"), "value"),
		"can end":     cancelable,
		"deadline":    deadline,
	}
	for hooked, hooks := range map[string][]any{"": nil, ", derived by a hook": {deriving{}}} {
		for name, ctx := range contexts {
			t.Run(name+hooked, func(t *testing.T) {
				eachMode(t, func(t *testing.T, shared bool) {
					addr := frameServer(t, echoed)
					dst, req := make([]byte, 0, 64), make([]byte, 64)
					allocs := func(timeout time.Duration) float64 {
						c := client(t, addr, gtcp.ClientConfig{Shared: shared, CallTimeout: timeout, Hooks: hooks})
						return testing.AllocsPerRun(200, func() {
							if _, err := c.AppendCall(ctx, dst, req); err != nil {
								t.Error(err)
							}
						})
					}
					without, with := allocs(-1), allocs(0)
					require.LessOrEqual(t, with, without)
					if ctx.Done() == nil && hooks == nil {
						require.LessOrEqual(t, with, map[bool]float64{true: 0, false: 3}[shared], "the server's included")
					}
				})
			})
		}
	}
}

// deriving is a hook that puts a value into the context, as a tracer does.
type deriving struct{}

func (deriving) StartCall(ctx context.Context, _ gtcp.CallStart) context.Context {
	return context.WithValue(ctx, ctxKey("span"), "call")
}

func (deriving) EndCall(context.Context, gtcp.CallEnd) {}

func (deriving) StartAttempt(ctx context.Context, _ gtcp.AttemptStart) context.Context {
	return context.WithValue(ctx, ctxKey("span"), "attempt")
}

func (deriving) EndAttempt(context.Context, gtcp.AttemptEnd) {}
