package server

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
)

func servingOf(s *session) *frameConn {
	return &frameConn{h: s.frames.Load(), conn: s.conn, sess: s, ctx: context.Background()}
}

// Writes go through a step only where its own goroutine writes: the step's socket may
// be another one's after it.
func TestStepIsUsedByItsOwnGoroutine(t *testing.T) {
	step := new(conn.Step)
	f := &frameConn{x: new(exchange)}
	f.setStep(step)
	require.Same(t, step, f.x.direct)
	require.True(t, f.x.looping)
	f.setStep(nil)
	require.Nil(t, f.x.direct)
	require.False(t, f.x.looping)
	f.many = new(concurrent)
	f.setStep(step)
	require.Nil(t, f.x.direct)
	require.True(t, f.x.looping)
}

// A request ends what was said of parking before it, unless the connection never parks.
func TestRequestBeginsParkingAnew(t *testing.T) {
	for before, after := range map[uint32]uint32{
		unparked: unparked, askedToPark: unparked, cannotPark: unparked, neverParks: neverParks,
	} {
		s, _ := sockets(t, &FrameHandler{})
		s.parking.Store(before)
		servingOf(s).beginRequest()
		require.Equal(t, after, s.parking.Load())
	}
}

// Where the system does not tell what has arrived, the point of a drain is far away, and
// an idle connection has come to its end if nothing is there.
func TestLastRequestsOfAnIdleConnection(t *testing.T) {
	s, far := sockets(t, &FrameHandler{})
	s.point = unknownArrived
	f := servingOf(s)
	require.Equal(t, over, f.lastRequests())
	require.True(t, f.drained)
	require.True(t, f.linger)

	_, err := far.Write([]byte{0})
	require.NoError(t, err)
	require.NoError(t, waitForByte(s))
	f = servingOf(s)
	require.Equal(t, idle, f.lastRequests())
	require.False(t, f.drained)
}

func waitForByte(s *session) error {
	_, err := s.conn.Peek(1)
	return err
}

// A fifo keeps the order, and nothing that has left it.
func TestFifo(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		var q fifo
		var want []*request
		for range 1000 {
			if rnd.IntN(100) < 52 {
				r := new(request)
				q.push(r)
				want = append(want, r)
			} else if r := q.pop(); len(want) > 0 {
				require.Same(t, want[0], r)
				want = want[1:]
			} else {
				require.Nil(t, r)
			}
			require.Equal(t, len(want) == 0, q.len() == 0)
			kept := 0
			for _, r := range q.all[:cap(q.all)] {
				if r != nil {
					kept++
				}
			}
			require.Equal(t, len(want), kept)
		}
	}
}

// A fifo that is never empty takes no more memory for that.
func TestFifoThatIsNeverEmpty(t *testing.T) {
	var q fifo
	q.push(new(request))
	for range 10000 {
		q.push(new(request))
		q.pop()
	}
	require.LessOrEqual(t, cap(q.all), 16)
}

// Figures of requests are there while a connection is never idle.
func TestExchangeCounts(t *testing.T) {
	s, _ := sockets(t, &FrameHandler{Format: framing.Format{}})
	f := servingOf(s)
	x := f.begin()
	for i := range uint64(3) {
		x.n++
		require.True(t, f.flush())
		require.Equal(t, i+1, s.requests.Load())
	}
}

// A request that is dropped ends its connection: its reply would be missing among the
// others.
func TestDroppedRequestEndsItsConnection(t *testing.T) {
	s, _ := sockets(t, &FrameHandler{Concurrency: 2})
	f := servingOf(s)
	f.begin()
	f.many.settle(&request{err: errGone})
	require.True(t, f.many.over())
}

// What is left in the queues of a connection that has failed is reported once.
func TestClosedConnectionReportsWhatIsLeft(t *testing.T) {
	for _, unordered := range []bool{false, true} {
		s, _ := sockets(t, &FrameHandler{Concurrency: 2, Unordered: unordered})
		f := servingOf(s)
		f.begin()
		begun, waits := &request{o: new(observed)}, &request{o: new(observed)}
		f.many.replies.push(begun)
		f.many.todo.push(waits)
		if !unordered { // all are among the replies
			f.many.replies.push(waits)
		}
		f.many.close(f)
		require.Equal(t, []*observed{begun.o, waits.o}, f.x.observed)
		require.True(t, begun.o.silent)
		require.True(t, waits.o.silent)
	}
}

// events is a hook that keeps what it hears.
type events []RequestEvent

func (e *events) AfterRequest(_ context.Context, event RequestEvent) { *e = append(*e, event) }

// The event of a request tells what became of it.
func TestReport(t *testing.T) {
	s, _ := sockets(t, &FrameHandler{})
	heard := new(events)
	s.srv.Hooks = []any{heard}
	s.srv.sortHooks()
	now := time.Now()
	s.report([]*observed{{ctx: t.Context(), began: now}, {ctx: t.Context()}, {ctx: t.Context(), began: now, handled: now}}, false)
	s.report([]*observed{{ctx: t.Context(), began: now, handled: now}, {ctx: t.Context(), began: now, handled: now, silent: true}}, true)
	require.Len(t, *heard, 5)
	for i, want := range []RequestEvent{
		{Panicked: true},
		{Refused: true, Err: errGone},
		{},
		{Replied: true},
		{},
	} {
		got := (*heard)[i]
		require.Equal(t, want, RequestEvent{Panicked: got.Panicked, Refused: got.Refused, Replied: got.Replied, Err: got.Err}, "event %d", i)
	}
}

