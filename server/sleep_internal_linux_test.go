//go:build !gtcp_noloop

package server

import (
	"fmt"
	"math"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/internal/sleep"
)

// parkedSession is a session that is parked, and whose goroutine has ended.
func parkedSession(t *testing.T, h *FrameHandler) *session {
	t.Helper()
	s, _ := sockets(t, h)
	s.plain = true
	p := s.srv.makePoller()
	require.NotNil(t, p)
	t.Cleanup(s.srv.closePoller)
	s.parking.Store(parked)
	require.True(t, p.watchAll(s))
	return s
}

// A parked connection sleeps when it has been idle for SleepAfter, and not before.
func TestSleepAfter(t *testing.T) {
	const second = int64(time.Second)
	for name, tc := range map[string]struct {
		park, sleep time.Duration
		requests    uint64
		idle        int64
		want        bool
	}{
		"new, by default":         {0, 0, 0, 0, true},
		"young, by default":       {0, 0, 1, 0, true},
		"too early, by default":   {0, 0, 2, 60*second - 1, false},
		"long enough, by default": {0, 0, 2, 60 * second, true},
		"young, with a ParkAfter": {time.Second, 0, 1, 60*second - 1, false},
		"later, with a ParkAfter": {time.Second, 0, 1, 60 * second, true},
		"too early":               {0, 10 * time.Second, 0, 10*second - 1, false},
		"long enough":             {0, 10 * time.Second, 0, 10 * second, true},
		"long enough, with both":  {time.Second, 10 * time.Second, 5, 10 * second, true},
		"never":                   {0, -1, 0, 1000 * second, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := parkedSession(t, &FrameHandler{ParkAfter: tc.park, SleepAfter: tc.sleep})
			s.requests.Store(tc.requests)
			s.idleSince.Store(5000 * second)
			require.Equal(t, tc.want, s.fallAsleep(5000*second+tc.idle))
			require.Equal(t, tc.want, s.depth.Load() == asleep)
			require.Equal(t, !tc.want && tc.sleep >= 0, s.fallAsleep(math.MaxInt64), "later")
		})
	}
}

// Only a parked connection sleeps that nobody else has.
func TestWhatDoesNotSleep(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(s *session)
		want   uint32
	}{
		"not parked":         {func(s *session) { s.parking.Store(unparked) }, awake},
		"just being parked":  {func(s *session) { s.settling.Add(1) }, awake},
		"another's listener": {func(s *session) { s.plain = false }, sleepless},
		"held by somebody":   {func(s *session) { s.conn.NetConn() }, sleepless},
	} {
		t.Run(name, func(t *testing.T) {
			s := parkedSession(t, &FrameHandler{})
			tc.change(s)
			require.False(t, s.fallAsleep(math.MaxInt64))
			require.Equal(t, tc.want, s.depth.Load())
			require.NotNil(t, s.socket())
		})
	}
}

// watched is how many descriptors the poller's epoll has.
func (p *poller) watched(t *testing.T) int {
	t.Helper()
	var info []byte
	var err error
	require.NoError(t, p.raw.Control(func(fd uintptr) { info, err = os.ReadFile(fmt.Sprint("/proc/self/fdinfo/", fd)) }))
	require.NoError(t, err)
	return strings.Count(string(info), "tfd:")
}

// However often a connection sleeps, the poller watches one descriptor for it.
func TestSleepLeavesNothingInThePoller(t *testing.T) {
	s := parkedSession(t, &FrameHandler{})
	p := s.srv.poller
	for range 5 {
		require.Equal(t, 1, p.watched(t))
		require.Equal(t, 1, polledSessions(s.srv))
		require.True(t, s.fallAsleep(math.MaxInt64))
		require.Equal(t, 1, p.watched(t))
		require.Equal(t, 1, polledSessions(s.srv))
		require.NoError(t, sleep.Wake(s.conn))
		require.Equal(t, awake, s.depth.Load())
	}
}

// A poller that cannot watch another descriptor leaves what it watched.
func TestPollerThatCannotWatch(t *testing.T) {
	s := parkedSession(t, &FrameHandler{})
	p := s.srv.poller
	before := s.fd
	const none = 5000 // not open
	require.False(t, p.watchAllAt(s, none))
	require.Equal(t, before, s.fd)
	require.Nil(t, p.find(none, int32(s.id)))
	require.Same(t, s, p.find(before, int32(s.id)))
	require.Equal(t, 1, p.watched(t))

	other := &session{id: 77}
	p.forgetAt(other, int(before))
	require.Same(t, s, p.find(before, int32(s.id)), "it is not the other one's")
	p.forgetAt(s, len(p.byFD))

	s.srv.track(s)
	s.idleSince.Store(math.MaxInt64 / 2) // it does not park again
	s.Woken(none)
	require.Equal(t, unparked, s.parking.Load(), "its goroutine waits instead")
	require.NoError(t, s.conn.Close())
	s.connClosed()
	require.Eventually(t, func() bool {
		s.srv.mu.Lock()
		defer s.srv.mu.Unlock()
		return s.srv.live == 0
	}, 20*time.Second, time.Millisecond)
}

