package main

import (
	"context"
	"io"
	"net"
	"os"
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

// The first lines that README.md shows are what the program prints.
func TestReadme(t *testing.T) {
	page, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	var out strings.Builder
	require.NoError(t, run(t.Context(), "", false, []string{"hello", "world"}, &out))
	_, replies, _ := strings.Cut(out.String(), "\n") // after the line that a server was started
	require.Contains(t, string(page), "call -addr 127.0.0.1:8999 hello world ")
	require.Contains(t, string(page), "```text\n"+replies+"```\n")
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
