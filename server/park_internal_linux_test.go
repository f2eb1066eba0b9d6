package server

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
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

// A connection does not park if there is a reason to wake it, whenever that came.
func TestParkThatIsTooLate(t *testing.T) {
	for name, tc := range map[string]struct {
		reason func(t *testing.T, s *session, far net.Conn)
		parks  bool
		want   uint32
	}{
		"no reason": {func(*testing.T, *session, net.Conn) {}, true, parked},
		"not asked": {func(_ *testing.T, s *session, _ net.Conn) { s.parking.Store(unparked) }, false, unparked},
		"a drain":   {func(_ *testing.T, s *session, _ net.Conn) { s.srv.draining.Store(true) }, false, unparked},
		"its time":  {func(_ *testing.T, s *session, _ net.Conn) { s.readDue.Store(overdue) }, false, unparked},
		"a request that was cut": {func(t *testing.T, s *session, _ net.Conn) {
			for s.conn.Err() == nil { // time is up within the bytes
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
				require.Error(t, s.conn.Do(ctx, func() error {
					_, err := s.conn.Ask(make([]byte, 16<<20))
					return err
				}))
				cancel()
			}
		}, false, unparked},
		"it is closed": {func(_ *testing.T, s *session, _ net.Conn) { _ = s.conn.Close() }, false, cannotPark},
		"a byte": {func(t *testing.T, s *session, far net.Conn) {
			_, err := far.Write([]byte{0})
			require.NoError(t, err)
			require.NoError(t, waitForByte(s))
		}, false, unparked},
	} {
		t.Run(name, func(t *testing.T) {
			s, far := sockets(t, &FrameHandler{})
			s.readDue.Store(never)
			s.parking.Store(askedToPark)
			tc.reason(t, s, far)
			require.Equal(t, tc.parks, servingOf(s).park())
			require.Equal(t, tc.want, s.parking.Load())
			s.srv.closePoller()
			require.Nil(t, s.srv.poller)
		})
	}
}

// A connection with a request in progress does not park.
func TestRequestInProgressKeepsItsGoroutine(t *testing.T) {
	s, _ := sockets(t, &FrameHandler{Concurrency: 2})
	f := servingOf(s)
	f.begin()
	f.many.taken = 1
	s.parking.Store(askedToPark)
	require.False(t, f.park())
	require.Equal(t, unparked, s.parking.Load())
	s.srv.closePoller()
}

// With Concurrency a connection gives up its queue when it parks, and parks only if
// nothing is in it and it has not failed.
func TestPutAside(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(c *concurrent)
		want   bool
	}{
		"idle":      {func(*concurrent) {}, true},
		"a request": {func(c *concurrent) { c.taken = 1 }, false},
		"a writer":  {func(c *concurrent) { c.writing = true }, false},
		"it failed": {func(c *concurrent) { c.failed = true }, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := sockets(t, &FrameHandler{Concurrency: 2})
			f := servingOf(s)
			f.begin()
			many := f.many
			tc.change(many)
			require.Equal(t, tc.want, f.putAside())
			require.Equal(t, tc.want, f.many == nil)
			require.Equal(t, tc.want, f.x == nil)
			require.Equal(t, tc.want, s.extra.Load().many.Load() == nil)
			require.True(t, many.waiting, "the writer says when it is idle")
		})
	}
}

// What a worker that is about to end still uses is given up after it has ended.
func TestPutAsideWaitsForTheWorkers(t *testing.T) {
	s, _ := sockets(t, &FrameHandler{Concurrency: 2})
	f := servingOf(s)
	f.begin()
	var ended atomic.Bool
	f.many.wg.Go(func() {
		time.Sleep(10 * time.Millisecond)
		ended.Store(true)
	})
	require.True(t, f.putAside())
	require.True(t, ended.Load())
}

