package gtcp_test

import (
	"context"
	"errors"
	"io"
	"net"
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