// A step that a panic has left is not used to write what is left.
func TestCloseDoesNotWriteThroughAStep(t *testing.T) {
	s, far := sockets(t, &FrameHandler{})
	s.srv.track(s)
	f := servingOf(s)
	f.begin()
	require.NoError(t, f.x.w.WriteFrame([]byte("last")))
	f.setStep(new(conn.Step)) // of no connection
	f.now = over
	f.close()
	got, err := framing.NewReader(far, framing.Format{}).Next()
	require.NoError(t, err)
	require.Equal(t, "last", string(got))
}

// A request whose peer has gone is not handled, and ends its connection.
func TestRequestOfAPeerThatHasGone(t *testing.T) {
	refuse := func(context.Context, []byte) ([]byte, error) { panic("it is handled") }
	t.Run("reset", func(t *testing.T) {
		s, _ := sockets(t, &FrameHandler{Handle: refuse})
		f := servingOf(s)
		f.begin()
		s.peerGone(false, true)
		_, err := f.handle(nil)
		require.Equal(t, errGone, err)
	})
	t.Run("replies before it cannot be written", func(t *testing.T) {
		l := &Limiter{Max: 1}
		require.NoError(t, l.acquire(t.Context(), false))
		s, _ := sockets(t, &FrameHandler{Handle: refuse, Limiter: l})
		f := servingOf(s)
		f.begin()
		require.NoError(t, f.x.w.WriteFrame([]byte("before")))
		require.NoError(t, s.conn.Close())
		_, err := f.handle(nil)
		require.Equal(t, errGone, err)
	})
}

// The memory that Append builds replies in is kept for the next one, if it is not large.
func TestMemoryForAppend(t *testing.T) {
	for name, tc := range map[string]struct{ had, reply, want int }{
		"the first":           {0, 10, 10},
		"it fits":             {10, 10, 10},
		"larger":              {10, 11, 11},
		"as large as is kept": {10, keepReply, keepReply},
		"too large":           {10, keepReply + 1, 10},
	} {
		t.Run(name, func(t *testing.T) {
			h := &FrameHandler{Append: func(_ context.Context, dst, _ []byte) ([]byte, error) {
				if n := tc.reply; n > cap(dst) {
					return make([]byte, n), nil
				}
				return dst[:tc.reply], nil
			}}
			buf := make([]byte, 0, tc.had)
			reply, err := h.respond(t.Context(), nil, &buf, nil)
			require.NoError(t, err)
			require.Len(t, reply, tc.reply)
			require.Equal(t, tc.want, cap(buf))
			require.Empty(t, buf)
			if tc.reply <= tc.had {
				require.Same(t, &reply[0], &buf[:1][0], "it is the same memory")
			} else {
				require.False(t, tc.want > tc.had && &reply[0] == &buf[:1][0], "the reply is the handler's")
			}
		})
	}
	h := &FrameHandler{Handle: func(context.Context, []byte) ([]byte, error) { return make([]byte, 10), nil }}
	var buf []byte
	_, err := h.respond(t.Context(), nil, &buf, nil)
	require.NoError(t, err)
	require.Nil(t, buf, "Handle does not use it")
}

// A connection that is closed while it lingers ends its goroutine.
func TestNoByteComesOnAClosedConnection(t *testing.T) {
	s, _ := sockets(t, &FrameHandler{})
	require.NoError(t, s.conn.Close())
	require.False(t, s.byteBefore(time.Now().Add(time.Hour)))
}

// The context of a connection is over however it was used before.
func TestLifetimeThatIsFirstAskedLate(t *testing.T) {
	for name, use := range map[string]func(l *lifetime, f func()){
		"not at all": func(_ *lifetime, f func()) { f() },
		"AfterFunc":  func(l *lifetime, f func()) { l.AfterFunc(f) },
		"Done":       func(l *lifetime, f func()) { _ = l.Done(); f() },
	} {
		t.Run(name, func(t *testing.T) {
			var l lifetime
			told := make(chan struct{})
			use(&l, func() { close(told) })
			require.NoError(t, l.Err())
			l.end()
			l.end()
			<-told
			<-l.Done()
			require.ErrorIs(t, l.Err(), context.Canceled)
			again := make(chan struct{})
			require.False(t, l.AfterFunc(func() { close(again) })())
			<-again
		})
	}
}

// A request that its peer has cut off has not taken too long, although its time passed
// at the same moment.
func TestRequestThatIsCutOffAsItsTimePasses(t *testing.T) {
	for _, tc := range []struct {
		err  error
		due  int64
		want uint64
	}{
		{io.ErrUnexpectedEOF, overdue, 0}, {io.EOF, overdue, 0}, {os.ErrDeadlineExceeded, overdue, 1}, {os.ErrDeadlineExceeded, never, 0},
	} {
		s, _ := sockets(t, &FrameHandler{})
		s.srv.Logger = slog.New(slog.DiscardHandler)
		s.srv.track(s)
		f := servingOf(s)
		f.begin()
		s.readDue.Store(tc.due)
		require.False(t, f.badRequest(tc.err))
		require.Equal(t, tc.want, s.srv.stats.readTimeouts.Load(), "%v", tc.err)
		require.NoError(t, s.conn.Close())
		s.connClosed()
		s.handlerDone(new(bool))
		require.NoError(t, s.srv.Shutdown(t.Context()))
	}
}
