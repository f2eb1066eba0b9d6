package gtcp_test

import (
	"context"
	"log/slog"
	"net"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/server"
	"github.com/stretchr/testify/require"
)

// frameServer serves frames of the default format and returns its address.
func frameServer(t testing.TB, handle func(ctx context.Context, req []byte) ([]byte, error)) string {
	return serving(t, server.Frames(framing.Format{}, handle))
}

// serving starts a server and returns its address.
func serving(t testing.TB, h server.Handler) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := &server.Server{Handler: h, Logger: slog.New(slog.DiscardHandler)}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
	return l.Addr().String()
}

func echoed(_ context.Context, req []byte) ([]byte, error) { return req, nil }

// eachMode runs a test over an exclusive and a shared client.
func eachMode(t *testing.T, f func(t *testing.T, shared bool)) {
	t.Run("exclusive", func(t *testing.T) { f(t, false) })
	t.Run("shared", func(t *testing.T) { f(t, true) })
}

// client returns a client that the test's end closes.
func client(t testing.TB, addr string, cfg gtcp.ClientConfig) *gtcp.Client {
	c := gtcp.NewClient(addr, cfg)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestClientZeroConfig(t *testing.T) {
	c := client(t, frameServer(t, echoed), gtcp.ClientConfig{})
	reply, err := c.Call(context.Background(), []byte("hello"))
	require.NoError(t, err)
	require.Equal(t, "hello", string(reply))
}

func TestClientManyCallers(t *testing.T) {
	eachMode(t, func(t *testing.T, shared bool) {
		addr := frameServer(t, echoed)
		c := client(t, addr, gtcp.ClientConfig{Shared: shared})
		var callers sync.WaitGroup
		for i := range 32 {
			callers.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				buf := []byte("kept:")
				for j := range 200 {
					want := strconv.Itoa(i) + "/" + strconv.Itoa(j)
					got, err := c.AppendCall(ctx, buf, []byte(want))
					if err != nil || string(got) != "kept:"+want {
						t.Errorf("asked %s, got %q, %v", want, got, err)
						return
					}
				}
			})
		}
		callers.Wait()
		require.NoError(t, c.Close())
	})
}

// The facade's server replies to packages in order, as any of its handlers does.
func TestClientCallsTheFacadesServer(t *testing.T) {
	srv := gtcp.NewServer("127.0.0.1:0", func(c *gtcp.Conn) {
		defer c.Close()
		for {
			req, err := c.RecvPkg()
			if err != nil || c.SendPkg(append([]byte("> "), req...)) != nil {
				return
			}
		}
	})
	ended := make(chan error, 1)
	go func() { ended <- srv.Run() }()
	defer func() {
		_ = srv.Close()
		<-ended
	}()
	for srv.GetListenedPort() <= 0 {
		runtime.Gosched()
	}
	eachMode(t, func(t *testing.T, shared bool) {
		c := client(t, srv.GetListenedAddress(), gtcp.ClientConfig{Shared: shared})
		var callers sync.WaitGroup
		for i := range 16 {
			callers.Go(func() {
				for j := range 100 {
					req := strconv.Itoa(i) + "/" + strconv.Itoa(j)
					reply, err := c.Call(t.Context(), []byte(req))
					if err != nil || string(reply) != "> "+req {
						t.Errorf("asked %s, got %q, %v", req, reply, err)
						return
					}
				}
			})
		}
		callers.Wait()
	})
}
