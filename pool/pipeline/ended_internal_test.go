package pipeline

import (
	"context"
	"io"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
)

// A connection that has ended is not looked at any more.
func TestNoLookAtAnEndedConnection(t *testing.T) {
	s, _ := still(t, Config{})
	s.p.clock = func() stamp {
		t.Error("looked at")
		return now()
	}
	s.err = ErrClosed
	s.tend()
}

// Nothing is in flight on a connection that has ended, abandoned calls and heartbeats
// included: Conns may still list it for a moment.
func TestNothingIsInFlightAfterTheEnd(t *testing.T) {
	s, _ := still(t, Config{})
	s.left, s.beats, s.err = 3, 2, ErrClosed
	s.settle()
	c := s.stat()
	require.Zero(t, c.InFlight)
	require.Zero(t, c.Abandoned)
}

// A call that was not sent moves to another connection where the peer has left this one,
// or where it ended for its age.
func TestCallThatWasNotSentMoves(t *testing.T) {
	for cause, moves := range map[error]int{
		io.EOF: 1, syscall.EPIPE: 1, syscall.ECONNRESET: 1,
		errExpired: 1, errIdle: 1, errSurplus: 1, errEvicted: 1,
		ErrClosed: 0, syscall.ETIMEDOUT: 0, ErrNoHeartbeat: 0,
	} {
		s, _ := still(t, Config{})
		c, _, _, err := s.submit(nil, []byte("request"), dueNever, false)
		require.NoError(t, err)
		s.err = cause
		s.settle()
		require.ErrorIs(t, c.err, cause)
		require.Equal(t, moves, c.moves, cause)
	}
}

// No dial begins once the pipeline is closed: nobody would wait for its goroutine.
func TestNoDialAfterClose(t *testing.T) {
	s, _ := still(t, Config{})
	require.NoError(t, s.p.Close())
	d, err := s.p.connect(context.Background())
	require.ErrorIs(t, err, ErrClosed)
	require.Nil(t, d)
	require.Nil(t, s.p.succeed(s))
	require.Nil(t, s.p.dialing)
}

// A dial that began before Close and runs after it ends at once.
func TestDialThatRunsAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := New(conn.Target{Dial: func(ctx context.Context) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}, framing.Format{}, Config{})
		require.NoError(t, err)
		require.NoError(t, p.Close())
		begun := time.Now()
		p.mu.Lock()
		_, err = p.beginDialLocked(context.Background())
		p.mu.Unlock()
		require.NoError(t, err)
		p.done.Wait()
		require.Zero(t, time.Since(begun))
	})
}

// Every reply counts as one, also a late one and that to a heartbeat.
func TestReplied(t *testing.T) {
	for c, want := range map[counters]bool{
		{}:                                false,
		{calls: 3, read: 3, written: 3}:   false,
		{replies: 1}:                      true,
		{late: 1}:                         true,
		{beats: 1}:                        true,
		{replies: 1, late: 1}:             true,
		{replies: 1, late: 1, beats: 2}:   true,
		{replies: 2, beats: 2}:            true,
		{late: 2, beats: 2, cancelled: 9}: true,
	} {
		require.Equal(t, want, c.replied(), c)
	}
}

// Stat says that dialing is suspended, and until when.
func TestStatOfSuspendedDialing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := New(conn.Target{Dial: func(context.Context) (net.Conn, error) { return nil, io.ErrUnexpectedEOF }},
			framing.Format{}, Config{DialBackoff: conn.DialBackoff{After: 1}})
		require.NoError(t, err)
		defer p.Close()
		require.False(t, p.Stat().Suspended)
		_, err = p.Call(context.Background(), nil)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		s := p.Stat()
		require.True(t, s.Suspended)
		require.True(t, s.SuspendedUntil.After(time.Now()))
	})
}

// The writer ends with its connection, also if it has the write turn and is told of
// both at once.
func TestWriterOfAnEndedConnection(t *testing.T) {
	s, _ := still(t, Config{})
	s.writes = make(chan struct{}, 1)
	s.writer, s.writing, s.handedOn = true, true, true
	s.pending, s.err = []byte("request"), ErrClosed
	wake(s.writes)
	wake(s.writes) // as run does, in vain
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.writeLoop()
	}()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Fatal("it waits for more")
	}
	require.False(t, s.writer)
	require.Zero(t, s.sent)
}
