package server_test

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/framing/envelope"
	"github.com/seed-99d6a01a/gtcp/internal/memnet"
	"github.com/seed-99d6a01a/gtcp/server"
)

// overloaded is an ErrorReply that says "overloaded" to what a Limiter refuses.
func overloaded(_ context.Context, err error) []byte {
	if errors.Is(err, server.ErrOverloaded) {
		return []byte("overloaded")
	}
	return nil
}

// Requests above the bound wait in turn, whatever connection they came on.
func TestLimiterBoundsAllConnections(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		synctest.Test(t, func(t *testing.T) {
			h, entered, let := gated()
			h.Concurrency, h.Limiter = n, &server.Limiter{Max: 2}
			l := newMemServer(t, &server.Server{Handler: h})
			var clients []*client
			for _, name := range []string{"a", "b", "c", "d"} {
				nc, err := l.Dial(t.Context())
				require.NoError(t, err)
				c := newClient(t, nc)
				clients = append(clients, c)
				c.send(name)
				synctest.Wait()
			}
			require.Len(t, entered, 2)
			require.Equal(t, server.LimiterStat{Bound: 2, InProgress: 2, Waiting: 2}, h.Limiter.Stat())
			for _, name := range []string{"a", "b", "c", "d"} {
				require.Equal(t, name, <-entered)
				let <- struct{}{}
				synctest.Wait()
			}
			for i, name := range []string{"a", "b", "c", "d"} {
				clients[i].expect(name)
			}
			require.Equal(t, server.LimiterStat{Bound: 2}, h.Limiter.Stat())
		})
	})
}

// Requests that give up leave the queue from wherever they are; the others keep their
// order.
func TestLimiterQueueWithGivenUpRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, entered, let := gated()
		h.Limiter = &server.Limiter{Max: 1, MaxWait: time.Second}
		h.ErrorReply = overloaded
		l := newMemServer(t, &server.Server{Handler: h})
		clients := map[string]*client{}
		for _, name := range []string{"busy", "a", "b", "c", "d", "e"} {
			nc, err := l.Dial(t.Context())
			require.NoError(t, err)
			clients[name] = newClient(t, nc)
			clients[name].send(name)
			synctest.Wait()
			if name == "b" {
				time.Sleep(500 * time.Millisecond) // so that a and b give up before the others
			}
		}
		require.Equal(t, "busy", <-entered)
		require.Equal(t, 5, h.Limiter.Stat().Waiting)
		time.Sleep(600 * time.Millisecond)
		clients["a"].expect("overloaded")
		clients["b"].expect("overloaded")
		require.Equal(t, server.LimiterStat{Bound: 1, InProgress: 1, Waiting: 3, Refused: 2}, h.Limiter.Stat())
		for _, next := range []string{"c", "d", "e"} {
			let <- struct{}{}
			require.Equal(t, next, <-entered)
		}
		let <- struct{}{}
		for _, name := range []string{"busy", "c", "d", "e"} {
			clients[name].expect(name)
		}
		synctest.Wait()
		require.Equal(t, server.LimiterStat{Bound: 1, Refused: 2}, h.Limiter.Stat())
	})
}

// A request that waits longer than MaxWait is refused with the user's reply; without
// one it waits on.
func TestLimiterRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		wait  time.Duration
		reply func(context.Context, error) []byte
		after time.Duration // -1: not refused
	}{
		"default":       {0, overloaded, 100 * time.Millisecond},
		"later":         {time.Second, overloaded, time.Second},
		"at once":       {-1, overloaded, 0},
		"back-pressure": {-1, nil, -1},
	} {
		t.Run(name, func(t *testing.T) {
			eachMode(t, func(t *testing.T, n int) {
				synctest.Test(t, func(t *testing.T) {
					h, entered, let := gated()
					h.Concurrency, h.ErrorReply = n, tc.reply
					h.Limiter = &server.Limiter{Max: 1, MaxWait: tc.wait}
					s := &server.Server{Handler: h}
					l := newMemServer(t, s)
					nc, err := l.Dial(t.Context())
					require.NoError(t, err)
					busy := newClient(t, nc)
					busy.send("busy")
					<-entered
					nc, err = l.Dial(t.Context())
					require.NoError(t, err)
					c := newClient(t, nc)
					began := time.Now()
					c.send("x")
					if tc.after < 0 {
						time.Sleep(10 * time.Second)
						close(let)
						c.expect("x")
						return
					}
					c.expect("overloaded")
					require.Equal(t, tc.after, time.Since(began))
					require.EqualValues(t, 1, s.Stat().Overloaded)
					require.EqualValues(t, 1, h.Limiter.Stat().Refused)
					close(let)
					busy.expect("busy")
				})
			})
		})
	}
}

