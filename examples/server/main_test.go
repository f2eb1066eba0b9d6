package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-99d6a01a/gtcp/framing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestStopUnderLoad stops the server with four requests in progress: all are
// answered, then the connection ends.
func TestStopUnderLoad(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	pr, pw := io.Pipe()
	result := make(chan error, 1)
	go func() {
		result <- run(ctx, "127.0.0.1:0", 100*time.Millisecond, 20*time.Second, pw)
		_ = pw.Close()
	}()
	lines := make(chan string, 10)
	go func() {
		defer close(lines)
		for out := bufio.NewScanner(pr); out.Scan(); {
			lines <- out.Text()
		}
	}()
	_, addr, ok := strings.Cut(<-lines, "serving on ")
	require.True(t, ok)

	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	w, r := framing.NewWriter(c, framing.Format{}), framing.NewReader(c, framing.Format{})
	require.NoError(t, w.WriteFrame([]byte("first")))
	require.NoError(t, w.Flush())
	resp, err := r.Next()
	require.NoError(t, err)
	require.Equal(t, "> first", string(resp))
	for i := range 4 {
		require.NoError(t, w.WriteFrame(fmt.Appendf(nil, "request %d", i)))
	}
	require.NoError(t, w.Flush())
	stop()
	for i := range 4 {
		resp, err := r.Next()
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("> request %d", i), string(resp))
	}
	_, err = r.Next()
	require.Equal(t, io.EOF, err)
	require.NoError(t, c.Close())

	require.NoError(t, <-result)
	require.Contains(t, <-lines, "draining 1 connections")
	require.Equal(t, "served 5 requests, lost none", <-lines)
	require.Empty(t, <-lines)
}

func TestBusyAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	err = run(t.Context(), l.Addr().String(), 0, 0, io.Discard)
	require.ErrorContains(t, err, l.Addr().String())
}
