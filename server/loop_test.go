package server_test

import (
	"context"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/server"
)

// A handler may close its own connection, and then nothing is sent on it.
func TestHandlerClosesItsOwnConnection(t *testing.T) {
	closed := make(chan error, 1)
	h := server.Frames(framing.Format{}, func(ctx context.Context, req []byte) ([]byte, error) {
		closed <- server.ConnFromContext(ctx).Close()
		return req, nil
	})
	s := &server.Server{Handler: h}
	c := dial(t, start(t, s))
	c.send("x")
	require.NoError(t, <-closed)
	got, _ := io.ReadAll(c)
	require.Empty(t, got)
	require.Eventually(t, func() bool { return s.Stat().Handlers == 0 }, patience, time.Millisecond)
}

// A connection that is closed by somebody else ends for its peer at once, whatever
// its handler does.
func TestCloseReachesThePeerOfABlockedHandler(t *testing.T) {
	for name, end := range map[string]func(s *server.Server, ctx context.Context) error{
		"connection": func(_ *server.Server, ctx context.Context) error { return server.ConnFromContext(ctx).Close() },
		"server":     func(s *server.Server, _ context.Context) error { return s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			in, let := make(chan context.Context, 1), make(chan struct{})
			h := server.Frames(framing.Format{}, func(ctx context.Context, req []byte) ([]byte, error) {
				in <- ctx
				<-let
				return req, nil
			})
			s := &server.Server{Handler: h}
			c := dial(t, start(t, s))
			defer close(let)
			c.send("x")
			ctx := <-in
			require.NoError(t, end(s, ctx))
			<-ctx.Done()
			_, err := c.Read(make([]byte, 1))
			require.Error(t, err)
			require.Zero(t, s.Stat().Open)
			require.Equal(t, 1, s.Stat().Handlers)
			require.Empty(t, slices.Collect(s.Conns()))
			require.False(t, s.CloseConn(1), "it is closed already")
		})
	}
}

// The end of the stream that arrives together with a request is seen at once, also
// on a connection that has served many.
func TestEndOfTheStreamTogetherWithARequest(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		h := echo()
		h.Concurrency = n
		addr := start(t, &server.Server{Handler: h})
		for _, before := range []int{0, 1, 100} {
			c := dial(t, addr)
			for range before {
				c.send("x")
				c.expect("x")
			}
			c.send("last")
			require.NoError(t, c.Conn.(interface{ CloseWrite() error }).CloseWrite())
			c.expect("last")
			c.expectEnd()
		}
	})
}

// The same where the server does not reply: its write cannot tell.
func TestEndOfTheStreamTogetherWithAOneWayRequest(t *testing.T) {
	h := server.Frames(framing.Format{}, func(context.Context, []byte) ([]byte, error) { return nil, server.ErrNoReply })
	s := &server.Server{Handler: h}
	c := dial(t, start(t, s))
	for i := range 100 {
		c.send("x")
		require.Eventually(t, func() bool { return s.Stat().Requests == uint64(i+1) }, patience, time.Microsecond)
	}
	c.send("last")
	require.NoError(t, c.Close())
	require.Eventually(t, func() bool { return s.Stat().Handlers == 0 }, patience, time.Millisecond)
	require.EqualValues(t, 101, s.Stat().Requests)
}
