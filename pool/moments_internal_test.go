package pool

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// The tests in this file are inside the package because they are about moments
// that cannot be met from outside but by great luck.

// TestCloseBetweenHandoffAndStore closes the pool while a caller has handed its
// connection on and nobody can find the new handle yet: Close waits for it, so
// that nothing is open when it returns.
func TestCloseBetweenHandoffAndStore(t *testing.T) {
	near, far := net.Pipe()
	defer func() { _ = far.Close() }()
	p, err := New(conn.Target{Dial: func(context.Context) (net.Conn, error) { return near, nil }}, Config{})
	require.NoError(t, err)
	c, err := p.Get(t.Context())
	require.NoError(t, err)
	m := c.life.member
	c.state.Or(connEnded)
	next := m.newHandle(connReused)
	require.NoError(t, c.Conn.Handoff(&next.Conn))

	closed := make(chan error)
	go func() { closed <- p.Close() }()
	select {
	case <-closed:
		require.Fail(t, "Close returned, and a connection is open")
	case <-time.After(20 * time.Millisecond):
	}
	m.handle.Store(next)
	require.NoError(t, <-closed)
	require.ErrorIs(t, next.Err(), net.ErrClosed)
	p.keep(m, next, m.lease, p.clock.now()) // stale, and harmless
}

// A release is in progress between its first step and the next handle, after a
// Replace too: a Close of the pool waits for it.
func TestReleasingAfterReplace(t *testing.T) {
	p, err := New(conn.Target{Dial: func(context.Context) (net.Conn, error) {
		near, _ := net.Pipe()
		return near, nil
	}}, Config{})
	require.NoError(t, err)
	c, err := p.Get(t.Context())
	require.NoError(t, err)
	require.NoError(t, c.Replace(t.Context()))
	require.False(t, c.releasing())
	c.state.Or(connEnded)
	require.True(t, c.releasing())
	c.state.And(^connEnded)
	require.NoError(t, c.Close())
	require.NoError(t, p.Close())
}

// What a timer or EvictConn begins in the moment in which the pool is closed does
// nothing.
func TestBackgroundAfterClose(t *testing.T) {
	p, err := New(conn.Target{Address: "127.0.0.1:1"}, Config{})
	require.NoError(t, err)
	require.NoError(t, p.Close())
	p.reaper.fire()
	p.sweepUnwanted()
	p.tasks.wg.Wait()
}

// Many arm the reaper at once, for different times: the earliest counts.
func TestReaperIsArmedForTheEarliest(t *testing.T) {
	p, err := New(conn.Target{Address: "127.0.0.1:1"}, Config{})
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	s := &p.reaper
	soonest := p.clock.now() + int64(time.Hour)
	for range 500 {
		s.mu.Lock() // all of them have looked before the first goes on
		s.armed.Store(0)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() { s.arm(soonest + int64(time.Duration(i)*time.Minute)) })
		}
		for range 8 {
			runtime.Gosched()
		}
		s.mu.Unlock()
		wg.Wait()
		require.Equal(t, soonest-s.lead, s.armed.Load())
	}
}

// TestAgesByTheLaterClock moves the wall clock, as a machine does that was
// suspended while the monotonic clock stood still.
func TestAgesByTheLaterClock(t *testing.T) {
	var k clock
	start := time.Now()
	var mono, wall time.Duration
	k.read = func() (time.Time, int64) {
		return start.Add(mono), start.UnixNano() + int64(wall)
	}
	k.since = func(time.Time) time.Duration { return mono }
	k.epoch, k.start = k.read()
	k.compared.Store(-compareEvery) // it compares each time
	pass := func(m, w time.Duration) time.Duration {
		before := k.now()
		mono += m
		wall += w
		k.compared.Store(-2 * compareEvery)
		return time.Duration(k.now() - before)
	}
	require.EqualValues(t, 1, k.now())
	require.Equal(t, time.Minute, pass(time.Minute, time.Minute))
	require.Equal(t, 8*time.Hour, pass(0, 8*time.Hour), "suspended")
	require.Equal(t, start.Add(8*time.Hour+time.Minute).Round(0), k.time(k.now()))
	require.Equal(t, time.Minute, pass(time.Minute, time.Minute-500*time.Millisecond), "a time server at work")
	require.Equal(t, time.Minute, pass(time.Minute, -10*time.Hour), "set back")
	require.Equal(t, 2*time.Hour, pass(time.Second, 2*time.Hour), "suspended again, though the wall clock is behind")
	require.Equal(t, time.Hour, pass(time.Hour, time.Hour))
}