// The poller of a server with a connection stays.
func TestPollerOfAConnectionStays(t *testing.T) {
	srv := new(Server)
	p := srv.makePoller()
	require.NotNil(t, p)
	require.Same(t, p, srv.makePoller())
	s := &session{srv: srv, conn: conn.New(&onWrite{})}
	srv.track(s)
	srv.closePoller()
	require.Same(t, p, srv.makePoller())
	select {
	case <-p.done:
		t.Fatal("it is closed")
	default:
	}
	srv.live--
	srv.closePoller()
	require.Nil(t, srv.poller)
	<-p.done
}

// A poller that is closed says that it watches nothing.
func TestPollerThatIsClosed(t *testing.T) {
	s, _ := sockets(t, &FrameHandler{})
	p, err := newPoller()
	require.NoError(t, err)
	spare := p.spare
	require.Greater(t, spare, 2)
	p.close()
	var st syscall.Stat_t
	require.ErrorIs(t, syscall.Fstat(spare, &st), syscall.EBADF, "its spare descriptor is closed")
	require.False(t, p.watchAll(s))
	require.Error(t, p.control(syscall.EPOLL_CTL_DEL, 0, new(syscall.EpollEvent)))

	s.srv.poller = p
	s.readDue.Store(never)
	s.parking.Store(askedToPark)
	require.False(t, servingOf(s).park())
	require.Equal(t, cannotPark, s.parking.Load())
}

// The spare descriptor is there again after each use.
func TestSpareDescriptor(t *testing.T) {
	p, err := newPoller()
	require.NoError(t, err)
	defer p.close()
	var st syscall.Stat_t
	for range 3 {
		before := p.spare
		require.NoError(t, syscall.Fstat(before, &st))
		used := false
		p.withSpare(func() {
			used = true
			require.Less(t, p.spare, 0)
			require.ErrorIs(t, syscall.Fstat(before, &st), syscall.EBADF)
		})
		require.True(t, used)
		require.Greater(t, p.spare, 2)
		require.NoError(t, syscall.Fstat(p.spare, &st))
	}
}

// Where the process has no descriptor for a poller, a connection does not park before
// its next request.
func TestNoParkingWithoutAPoller(t *testing.T) {
	s, _ := sockets(t, &FrameHandler{})
	s.parking.Store(askedToPark)
	var was syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was))
	none := was
	none.Cur = 0
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none))
	parks := servingOf(s).park()
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was))
	require.False(t, parks)
	require.Equal(t, cannotPark, s.parking.Load())
}

// crowded makes a server with so many idle connections that can neither park nor sleep,
// every other one parked; the first one is the newest.
func crowded(n int) (srv *Server, newest []*session) {
	srv = new(Server)
	h := new(FrameHandler)
	for i := range n {
		s := &session{srv: srv, conn: conn.New(&onWrite{})}
		s.frames.Store(h)
		s.state.Store(uint32(StateIdle))
		s.readDue.Store(never)
		if i%2 == 0 {
			s.parking.Store(parked)
		}
		srv.track(s)
		newest = append([]*session{s}, newest...)
	}
	return srv, newest
}

// Of a crowd the newest connections are looked at, four times as many as have come.
func TestLookAtNewest(t *testing.T) {
	srv, newest := crowded(5 * crowd)
	srv.lookAtNewest()
	for i, s := range newest {
		looked := i < 4*crowd
		if s.parking.Load() == parked {
			require.Equal(t, looked, s.depth.Load() == sleepless, i)
		} else {
			require.Equal(t, looked, s.parking.Load() == neverParks, i)
		}
	}
	srv, newest = crowded(3)
	srv.lookAtNewest()
	require.Equal(t, sleepless, newest[2].depth.Load(), "there may be fewer")
}

// A look of the watch has so many connections fall asleep and no more: the others are
// the next look's.
func TestOneLookHasSoManyFallAsleep(t *testing.T) {
	before := sleep.Fall
	defer func() { sleep.Fall = before }()
	asked := 0
	sleep.Fall = func(any, sleep.Watcher) sleep.Outcome {
		if asked++; asked%2 == 1 {
			return sleep.Asleep
		}
		return sleep.Busy // it does not count
	}
	srv, h, nc := new(Server), new(FrameHandler), conn.New(&onWrite{})
	var all []*session
	for range 3 * mostAsleep {
		s := &session{srv: srv, conn: nc, plain: true}
		s.frames.Store(h)
		s.readDue.Store(never)
		s.parking.Store(parked)
		all = append(all, s)
	}
	require.False(t, srv.look(all, 0, 0, false))
	require.Equal(t, 2*mostAsleep-1, asked, "every other one has fallen asleep")
}

// The watch is woken for every so many connections, if it runs.
func TestCrowdWakesTheWatch(t *testing.T) {
	for _, runs := range []bool{true, false} {
		srv := &Server{wake: make(chan struct{}, 1)}
		srv.clock.running.Store(runs)
		for i := range 2*crowd + 1 {
			srv.track(&session{srv: srv, conn: conn.New(&onWrite{})})
			want := runs && (i+1)%crowd == 0
			require.Equal(t, want, srv.clock.crowded.Swap(false), i)
			require.Equal(t, want, len(srv.wake) == 1, i)
			if want {
				<-srv.wake
			}
		}
	}
}
