package server

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing"
)

// A connection is asked to park when it has been idle for ParkAfter, and not before.
func TestParkAfter(t *testing.T) {
	const second = int64(time.Second)
	for name, tc := range map[string]struct {
		after    time.Duration
		requests uint64
		idle     int64
		want     uint32
	}{
		"young, by default":       {0, 1, 0, askedToPark},
		"too early, by default":   {0, 2, second - 1, unparked},
		"long enough, by default": {0, 2, second, askedToPark},
		"too early":               {10 * time.Second, 0, 10*second - 1, unparked},
		"long enough":             {10 * time.Second, 5, 10 * second, askedToPark},
		"never":                   {-1, 0, 1000 * second, unparked},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := sockets(t, &FrameHandler{ParkAfter: tc.after})
			s.srv.clock.now.Store(5000 * second)
			s.srv.clock.tick.Store(second / 10)
			s.state.Store(uint32(StateIdle))
			s.requests.Store(tc.requests)
			s.idles(s.frames.Load())
			// The clock may be late by a tick where the wait begins.
			s.askToPark(5000*second + second/10 + tc.idle)
			require.Equal(t, tc.want, s.parking.Load())
		})
	}
}

// Nothing but an idle connection with a socket of its own is asked.
func TestWhatDoesNotPark(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(s *session)
		want   uint32
	}{
		"idle":                      {func(*session) {}, askedToPark},
		"active":                    {func(s *session) { s.state.Store(uint32(StateActive)) }, unparked},
		"about to be active":        {func(s *session) { s.readDue.Store(notDue) }, unparked},
		"asked before the last one": {func(s *session) { s.parking.Store(cannotPark) }, cannotPark},
		"no handler of frames":      {func(s *session) { s.frames.Store(nil) }, unparked},
		"another's goroutine":       {func(s *session) { s.own = false }, neverParks},
		"closed":                    {func(s *session) { _ = s.conn.Close() }, neverParks},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := sockets(t, &FrameHandler{})
			s.state.Store(uint32(StateIdle))
			s.idles(s.frames.Load())
			tc.change(s)
			s.askToPark(int64(time.Hour))
			require.Equal(t, tc.want, s.parking.Load())
		})
	}
}

// The poller keeps no connection that has ended.
func TestPollerForgetsConnectionsThatEnd(t *testing.T) {
	h := Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) { return req, nil })
	h.ParkAfter = time.Millisecond
	s := &Server{Handler: h}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	stays, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	for range 20 {
		nc, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		require.Eventually(t, func() bool { return s.Stat().Parked == 2 }, 10*time.Second, time.Millisecond)
		require.NoError(t, nc.Close())
		require.Eventually(t, func() bool { return s.Stat().Handlers == 1 }, 10*time.Second, time.Millisecond)
		require.Equal(t, 1, polledSessions(s))
	}
	require.NoError(t, stays.Close())
	require.NoError(t, s.Shutdown(t.Context()))
	require.ErrorIs(t, <-served, ErrServerClosed)
}

func polledSessions(s *Server) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.poller.mu.Lock()
	defer s.poller.mu.Unlock()
	for _, sess := range s.poller.byFD {
		if sess != nil {
			n++
		}
	}
	return n
}
