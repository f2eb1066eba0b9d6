package server_test

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/server"
)

// verifyMain is TestMain for each kind of system.
func verifyMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what must happen; it is never waited out in a passing test.
const patience = 20 * time.Second

// start serves s on a loopback port until the test ends and returns the address.
func start(t *testing.T, s *server.Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	startOn(t, s, l)
	return l.Addr().String()
}

func startOn(t *testing.T, s *server.Server, l net.Listener) {
	t.Helper()
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		require.ErrorIs(t, <-served, server.ErrServerClosed)
		shutdown(t, s)
	})
}

// shutdown waits for a server to end by itself.
func shutdown(t *testing.T, s *server.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, s.Shutdown(ctx))
}

// echo answers a request with itself.
func echo() *server.FrameHandler {
	return server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) { return req, nil })
}

// client is a plain socket that speaks frames of the zero Format.
type client struct {
	net.Conn
	t *testing.T
	r *framing.Reader
}

func dial(t *testing.T, addr string) *client {
	t.Helper()
	nc, err := net.DialTimeout("tcp", addr, patience)
	require.NoError(t, err)
	return newClient(t, nc)
}

func newClient(t *testing.T, nc net.Conn) *client {
	t.Helper()
	require.NoError(t, nc.SetDeadline(time.Now().Add(patience)))
	t.Cleanup(func() { _ = nc.Close() })
	return &client{Conn: nc, t: t, r: framing.NewReader(nc, framing.Format{})}
}

// send writes one frame for each request, in one write.
func (c *client) send(requests ...string) {
	c.t.Helper()
	var wire []byte
	for _, r := range requests {
		var err error
		wire, err = framing.Format{}.Append(wire, []byte(r))
		require.NoError(c.t, err)
	}
	_, err := c.Write(wire)
	require.NoError(c.t, err)
}

// expect reads one frame for each reply.
func (c *client) expect(replies ...string) {
	c.t.Helper()
	for _, want := range replies {
		got, err := c.r.Next()
		require.NoError(c.t, err)
		require.Equal(c.t, want, string(got))
	}
}

// expectEnd reads until the server's end of the stream, cleanly and with nothing
// before it.
func (c *client) expectEnd() {
	c.t.Helper()
	got, err := c.r.Next()
	require.Empty(c.t, got)
	require.EqualError(c.t, err, "EOF")
}