// A peer that has gone while its request waited gets no work done.
func TestLimiterDropsRequestsOfAPeerThatHasGone(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere than on Linux only a read tells that the peer has gone: FrameHandler.HalfClose")
	}
	h, entered, let := gated()
	h.Limiter, h.ErrorReply = &server.Limiter{Max: 1, MaxWait: time.Hour}, overloaded
	s := &server.Server{Handler: h}
	addr := start(t, s)
	busy, gone := dial(t, addr), dial(t, addr)
	busy.send("busy")
	<-entered
	gone.send("gone")
	require.Eventually(t, func() bool { return h.Limiter.Stat().Waiting == 1 }, patience, time.Millisecond)
	require.NoError(t, gone.Close())
	require.Eventually(t, func() bool { return h.Limiter.Stat().Waiting == 0 }, patience, time.Millisecond)
	close(let)
	busy.expect("busy")
	require.Empty(t, entered)
}

func TestOverloadedError(t *testing.T) {
	require.Equal(t, conn.KindOverloaded, conn.KindOf(server.ErrOverloaded))
	var safe interface{ SafeToRetry() bool }
	require.ErrorAs(t, server.ErrOverloaded, &safe)
	require.True(t, safe.SafeToRetry())
	h := echo()
	h.Limiter = &server.Limiter{}
	require.ErrorContains(t, h.Validate(), "Max")
	h.Limiter = &server.Limiter{Max: 1, Min: 2}
	require.ErrorContains(t, h.Validate(), "Min")
}

// TestOverloadKeepsGoodput has 2,000 callers with deadlines of 200 ms ask a server
// that can do 400 requests a second of 50 ms each. Goodput stays within 10 % of that.
func TestOverloadKeepsGoodput(t *testing.T) {
	for name, limiter := range map[string]*server.Limiter{
		"fixed":    {Max: 20},
		"adaptive": {Min: 4, Max: 1000},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const callers, places, work, length = 2000, 20, 50 * time.Millisecond, 10 * time.Second
				resource := make(chan struct{}, places) // what the handlers share
				h := server.Frames(framing.Format{}, func(ctx context.Context, req []byte) ([]byte, error) {
					select {
					case resource <- struct{}{}:
					case <-ctx.Done():
						return nil, ctx.Err()
					}
					time.Sleep(work)
					<-resource
					return req, nil
				})
				h.Limiter, h.ErrorReply = limiter, overloaded
				l := newMemServer(t, &server.Server{Handler: h})
				o := &overload{l: l, end: time.Now().Add(length)}
				var wg sync.WaitGroup
				for i := range callers {
					wg.Go(func() {
						time.Sleep(time.Duration(i) * 100 * time.Microsecond)
						o.caller()
					})
				}
				wg.Wait()
				want := float64(places) * float64(length/work)
				t.Logf("good %d of %.0f, refused %d, late %d, bound %d", o.good.Load(), want, o.refused.Load(), o.late.Load(), limiter.Stat().Bound)
				require.GreaterOrEqual(t, float64(o.good.Load()), 0.9*want)
				require.LessOrEqual(t, float64(o.late.Load()), 0.05*want)
			})
		})
	}
}

type overload struct {
	l                   *memnet.Listener
	end                 time.Time
	good, refused, late atomic.Int64
}

// caller calls until the end, with a new connection after a call that was late.
func (o *overload) caller() {
	var nc net.Conn
	defer func() { _ = nc.Close() }()
	for time.Now().Before(o.end) {
		if nc == nil {
			var err error
			if nc, err = o.l.Dial(context.Background()); err != nil {
				return
			}
		}
		_ = nc.SetDeadline(time.Now().Add(200 * time.Millisecond))
		_, err := nc.Write([]byte("\x00\x0aoverloaded"[:2] + "0123456789"))
		got := make([]byte, 12)
		if err == nil {
			_, err = io.ReadFull(nc, got)
		}
		switch {
		case err != nil:
			o.late.Add(1)
			_ = nc.Close()
			if nc, err = o.l.Dial(context.Background()); err != nil {
				return
			}
		case string(got[2:]) == "overloaded":
			o.refused.Add(1)
			time.Sleep(100 * time.Millisecond)
		default:
			o.good.Add(1)
		}
	}
}

// The bound of an adaptive Limiter grows where handlers do not slow each other down.
func TestAdaptiveLimiterGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) {
			time.Sleep(10 * time.Millisecond)
			return req, nil
		})
		h.Concurrency = 100
		h.Limiter = &server.Limiter{Min: 2, Max: 50}
		l := newMemServer(t, &server.Server{Handler: h})
		nc, err := l.Dial(t.Context())
		require.NoError(t, err)
		c := newClient(t, nc)
		for range 40 {
			for range 100 {
				c.send("x")
			}
			for range 100 {
				c.expect("x")
			}
		}
		require.Equal(t, 50, h.Limiter.Stat().Bound)
	})
}

func TestIntercept(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		type key struct{}
		h := server.Frames(framing.Format{}, func(ctx context.Context, req []byte) ([]byte, error) {
			if string(req) == "fail" {
				return nil, errors.New("failed")
			}
			return append(append([]byte(nil), ctx.Value(key{}).(string)...), req...), nil
		})
		h.Concurrency = n
		made := 0
		h.Intercept = func(next server.Invoker) server.Invoker {
			made++
			return func(ctx context.Context, dst, req []byte) ([]byte, error) {
				if string(req) == "refuse" {
					return []byte("refused"), nil
				}
				reply, err := next(context.WithValue(ctx, key{}, "with a value: "), dst, req)
				if err != nil {
					return []byte("mended"), nil
				}
				return reply, nil
			}
		}
		addr := start(t, &server.Server{Handler: h})
		for range 2 {
			c := dial(t, addr)
			c.send("a", "fail", "refuse")
			c.expect("with a value: a", "mended", "refused")
		}
		require.Equal(t, 1, made)
	})
}