// An event is for the session that has the descriptor now, if it is that one.
func TestPollerFind(t *testing.T) {
	s := &session{id: 7}
	p := &poller{}
	require.Nil(t, p.find(3, 7))
	p.remember(s, 3)
	require.Same(t, s, p.find(3, 7))
	require.Nil(t, p.find(3, 6), "its descriptor was another's")
	require.Nil(t, p.find(2, 7))
	require.Nil(t, p.find(4, 7))
	other := &session{id: 8}
	p.remember(other, 5)
	p.forget(s)
	require.Nil(t, p.find(3, 7))
	require.Same(t, other, p.find(5, 8))
	require.Len(t, p.byFD, 6)
	p.forget(&session{fd: 5})
	require.Same(t, other, p.find(5, 8), "it is not the other one's")
	p.forget(&session{fd: 100})
	p.forget(&session{fd: int32(len(p.byFD))})
	require.Nil(t, p.find(int32(len(p.byFD)), 8))
}

// When close returns, the goroutine of the poller has ended.
func TestPollerCloseWaits(t *testing.T) {
	for range 20 {
		p, err := newPoller()
		require.NoError(t, err)
		p.close()
		select {
		case <-p.done:
		default:
			t.Fatal("it still runs")
		}
	}
}

// The watch goes on where a connection has come, parked and gone while the poller of the
// ones before it was being closed.
func TestWatchKeepsANewPoller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, next := &poller{done: make(chan struct{}), spare: -1}, &poller{spare: -1}
		s := &Server{poller: old}
		ends := make(chan bool, 1)
		go func() { ends <- s.watchEnds(time.Now()) }()
		synctest.Wait() // until the old one has ended
		s.mu.Lock()
		require.Nil(t, s.poller)
		s.poller = next
		s.mu.Unlock()
		close(old.done)
		require.False(t, <-ends)
		require.Same(t, next, s.poller)
	})
}

// More connections may wake at once than the poller hears of at once.
func TestManyParkedConnectionsWakeAtOnce(t *testing.T) {
	const n = 700
	h := Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) { return req, nil })
	h.ParkAfter = time.Hour // none parks again, which would have the poller look
	s := &Server{Handler: h}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	var clients []net.Conn
	for range n {
		nc, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		defer nc.Close()
		clients = append(clients, nc)
	}
	for range 4 { // the system may tell of them in two parts, by chance
		require.Eventually(t, func() bool { return s.Stat().Idle == n }, 20*time.Second, time.Millisecond)
		for _, sess := range s.sessions() {
			sess.idleSince.Store(-2 * int64(time.Hour))
		}
		require.Eventually(t, func() bool { return s.Stat().Parked == n }, 20*time.Second, time.Millisecond)
		s.poller.mu.Lock() // the poller waits behind the first
		for _, nc := range clients {
			_, err = nc.Write([]byte("\x00\x01x"))
			require.NoError(t, err)
		}
		s.poller.mu.Unlock()
		for _, nc := range clients {
			require.NoError(t, nc.SetReadDeadline(time.Now().Add(20*time.Second)))
			_, err = io.ReadFull(nc, make([]byte, 3))
			require.NoError(t, err)
		}
	}
	require.NoError(t, s.Close())
	require.NoError(t, s.Shutdown(t.Context()))
	require.ErrorIs(t, <-served, ErrServerClosed)
}

// Who resumes a connection that just falls asleep finds that it is to be woken.
func TestFallingAsleepIsSeenByWhoResumes(t *testing.T) {
	s, _ := sockets(t, &FrameHandler{})
	p := s.srv.makePoller()
	require.NotNil(t, p)
	defer s.srv.closePoller()
	s.parking.Store(parked)
	fd := -1
	require.NoError(t, rawOf(s.socket()).Control(func(of uintptr) { fd = int(of) }))

	p.mu.Lock() // Watch comes as far as the poller
	watched := make(chan bool)
	go func() { watched <- s.Watch(fd) }()
	seen := assert.Eventually(t, func() bool { return s.depth.Load() == asleep }, 10*time.Second, time.Millisecond)
	p.mu.Unlock()
	require.True(t, <-watched)
	require.True(t, seen)

	s.parking.Store(unparked)
	s.depth.Store(awake)
	require.False(t, s.Watch(fd), "somebody serves it")
	require.Equal(t, awake, s.depth.Load())
	s.Forget(fd)
}