// TestSuspendedMachine has a connection idle while the machine sleeps: it is
// not checked out when the machine is back.
func TestSuspendedMachine(t *testing.T) {
	var slept time.Duration
	p, err := New(conn.Target{Dial: func(context.Context) (net.Conn, error) {
		near, _ := net.Pipe()
		return near, nil
	}}, Config{Probe: Probe{Mode: ProbeNever}})
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	p.clock.read = func() (time.Time, int64) {
		now, wall := readClocks()
		return now, wall + int64(slept)
	}
	c, err := p.Get(t.Context())
	require.NoError(t, err)
	first := c.ID()
	require.NoError(t, c.Close())
	slept = 8 * time.Hour
	time.Sleep(time.Duration(2 * compareEvery)) // awake again
	c, err = p.Get(t.Context())
	require.NoError(t, err)
	require.NotEqual(t, first, c.ID())
	require.EqualValues(t, 1, p.Stat().Evictions[Expired])
	require.NoError(t, c.Close())
}

// TestAdmission asks about waiters when a checkout takes 100 ms.
func TestAdmission(t *testing.T) {
	var a admission
	require.True(t, a.Admit(1, 1000, 1), "nothing is known")
	for range knownFrom {
		a.observe(int64(100 * time.Millisecond))
	}
	require.Equal(t, 100*time.Millisecond, a.holdTime())
	require.False(t, a.Admit(149*time.Millisecond, 0, 1), "less than a call takes, and half as much again")
	require.True(t, a.Admit(150*time.Millisecond, 0, 1))
	require.True(t, a.Admit(950*time.Millisecond, 8, 1), "to the last moment")
	require.True(t, a.Admit(time.Second, 8, 1))
	require.False(t, a.Admit(time.Second, 9, 1))
	require.True(t, a.Admit(time.Second, 17, 2), "two serve the queue")
	require.True(t, a.Admit(1<<62, 1<<30, 1))

	require.False(t, a.NewestFirst(time.Hour), "no waiter ran out of time")
	a.missed(time.Now())
	require.False(t, a.NewestFirst(overloadedAfter))
	require.True(t, a.NewestFirst(overloadedAfter+1))
	require.True(t, a.Admit(time.Second, 1000, 1), "the newest is served before all of them")
	require.False(t, a.NewestFirst(0), "the queue has been empty")
	require.False(t, a.Admit(time.Second, 1000, 1))

	for range 1000 { // follows the median, up and down
		a.observe(int64(time.Second))
	}
	require.Equal(t, time.Second, a.holdTime())
	for range 1000 {
		a.observe(0)
	}
	require.LessOrEqual(t, a.holdTime(), 20*time.Nanosecond)
}

// The error of I/O that a context has ended says and is all three.
func TestEndedErrorSaysAllOfIt(t *testing.T) {
	cause, broken := errors.New("cause"), errors.New("broken")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	for _, c := range []struct {
		err  error
		want string
	}{
		{contextError(ctx, broken), "context canceled: cause: broken"},
		{contextError(ctx, nil), "context canceled: cause"},
		{&endedError{context.Canceled, context.Canceled, broken}, "context canceled: broken"},
	} {
		require.EqualError(t, c.err, c.want)
		require.ErrorIs(t, c.err, context.Canceled)
	}
	require.ErrorIs(t, contextError(ctx, broken), broken)
	require.ErrorIs(t, contextError(ctx, broken), cause)
	require.Len(t, contextError(ctx, nil).(*endedError).Unwrap(), 2)
}

// Up to a second, the two clocks may move apart and nothing ages by it.
func TestClocksThatDrift(t *testing.T) {
	var k clock
	start := time.Now()
	var mono, wall time.Duration
	k.read = func() (time.Time, int64) { return start.Add(mono), start.UnixNano() + int64(wall) }
	k.since = func(time.Time) time.Duration { return mono }
	k.epoch, k.start = k.read()
	pass := func(m, w time.Duration) time.Duration {
		before := k.now()
		mono += m
		wall += w
		return time.Duration(k.now() - before)
	}
	require.Equal(t, time.Minute, pass(time.Minute, time.Minute+time.Second/2))
	require.Equal(t, time.Minute, pass(time.Minute, time.Minute+time.Second/2), "a second in all")
	require.Equal(t, time.Minute, pass(time.Minute, time.Minute-2*time.Second))
	require.Equal(t, time.Minute, pass(time.Minute, time.Minute+2*time.Second), "it was not set back")
	require.Equal(t, time.Minute+time.Second+1, pass(time.Minute, time.Minute+1), "more than a second in all")
	require.Equal(t, time.Minute, pass(time.Minute, time.Minute+time.Second/2), "less than a second since")
	require.Equal(t, time.Minute, pass(time.Minute, -8*time.Hour), "set back by hours")
	require.Equal(t, 16*time.Hour, pass(time.Minute, 16*time.Hour), "and asleep for longer")
}