// Replies do not wait until another request has its turn.
func TestRepliesBeforeARequestThatWaitsForTheLimiter(t *testing.T) {
	eachMode(t, func(t *testing.T, n int) {
		synctest.Test(t, func(t *testing.T) {
			gates := map[string]chan struct{}{"a": make(chan struct{}), "other": make(chan struct{}), "b": nil}
			h := server.Frames(framing.Format{HeaderSize: 1}, func(_ context.Context, req []byte) ([]byte, error) {
				if gate := gates[string(req)]; gate != nil {
					<-gate
				}
				return nil, nil
			})
			h.Concurrency, h.Limiter = n, &server.Limiter{Max: 1}
			l := newMemServer(t, &server.Server{Handler: h})
			c, err := l.Dial(t.Context())
			require.NoError(t, err)
			_, err = c.Write([]byte("\x01a\x01b"))
			require.NoError(t, err)
			synctest.Wait()
			other, err := l.Dial(t.Context())
			require.NoError(t, err)
			_, err = other.Write([]byte("\x05other"))
			require.NoError(t, err)
			synctest.Wait()
			if n > 0 { // b is before the other
				close(gates["other"])
			}
			close(gates["a"])
			synctest.Wait()
			require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Hour)))
			reply := make([]byte, 1)
			_, err = io.ReadFull(c, reply)
			require.NoError(t, err)
			if n == 0 {
				require.Equal(t, 1, h.Limiter.Stat().Waiting)
				close(gates["other"])
			}
			_, err = io.ReadFull(c, reply)
			require.NoError(t, err)
			require.NoError(t, c.Close())
			require.NoError(t, other.Close())
		})
	})
}

// A request that is dropped because its peer no longer waits gets no reply.
func TestLimiterDropsWithoutAReply(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere than on Linux only a read tells that the peer has gone: FrameHandler.HalfClose")
	}
	eachMode(t, func(t *testing.T, n int) {
		for _, enveloped := range []bool{false, true} {
			limiterDropsWithoutAReply(t, n, enveloped)
		}
	})
}

func limiterDropsWithoutAReply(t *testing.T, n int, enveloped bool) {
	h, entered, let := gated()
	h.Concurrency, h.Envelope = n, enveloped
	h.Limiter, h.ErrorReply = &server.Limiter{Max: 1, MaxWait: time.Hour}, overloaded
	addr := start(t, &server.Server{Handler: h})
	busy, gone := dial(t, addr), dial(t, addr)
	before := ""
	if enveloped {
		before = sealed(t, envelope.Envelope{Number: 1}, "")
	}
	busy.send(before + "busy")
	<-entered
	gone.send(before + "gone")
	require.Eventually(t, func() bool { return h.Limiter.Stat().Waiting == 1 }, patience, time.Millisecond)
	require.NoError(t, gone.Conn.(*net.TCPConn).CloseWrite())
	gone.expectEnd()
	close(let)
	busy.expect(before + "busy")
}

// What a Limiter refuses, and what waits too long for it, is told in the words of the
// documents.
func TestLimiterTellsWhy(t *testing.T) {
	t.Run("envelope", func(t *testing.T) {
		eachOrder(t, func(t *testing.T, h *server.FrameHandler) {
			gate, entered, let := gated()
			h.Handle, h.Limiter = gate.Handle, &server.Limiter{Max: 1, MaxWait: -1}
			addr := start(t, &server.Server{Handler: h})
			busy, c := dial(t, addr), dial(t, addr)
			busy.send(sealed(t, envelope.Envelope{}, "busy"))
			<-entered
			c.send(sealed(t, envelope.Envelope{Number: 3}, "x"))
			c.expect(sealed(t, envelope.Envelope{Number: 3, Status: envelope.StatusOverloaded}, ""))
			close(let)
			busy.expect(sealed(t, envelope.Envelope{}, "busy"))
		})
	})
	t.Run("deadline", func(t *testing.T) {
		eachMode(t, func(t *testing.T, n int) {
			h, entered, let := gated()
			h.Concurrency, h.Limiter = n, &server.Limiter{Max: 1, MaxWait: time.Hour}
			h.Deadline = func(req []byte) time.Duration {
				if string(req) == "x" {
					return time.Millisecond
				}
				return 0
			}
			h.ErrorReply = func(_ context.Context, err error) []byte {
				if err == context.DeadlineExceeded { // itself, not a kind of it
					return []byte("deadline")
				}
				return nil
			}
			addr := start(t, &server.Server{Handler: h})
			busy, c := dial(t, addr), dial(t, addr)
			busy.send("busy")
			<-entered
			c.send("x")
			c.expect("deadline")
			close(let)
			busy.expect("busy")
		})
	})
}
