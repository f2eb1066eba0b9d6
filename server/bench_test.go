package server_test

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/server"
)

// pump sends n requests of 64 bytes to addr, some 16,000 ahead of the answers.
func pump(tb testing.TB, addr string, n int) {
	c, err := net.Dial("tcp", addr)
	require.NoError(tb, err)
	defer c.Close()
	require.NoError(tb, c.SetDeadline(time.Now().Add(time.Minute)))
	f, err := framing.Format{}.Append(nil, bytes.Repeat([]byte("x"), 64))
	require.NoError(tb, err)
	chunk := bytes.Repeat(f, 1000)
	window := make(chan struct{}, 16)
	go func() {
		defer close(window)
		for range (n + 999) / 1000 {
			window <- struct{}{}
			if _, err := c.Write(chunk); err != nil {
				return
			}
		}
	}()
	buf := make([]byte, len(chunk))
	for range window {
		_, err := io.ReadFull(c, buf)
		require.NoError(tb, err)
	}
}

func BenchmarkPipelined(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	s := &server.Server{Handler: echo(), Logger: slog.New(slog.DiscardHandler)}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	b.ReportAllocs()
	b.ResetTimer()
	pump(b, l.Addr().String(), b.N)
	b.StopTimer()
	require.NoError(b, s.Close())
	<-served
}

func TestRequestsDoNotAllocate(t *testing.T) {
	addr := start(t, &server.Server{Handler: echo()})
	pump(t, addr, 10000)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const n = 200000
	pump(t, addr, n)
	runtime.ReadMemStats(&after)
	require.Less(t, float64(after.Mallocs-before.Mallocs)/n, 0.01)
}
