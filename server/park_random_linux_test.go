package server_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/server"
)

// Requests, parking, sleep, resets and a drain meet at random: every request that is
// not cut off by its own client gets its reply, and nothing is left.
func TestParkingAtRandom(t *testing.T) {
	for name, kind := range map[string]struct {
		concurrency int
		handler     func(h *server.FrameHandler) *server.FrameHandler
	}{
		"one": {1, parking}, "concurrent": {4, parking},
		"one, asleep": {1, sleeping}, "concurrent, asleep": {4, sleeping},
	} {
		t.Run(name, func(t *testing.T) {
			h := kind.handler(echo())
			h.Concurrency = kind.concurrency
			s := &server.Server{Handler: h}
			addr := start(t, s)
			var wg sync.WaitGroup
			for i := range 40 {
				c := dial(t, addr)
				wg.Go(func() {
					rnd := rand.New(rand.NewPCG(1, uint64(i)))
					frame, _ := framing.Format{}.Append(nil, []byte("request"))
					for range 100 {
						time.Sleep(time.Duration(rnd.Int64N(int64(6 * time.Millisecond))))
						_, err := c.Write(frame[:4])
						assert.NoError(t, err)
						if rnd.IntN(4) == 0 {
							time.Sleep(time.Duration(rnd.Int64N(int64(3 * time.Millisecond))))
						}
						_, err = c.Write(frame[4:])
						assert.NoError(t, err)
						got, err := c.r.Next()
						assert.NoError(t, err)
						assert.Equal(t, "request", string(got))
					}
					if i%2 == 0 {
						_ = c.Close()
					}
				})
			}
			wg.Wait()
			require.EqualValues(t, 4000, s.Stat().Requests)
			shutdown(t, s)
		})
	}
}

// 10,000 requests on connections that fall asleep between them, with requests in
// parts, half-closes, resets and connections that the server closes itself: none of
// those that its client waits for is lost, and every descriptor comes back.
func TestSleepingAtRandom(t *testing.T) {
	var handled, lost atomic.Int64
	h := sleeping(server.Frames(framing.Format{}, func(ctx context.Context, req []byte) ([]byte, error) {
		handled.Add(1)
		if string(req) == "close" {
			return nil, errors.Join(server.ConnFromContext(ctx).Close(), server.ErrNoReply)
		}
		return req, nil
	}))
	before := openDescriptors(t)
	s := &server.Server{Handler: h, Logger: slog.New(slog.DiscardHandler)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	var left atomic.Int64
	left.Store(10_000)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(2, uint64(i)))
			for left.Load() > 0 {
				if !randomLife(rnd, l.Addr().String(), &left) {
					lost.Add(1)
				}
			}
		})
	}
	wg.Wait()
	require.Zero(t, lost.Load())
	require.GreaterOrEqual(t, handled.Load(), int64(10_000))
	shutdown(t, s)
	require.ErrorIs(t, <-served, server.ErrServerClosed)
	require.Eventually(t, func() bool { return openDescriptors(t) <= before }, patience, time.Millisecond)
}

// randomLife is a connection with some requests and pauses, and one of several ends.
// It is false if a request got no reply.
func randomLife(rnd *rand.Rand, addr string, left *atomic.Int64) bool {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return false
	}
	defer nc.Close()
	r := framing.NewReader(nc, framing.Format{})
	pause := func() { time.Sleep(time.Duration(rnd.Int64N(int64(12 * time.Millisecond)))) }
	for range 1 + rnd.IntN(20) {
		pause()
		frame, _ := framing.Format{}.Append(nil, []byte("request"))
		cut := rnd.IntN(len(frame))
		if _, err := nc.Write(frame[:cut]); err != nil {
			return false
		}
		if rnd.IntN(3) == 0 {
			pause()
		}
		if _, err := nc.Write(frame[cut:]); err != nil {
			return false
		}
		if got, err := r.Next(); err != nil || string(got) != "request" {
			return false
		}
		left.Add(-1)
	}
	pause()
	switch rnd.IntN(4) {
	case 0: // the server sends what it owes, then its own end
		frame, _ := framing.Format{}.Append(nil, []byte("last"))
		if _, err := nc.Write(frame); err != nil {
			return false
		}
		if err := nc.(*net.TCPConn).CloseWrite(); err != nil {
			return false
		}
		if got, err := r.Next(); err != nil || string(got) != "last" {
			return false
		}
		_, err := r.Next()
		return err == io.EOF
	case 1:
		_ = nc.(*net.TCPConn).SetLinger(0)
	case 2:
		frame, _ := framing.Format{}.Append(nil, []byte("close"))
		if _, err := nc.Write(frame); err != nil {
			return false
		}
		_, err := nc.Read(make([]byte, 1))
		return err != nil
	}
	return true
}

// Clients send while the server shuts down, on connections that sleep: a request that
// had arrived before Shutdown gets its reply, every connection its end.
func TestShutdownWhileConnectionsWake(t *testing.T) {
	before := openDescriptors(t)
	for range 10 {
		s := &server.Server{Handler: sleeping(echo()), Logger: slog.New(slog.DiscardHandler)}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		var clients []*client
		for range 40 {
			clients = append(clients, dial(t, l.Addr().String()))
		}
		waitParked(t, s, 40)
		for _, c := range clients[:20] {
			c.send("early")
		}
		var wg sync.WaitGroup
		for _, c := range clients[20:] {
			wg.Go(func() { _, _ = c.Write([]byte("\x00\x04late")) })
		}
		shutdown(t, s)
		wg.Wait()
		require.ErrorIs(t, <-served, server.ErrServerClosed)
		for _, c := range clients[:20] {
			c.expect("early")
			c.expectEnd()
		}
		for _, c := range clients {
			require.NoError(t, c.Close())
		}
	}
	require.Eventually(t, func() bool { return openDescriptors(t) <= before }, patience, time.Millisecond)
}

// openDescriptors counts the descriptors of the process.
func openDescriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(all)
}
