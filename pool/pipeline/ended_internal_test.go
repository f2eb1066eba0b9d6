package pipeline

import (
	"context"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
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
