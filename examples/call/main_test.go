package main

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCall(t *testing.T) {
	for name, shared := range map[string]bool{"exclusive": false, "shared": true} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			require.NoError(t, run(t.Context(), "", shared, []string{"one", "two", "three"}, &out))
			require.Equal(t, "no -addr: started a server here\n> one\n> two\n> three\n", out.String())
		})
	}
}

func TestErrorsSayWhatACallerWantsToKnow(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	reads := server.HandlerFunc(func(_ context.Context, c *conn.Conn) { _, _ = c.Read(make([]byte, 64)) })
	srv := &server.Server{Handler: reads} // it closes without a reply
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	err = run(t.Context(), addr, false, []string{"one"}, nil)
	require.ErrorIs(t, err, io.EOF)
	require.NotContains(t, err.Error(), "has not seen")
	require.NoError(t, srv.Close())
	<-served

	err = run(t.Context(), addr, false, []string{"one"}, nil) // nobody listens
	require.ErrorContains(t, err, "the server has not seen the request")
}
