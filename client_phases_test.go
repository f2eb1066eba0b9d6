package gtcp_test

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/retry"
)

// attemptLog is a hook that keeps the ends of attempts.
type attemptLog struct {
	mu   sync.Mutex // guards ends
	ends []gtcp.AttemptEnd
}

func (l *attemptLog) StartAttempt(ctx context.Context, _ gtcp.AttemptStart) context.Context {
	return ctx
}

func (l *attemptLog) EndAttempt(_ context.Context, e gtcp.AttemptEnd) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ends = append(l.ends, e)
}

// last returns the end of the last attempt, its times to a hundredth of a
// second: to look at a connection in memory takes a millisecond.
func (l *attemptLog) last() gtcp.AttemptEnd {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.ends[len(l.ends)-1]
	for _, d := range []*time.Duration{&e.Acquired, &e.Dialed, &e.Written, &e.FirstByte, &e.Duration} {
		*d = d.Round(10 * time.Millisecond)
	}
	return e
}

// replySlowly replies to each frame with itself: the first part after a
// pause, the rest after another. It returns when the peer or the test closes.
func replySlowly(nc net.Conn, pause time.Duration) {
	r := framing.NewReader(nc, framing.Format{})
	for {
		frame, err := r.Next()
		if err != nil {
			return
		}
		reply, err := framing.Format{}.Append(nil, frame)
		if err != nil {
			return
		}
		for _, part := range [][]byte{reply[:3], reply[3:]} {
			time.Sleep(pause)
			if _, err := nc.Write(part); err != nil {
				return
			}
		}
	}
}

// pausingServer is a server in memory that is slow to dial and to reply.
type pausingServer struct {
	pause   time.Duration
	peers   []net.Conn
	serving sync.WaitGroup
}

func (s *pausingServer) dial(context.Context) (net.Conn, error) {
	time.Sleep(s.pause)
	here, there := memnet.Pipe()
	s.peers = append(s.peers, there)
	s.serving.Go(func() { replySlowly(there, s.pause) })
	return here, nil
}

// TestClientPhases: an attempt tells how long each part of it took, the same
// for both kinds of client.
func TestClientPhases(t *testing.T) {
	const s = time.Second / 10 // half a second, and a pipeline dials twice
	eachMode(t, func(t *testing.T, shared bool) {
		synctest.Test(t, func(t *testing.T) {
			server, log := &pausingServer{pause: s}, &attemptLog{}
			var gets, calls atomic.Int32
			c := gtcp.NewClient("server:1", gtcp.ClientConfig{
				Shared: shared, Retry: retry.Policy{MaxAttempts: 1}, Hooks: []any{log},
				Target:   conn.Target{Dial: server.dial},
				Pool:     pool.Config{Hooks: []any{getCounter{&gets}}},
				Pipeline: pipeline.Config{StallTimeout: -1, Hooks: []any{callsCounter{&calls}}},
			})
			call := func(id uint64, took time.Duration, p conn.Phases) {
				t.Helper()
				_, err := c.Call(t.Context(), []byte("request"))
				require.NoError(t, err)
				e := log.last()
				e.Start = time.Time{}
				require.Equal(t, gtcp.AttemptEnd{
					Addr: "server:1", Number: 1, Phases: p, Duration: took, ConnID: id, Peer: "pipe-b", RequestSize: 7, ReplySize: 7,
				}, e)
			}
			dialing := conn.Phases{Acquired: s, Dialed: s, Written: s, FirstByte: 2 * s}
			call(1, 3*s, dialing)
			call(1, 2*s, conn.Phases{FirstByte: s})

			// The idle connection is closed: an exclusive client finds out at the
			// call, and dials in its place.
			time.Sleep(time.Second) // until a shared client watches for it
			require.NoError(t, server.peers[0].Close())
			synctest.Wait()
			call(2, 3*s, dialing)

			// A call that fails tells how far it came.
			ctx, cancel := context.WithTimeout(t.Context(), s*3/2)
			defer cancel()
			_, err := c.Call(ctx, []byte("request"))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			e := log.last()
			require.ErrorIs(t, e.Err, context.DeadlineExceeded)
			require.Equal(t, []any{s * 3 / 2, uint64(2), 0}, []any{e.Duration, e.ConnID, e.ReplySize})
			if !shared { // a shared connection may not know it
				require.Equal(t, s, e.FirstByte)
			}
			require.Zero(t, e.Written)

			// And one that gets no connection.
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			_, err = c.Call(ended, []byte("request"))
			require.ErrorIs(t, err, context.Canceled)
			require.NoError(t, c.Close())
			server.serving.Wait()

			// The user's own hooks are told as well.
			require.EqualValues(t, 4, gets.Load()+calls.Load())
		})
	})
}

type getCounter struct{ n *atomic.Int32 }

func (c getCounter) AfterGet(context.Context, pool.GetEvent) { c.n.Add(1) }

type callsCounter struct{ n *atomic.Int32 }

func (c callsCounter) AfterCall(context.Context, pipeline.CallEvent) { c.n.Add(1) }

// An interceptor may make an attempt twice at a time: the hooks see one of them.
func TestClientPhasesOfAnAttemptMadeTwice(t *testing.T) {
	eachMode(t, func(t *testing.T, shared bool) {
		log := &attemptLog{}
		c := client(t, frameServer(t, echoed), gtcp.ClientConfig{
			Shared: shared, Hooks: []any{log},
			InterceptAttempt: func(next gtcp.Invoker) gtcp.Invoker {
				return func(ctx context.Context, dst, request []byte) ([]byte, error) {
					var other sync.WaitGroup
					other.Go(func() { _, _ = next(ctx, nil, request) })
					reply, err := next(ctx, dst, request)
					other.Wait()
					return reply, err
				}
			},
		})
		for range 20 {
			_, err := c.Call(t.Context(), []byte("x"))
			require.NoError(t, err)
			e := log.ends[len(log.ends)-1]
			require.NotZero(t, e.ConnID)
			require.NotZero(t, e.FirstByte)
			require.LessOrEqual(t, e.FirstByte, e.Duration, "some clocks are coarse")
		}
	})
}
