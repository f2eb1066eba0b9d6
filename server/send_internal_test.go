package server

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
)

// onWrite is a net.Conn that tells of each write, and returns what it is told to.
type onWrite struct {
	net.Conn
	write  func() error
	closed atomic.Bool
}

func (c *onWrite) Write(b []byte) (int, error) { return len(b), c.write() }

func (c *onWrite) SetReadDeadline(time.Time) error  { return nil }
func (c *onWrite) SetWriteDeadline(time.Time) error { return nil }

func (c *onWrite) Close() error {
	c.closed.Store(true)
	return nil
}

// A write whose time passed at the moment it ended has failed: the deadline that was to
// interrupt it is still there, and would end the next one.
func TestWriteThatEndsAsItsTimePasses(t *testing.T) {
	for name, tc := range map[string]struct {
		due   func(s *session) *atomic.Int64
		write func(s *session) error
	}{
		"Send": {
			func(s *session) *atomic.Int64 { return &s.makeExtra().due },
			func(s *session) error { return s.send(context.Background(), []byte("x")) },
		},
		"replies": {
			func(s *session) *atomic.Int64 { return &s.writeDue },
			func(s *session) error {
				_, err := output{&exchange{sess: s}}.Write([]byte("x"))
				return err
			},
		},
		"a large reply": {
			func(s *session) *atomic.Int64 { return &s.writeDue },
			func(s *session) error {
				_, err := output{&exchange{sess: s}}.WriteBuffers([][]byte{[]byte("x")})
				return err
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			nc := &onWrite{}
			s := &session{srv: new(Server), conn: conn.New(nc)}
			s.frames.Store(&FrameHandler{})
			due := tc.due(s)
			nc.write = func() error {
				if due.Load() == notDue {
					return errors.New("nobody bounds its time")
				}
				return nil
			}
			require.NoError(t, tc.write(s))
			require.EqualValues(t, notDue, due.Load())
			nc.write = func() error {
				due.Store(overdue) // the watch
				return nil
			}
			err := tc.write(s)
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.True(t, timedOut(err))
			safe, ok := err.(interface{ SafeToRetry() bool })
			require.True(t, ok)
			require.False(t, safe.SafeToRetry())
			temporary, ok := err.(interface{ Temporary() bool })
			require.True(t, ok)
			require.True(t, temporary.Temporary(), "as the error of a deadline")
			require.EqualValues(t, notDue, due.Load())
		})
	}
}

// A Send that failed within its frame ends the connection.
func TestSendThatFailsEndsTheConnection(t *testing.T) {
	nc := &onWrite{write: func() error { return errors.New("failed") }}
	s := &session{srv: new(Server), conn: conn.New(nc)}
	s.frames.Store(&FrameHandler{})
	require.Error(t, s.send(t.Context(), []byte("x")))
	require.True(t, nc.closed.Load())
	require.Error(t, s.conn.Err())
	require.Zero(t, s.srv.stats.writeTimeouts.Load(), "it took no time")
}

// A Send that waits for its turn ends with its connection, or with its context.
func TestSendWhoseTurnDoesNotCome(t *testing.T) {
	for name, want := range map[string]error{"context": context.Canceled, "connection": net.ErrClosed} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &session{srv: new(Server), conn: conn.New(&onWrite{})}
				s.frames.Store(&FrameHandler{})
				<-s.makeExtra().turn // another one's
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				ended := make(chan error, 1)
				go func() { ended <- s.send(ctx, []byte("x")) }()
				synctest.Wait()
				if want == net.ErrClosed {
					s.end()
				} else {
					cancel()
				}
				require.ErrorIs(t, <-ended, want)
			})
		})
	}
}

// However many goroutines send first, they wait for the same turn.
func TestFirstSendsShareTheirTurn(t *testing.T) {
	for range 2000 {
		var s session
		var wg sync.WaitGroup
		var ready, made [2]atomic.Pointer[extra]
		for i := range made {
			wg.Go(func() {
				ready[i].Store(new(extra))
				for n := 1; ready[1-i].Load() == nil; n++ { // both begin now
					if n%1000 == 0 {
						runtime.Gosched()
					}
				}
				made[i].Store(s.makeExtra())
			})
		}
		wg.Wait()
		require.Same(t, made[0].Load(), made[1].Load())
		require.Same(t, made[0].Load(), s.extra.Load())
	}
}

// Behind the last frame every Send is refused at once.
func TestSendBehindTheLastFrame(t *testing.T) {
	s, _ := sockets(t, &FrameHandler{Format: framing.Format{}})
	require.NoError(t, s.send(t.Context(), []byte("x")))
	s.endSends()
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		require.Equal(t, net.ErrClosed, s.send(ctx, []byte("x")))
		cancel()
	}
}

// safe is an error that says whether it is safe to retry.
type safe bool

func (safe) Error() string       { return "failed" }
func (s safe) SafeToRetry() bool { return bool(s) }

// A SendError is safe to retry unless its cause says that it is not.
func TestSendErrorIsSafeToRetry(t *testing.T) {
	for _, tc := range []struct {
		cause error
		want  bool
	}{
		{safe(true), true}, {safe(false), false}, {net.ErrClosed, true},
		{late(nil), false}, {late(net.ErrClosed), false}, {late(safe(true)), true}, {late(safe(false)), false},
	} {
		require.Equal(t, tc.want, (&SendError{Err: tc.cause}).SafeToRetry(), "%#v", tc.cause)
	}
}
