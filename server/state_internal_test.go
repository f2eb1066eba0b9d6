package server

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
)

// The hook hears of a connection that was closed before it was served, and of nothing
// after its end.
func TestConnStateOfAConnectionThatIsClosedEarly(t *testing.T) {
	var told []State
	s := &session{srv: &Server{ConnState: func(_ *conn.Conn, state State) { told = append(told, state) }}, changes: new(changes)}
	s.setState(StateClosed)
	s.setState(StateNew)
	s.setState(StateIdle)
	require.Equal(t, []State{StateNew, StateClosed}, told)
	require.Equal(t, StateClosed, State(s.state.Load()))
}

// All that is noted while the hook is told is told behind that, by the same goroutine.
func TestConnStateTellsAllThatIsNotedMeanwhile(t *testing.T) {
	var s *session
	var told []State
	s = &session{changes: new(changes)}
	s.srv = &Server{ConnState: func(_ *conn.Conn, state State) {
		if state == StateNew {
			s.note(StateIdle)
			s.setState(StateActive) // tells nothing from within
			require.Empty(t, told)
		}
		told = append(told, state)
	}}
	s.setState(StateNew)
	require.Equal(t, []State{StateNew, StateIdle, StateActive}, told)
}

// A connection is idle since its last request, and not at all where nothing is waited
// for, or for ever.
func TestIdleSinceOfAConnection(t *testing.T) {
	for name, tc := range map[string]struct {
		state State
		due   int64
		idle  bool
	}{
		"idle":                {StateIdle, int64(time.Hour), true},
		"active":              {StateActive, int64(time.Hour), false},
		"about to be active":  {StateIdle, notDue, false},
		"without IdleTimeout": {StateIdle, never, false},
		"its time is over":    {StateIdle, overdue, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := sockets(t, &FrameHandler{})
			s.state.Store(uint32(tc.state))
			s.readDue.Store(tc.due)
			require.Equal(t, tc.idle, !s.stat().IdleSince.IsZero())
		})
	}
}

// A handler that is no FrameHandler has no requests in progress.
func TestInProgressOfARawHandler(t *testing.T) {
	s, _ := sockets(t, nil)
	s.frames.Store(nil)
	s.setState(StateActive)
	require.Zero(t, s.inProgress())
	s.frames.Store(new(FrameHandler))
	require.Equal(t, 1, s.inProgress())
	s.setState(StateIdle)
	require.Zero(t, s.inProgress())
}

// blockingLog is a Logger that counts its lines, and blocks until it is let.
type blockingLog struct {
	slog.Handler
	lines atomic.Int32
	let   chan struct{}
}

func (l *blockingLog) Handle(context.Context, slog.Record) error {
	l.lines.Add(1)
	<-l.let
	return nil
}

// However slow the Logger is, one goroutine at a time is about a summary.
func TestSummaryHasOneGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &blockingLog{Handler: slog.NewTextHandler(io.Discard, nil), let: make(chan struct{})}
		log := slog.New(l)
		var s summary
		now := time.Now()
		begin := func(message string) {
			require.True(t, s.first(now, slog.LevelInfo, message))
			require.False(t, s.first(now, slog.LevelInfo, message))
			now = now.Add(2 * time.Second)
			s.flushLater(log, now)
			synctest.Wait()
		}
		begin("a")
		require.EqualValues(t, 1, l.lines.Load())
		begin("b")
		require.EqualValues(t, 1, l.lines.Load())
		close(l.let)
		synctest.Wait()
		begin("c")
		s.wg.Wait()
		require.EqualValues(t, 3, l.lines.Load(), "with that of b")
	})
}

// A line comes behind the number of those before it.
func TestSummaryComesBeforeTheNextLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines []string
		log := slog.New(slog.NewTextHandler(writerFunc(func(b []byte) { lines = append(lines, string(b)) }), nil))
		var s summary
		s.log(log, slog.LevelInfo, "a")
		s.log(log, slog.LevelInfo, "a")
		time.Sleep(time.Second)
		s.log(log, slog.LevelInfo, "a")
		require.Len(t, lines, 3)
		require.Contains(t, lines[1], "count=1")
	})
}

type writerFunc func(b []byte)

func (f writerFunc) Write(b []byte) (int, error) {
	f(b)
	return len(b), nil
}
